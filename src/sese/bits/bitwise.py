"""A bitwise network in packed bits: its file, its steps, and enhancement by it. Needs NumPy 2 alone.

Codes are packed, multiplied with packed weights by exclusive or and counting, and compared with whole
numbers. The state of a recurrent layer is two words' worth of bits a 64 units: which are up, and which have
been updated yet, as they are neither up nor down before.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sese.bits.frames import FrameEnhancer, hann
from sese.bits.words import Matrix, Words, ones, pack, words
from sese.core.errors import InputError, brief
from sese.core.files import replacing
from sese.core.install import install_command
from sese.core.untrusted import MALFORMED, array_of, check_counts, from_json, read_arrays

FILE = "packed.npz"
FORMAT = 1
LEVEL_FLOOR = 1e-4  # as of sese.nn.features.log_power
LOWEST_GAIN = 10 ** (-80 / 20)  # as of sese.nn.heads.gain

Kernel = Literal["numpy", "c"]
State = list[tuple[Words, Words]]


@dataclass(frozen=True)
class Facts:
    """Facts about a network; see its configuration, `BitwiseConfig`.

    `level_decay` is the weight that the past has in the running level.
    """

    sample_rate: int
    hop_length: int
    code_bits: int
    hidden: int
    layers: int
    recurrent: bool
    output: str
    level_decay: float

    @property
    def bins(self) -> int:
        """Return the bins of a spectrum, whose window is two hops long."""
        return self.hop_length + 1


@dataclass(frozen=True)
class Packed:
    """A network's bits.

    Attributes:
        thresholds: (component - 1,) powers over the level that part the components of codes, ascending.
        matrices: matrices in the order in which they run, of a recurrent layer its gates and candidate; the
            values of the input, and behind them of the state, begin a word each.
        scale, bias: scale and bias (bin,) of the last product, for a soft output.
    """

    facts: Facts
    thresholds: NDArray[np.float64]
    matrices: tuple[Matrix, ...]
    scale: float
    bias: NDArray[np.float32]

    @property
    def nbytes(self) -> int:
        """Return the bytes of weights in memory."""
        return sum(matrix.nbytes for matrix in self.matrices)


def save(packed: Packed, path: Path) -> None:
    """Write a network; the file appears whole or not at all."""
    arrays: dict[str, Any] = {"thresholds": packed.thresholds, "bias": packed.bias}
    for number, matrix in enumerate(packed.matrices):
        arrays |= {f"{number}.signs": matrix.signs, f"{number}.least": matrix.least}
        if matrix.kept is not None:
            arrays[f"{number}.kept"] = matrix.kept
    facts = {"format": FORMAT, "scale": packed.scale} | asdict(packed.facts)
    with replacing(path) as part, part.open("wb") as file:
        np.savez(file, facts=np.array(json.dumps(facts)), **arrays)


def load(path: str | os.PathLike[str], kernel: Kernel = "numpy") -> Packed:
    """Read a network from its file, or from the model folder that it lies in.

    Args:
        path: file or folder, as above.
        kernel: ``numpy``, or ``c``, which is compiled at the first use.

    Raises:
        InputError: there is no such file or kernel, it is no packed network, or NumPy is older than 2.
    """
    if kernel not in ("numpy", "c"):
        raise InputError(f"kernel is {kernel!r}; choose from numpy, c")
    if not hasattr(np, "bitwise_count"):
        raise InputError(f"NumPy {np.__version__} cannot count bits; {install_command('bitwise')}")
    kind = Matrix
    if kernel == "c":
        from sese.bits.kernel import CompiledMatrix as kind
    file = Path(path)
    file = file / FILE if file.is_dir() else file
    try:
        held = read_arrays(file)
        facts = from_json(str(held["facts"]))
        if facts.pop("format") != FORMAT:
            raise InputError(f"{file} is of another version; export its run again")
        scale = float(facts.pop("scale"))
        known = _checked(Facts(**facts))
        thresholds = array_of(held, "thresholds", np.float64, (2**known.code_bits - 1,))
        bias = array_of(held, "bias", np.float32, (known.bins,))
        matrices = tuple(
            kind(
                array_of(held, f"{n}.signs", np.uint64, shape),
                array_of(held, f"{n}.kept", np.uint64, shape) if f"{n}.kept" in held else None,
                array_of(held, f"{n}.least", np.int32, shape[:1]),
            )
            for n, shape in enumerate(_shapes(known))
        )
        return Packed(known, thresholds, matrices, scale, bias)
    except FileNotFoundError:
        raise InputError(f"{file} does not exist; `sese export` writes it for a bitwise network") from None
    except (OSError, *MALFORMED) as error:
        raise InputError(f"{file} is no packed network ({error}); export its run again") from None


def _checked(facts: Facts) -> Facts:
    """Check what a file says; ValueError for what no network can have, since a kernel in C believes it."""
    check_counts(vars(facts), sample_rate=384_000, hop_length=1 << 15, code_bits=8, hidden=1 << 16, layers=64)
    if not isinstance(facts.recurrent, bool) or facts.output not in ("hard", "soft"):
        raise ValueError(f"recurrent is {brief(facts.recurrent)}, output {brief(facts.output)}")
    if not 0 <= facts.level_decay < 1:
        raise ValueError(f"level_decay is {facts.level_decay}, not from 0 to 1")
    return facts


def _shapes(facts: Facts) -> list[tuple[int, int]]:
    """Return (row, word) of each matrix, in order; reset gates begin a word, and so do update gates."""
    units, inputs, made = words(facts.hidden), words(facts.bins * facts.code_bits), []
    for _ in range(facts.layers):
        if facts.recurrent:
            made.append((64 * units + facts.hidden, inputs + units))
            made.append((facts.hidden, inputs + units))
        else:
            made.append((facts.hidden, inputs))
        inputs = units
    return [*made, (facts.bins, inputs)]


class Network:
    """Codes to masks, frame by frame.

    Args:
        packed: the network.
    """

    def __init__(self, packed: Packed):
        self.packed, self.facts = packed, packed.facts
        numbers = np.arange(2**self.facts.code_bits)[:, None]
        self.codebook = (numbers >> np.arange(self.facts.code_bits) & 1).astype(bool)
        self._inputs = ones(self.facts.bins * self.facts.code_bits)
        self._units = ones(self.facts.hidden)

    def fresh(self) -> State:
        """Return the state before the first frame: each recurrent layer's units that are up, and updated."""
        count = words(self.facts.hidden)
        layers = self.facts.layers if self.facts.recurrent else 0
        return [(np.zeros(count, np.uint64), np.zeros(count, np.uint64)) for _ in range(layers)]

    def codes(self, power: NDArray[np.floating]) -> Words:
        """Return packed codes of powers over their level (bin,), of each bin its bits, lowest first."""
        return pack(self.codebook[np.searchsorted(self.packed.thresholds, power)].reshape(-1))

    def step(self, codes: Words, state: State) -> NDArray[np.float32]:
        """Return the mask (bin,) of a frame with packed codes, and change the state."""
        x, known, matrices = codes, self._inputs, iter(self.packed.matrices)
        for layer in range(self.facts.layers):
            if self.facts.recurrent:
                gates, candidate = next(matrices), next(matrices)
                x, known = gates.recur(candidate, x, known, *state[layer])
                state[layer] = x, known
            else:
                x, known = next(matrices).above(x, known), self._units
        last = next(matrices)
        sums = last.products(x, known)
        if self.facts.output == "hard":
            return (sums >= last.least).astype(np.float32)
        return 1 / (1 + np.exp(-2 * (np.float32(self.packed.scale) * sums + self.packed.bias)))


class PackedEnhancer(FrameEnhancer):
    """Removes noise from mono speech by a packed network, frame by frame.

    Args:
        model: file or folder, see `load`.
        kernel: kernel of `load`.
        budget: always 1, since there is one level; other values are refused.

    Raises:
        InputError: as `load`, or another budget.
    """

    def __init__(self, model: str | os.PathLike[str], kernel: Kernel = "numpy", budget: float | str = 1.0):
        if budget not in (1.0, "fixed:1"):
            raise InputError(f"budget is {budget!r}; a packed network has one level, 1")
        self.network = Network(load(model, kernel))
        self.facts = self.network.facts
        window = np.sqrt(hann(2 * self.facts.hop_length))
        super().__init__(self.facts.sample_rate, window, window)

    def reset(self) -> None:
        """Forget the signal."""
        super().reset()
        self._level, self._weight = 0.0, 0.0
        self._state = self.network.fresh()

    def mask(self, spectrum: NDArray[np.complex64]) -> NDArray[np.float32]:
        """Return the mask (bin,) of a frame's spectrum."""
        power = spectrum.real**2 + spectrum.imag**2
        decay = self.facts.level_decay
        self._level = decay * self._level + (1 - decay) * float(power.mean())
        self._weight = decay * self._weight + 1 - decay
        codes = self.network.codes(power / (self._level / self._weight + LEVEL_FLOOR))
        return np.maximum(self.network.step(codes, self._state), LOWEST_GAIN)
