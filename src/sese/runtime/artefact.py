"""Find a model file, open it, check it, and describe it.

A model is one ONNX file that computes the next frames of a stream, of `hop` samples each:

    in   audio          float32 [batch, 1, frames * hop], 1 or more frames
         level          int64 [frames], 0 the lowest; -1 lets the router decide on the frame (a model
                        without a router runs its highest level then)
         budget         float32 [], mean share of compute that the router holds, or that a model which
                        rests stays within, in (0, 1]; 0 lets it decide freely
         ceiling        int64 [], highest level that the router may choose
         state.<name>   float32 [batch, ...], zeros at the beginning of a signal
    out  enhanced       float32 [batch, 1, frames * hop], late by `lookahead_samples`
         utilization    float32 [frames], share of compute that each frame used
         speech_probability   float32 [frames], in [0, 1], NaN in frames that have a level; only in models
                        whose router detects speech
         next_state.<name>

Each frame has one level for the whole batch. The router's state changes only in the frames that the router
decides on. The division of frames into calls changes nothing. The facts about the model are inside the file,
as JSON under the metadata key ``sese``.
"""

from __future__ import annotations

import math
import os
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from sese.core.errors import InputError, did_you_mean
from sese.core.untrusted import from_json
from sese.runtime.card import FORMAT, Card
from sese.runtime.onnx_file import check_file

DEFAULT_MODEL = "sese-2"
PRETRAINED = Path(__file__).parents[1] / "pretrained"
LARGEST_SIZES = (384_000, 1 << 16, 1 << 20, 1 << 20)
"""Largest sample rate in Hz, hop, lookahead and latency in samples that a model may have."""

LARGEST_STATE = 1 << 24
"""Largest number of values in a stream's state, 64 MiB, so that a damaged file cannot fill the memory."""

SPEECH_PROBABILITY = "speech_probability"
"""Name of an output that not every model has."""

ROUTER = -1  # level that leaves the choice to the router inside the graph

_opening = threading.Lock()  # one thread at a time opens a session again after a fork


def _renew_lock() -> None:
    """Replace the lock in a forked process, where no thread is left that could release it."""
    global _opening
    _opening = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


@dataclass(frozen=True)
class StateSpec:
    """Shape of one state, without the batch axis."""

    shape: tuple[int, ...]

    def zeros(self, batch: int) -> NDArray[np.float32]:
        """Return a fresh state for `batch` signals."""
        return np.zeros((batch, *self.shape), np.float32)


@dataclass(frozen=True)
class Artefact:
    """An opened and checked model, for any number of threads and processes.

    Pickled or copied, it opens its file again. In a forked process too, as another thread may have used the
    session at the moment of the fork.

    Attributes:
        path: The ONNX file.
        card: Facts about the model.
        state: Name of each state -> the shape of ``state.<name>``.
        detects_speech: Whether the file has the output ``speech_probability``.
        lent: Arrays for calls that are not under way, see `sese.runtime.step`: (batch, frames) -> arrays.
    """

    path: Path
    card: Card
    state: dict[str, StateSpec]
    _sessions: dict[int, onnxruntime.InferenceSession] = field(compare=False, repr=False)
    detects_speech: bool = False
    lent: dict[tuple[int, int], list[Any]] = field(default_factory=dict, compare=False, repr=False)

    @property
    def session(self) -> onnxruntime.InferenceSession:
        """Session of ONNX Runtime in this process."""
        try:
            return self._sessions[os.getpid()]
        except KeyError:
            with _opening:
                if os.getpid() not in self._sessions:
                    self.lent.clear()  # these arrays are bound to the session of the parent
                    self._sessions[os.getpid()] = open_session(self.path)
                return self._sessions[os.getpid()]

    @property
    def place(self) -> str:
        """Name of a bundled model, else the absolute path: how another process finds the model."""
        bundled = self.path.parent.parent == PRETRAINED and self.path.name == "model.onnx"
        return self.path.parent.name if bundled else os.path.abspath(self.path)

    def __reduce__(self) -> tuple[Any, ...]:
        return open_artefact, (self.place,)


def bundled_models() -> list[str]:
    """Return the names of the models that come with the package."""
    return sorted(path.parent.name for path in PRETRAINED.glob("*/model.onnx"))


def default_model() -> str:
    """Return the name of the model that is used where none is named.

    Raises:
        InputError: No model comes with the installation.
    """
    names = bundled_models()
    if not names:
        raise InputError("no model comes with this installation; name a model folder or file with --model")
    return DEFAULT_MODEL if DEFAULT_MODEL in names else names[0]


def find_model(model: str | os.PathLike[str] | None = None) -> Path:
    """Return the ONNX file of a bundled model by its name, of a model folder, or the file itself.

    Args:
        model: Name or path; None for the default model.

    Raises:
        InputError: There is no such model.
    """
    names = bundled_models()
    model = default_model() if model is None else model
    if str(model) in names:
        return PRETRAINED / model / "model.onnx"
    path = Path(model)
    if os.path.isdir(path):
        if not os.path.isfile(path / "model.onnx"):
            raise InputError(f"model folder {path} holds no model.onnx; make one with `sese export`")
        return path / "model.onnx"
    if os.path.isfile(path):  # which, unlike Path's, is false for names that no file can have
        return path
    if str(model) == "sese-1":
        raise InputError("sese-1 is no longer bundled; use sese-2, which takes its place")
    known = ", ".join(names) or "none"
    raise InputError(
        f"unknown model {str(model)!r}; {did_you_mean(str(model), names)}"
        + f"bundled are: {known}; or name a model folder or .onnx file"
    )


def open_artefact(model: str | os.PathLike[str] | None = None) -> Artefact:
    """Open a model, and check its metadata, its inputs and outputs, and one step.

    Args:
        model: See `find_model`.

    Raises:
        InputError: There is no such model, or this package cannot run the file.
    """
    path = find_model(model)
    session = open_session(path)
    card = _read_card(path, session)
    detects = any(value.name == SPEECH_PROBABILITY for value in session.get_outputs())
    artefact = Artefact(path, card, _read_state(path, card, session), {os.getpid(): session}, detects)
    check(artefact)
    return artefact


def open_session(path: Path) -> onnxruntime.InferenceSession:
    """Open a file with ONNX Runtime, after a look at what could harm it.

    Raises:
        InputError: The file cannot be read, or ONNX Runtime cannot open it.
    """
    try:
        check_file(path)
    except (OSError, ValueError) as error:
        raise unusable(path, "it cannot be read as ONNX", error) from error
    onnxruntime.set_default_logger_severity(4)  # errors are raised; nothing is printed besides
    try:
        return onnxruntime.InferenceSession(str(path), session_options(), providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises a dozen kinds, without a common base
        raise unusable(path, "it cannot be opened as ONNX", error) from error


def session_options() -> onnxruntime.SessionOptions:
    """Return options of a session that runs in the thread that calls it.

    Frames are small, so that more threads make them slower. Files and streams run side by side instead, as
    many as `sese.core.processors.available_cores` allows.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.load_model_format", "ONNX")  # whatever the file's name is
    return options


def check(artefact: Artefact) -> None:
    """Run a frame of silence of one signal, then of two, then two frames; check the shapes of all outputs.

    The first run is of one signal, as most streams are. ONNX Runtime plans the memory of a branch in the
    branch's first run, and may use this plan for other numbers of signals, where it does not fit: its key of
    a plan is the exclusive or of all sizes of the inputs, so that a size is lost that occurs an even number
    of times. Where the plan does not fit, each value is allocated alone. That adds up to a seventh to the
    time of a frame.

    Raises:
        InputError: The step fails or breaks the contract of the module's docstring.
    """
    for batch, frames in ((1, 1), (2, 1), (2, 2)):
        state = {name: spec.zeros(batch) for name, spec in artefact.state.items()}
        audio = np.zeros((batch, 1, frames * artefact.card.hop_length), np.float32)
        level = np.arange(frames) % len(artefact.card.levels)
        feeds = {"audio": audio, "level": level, **no_router()} | {f"state.{n}": s for n, s in state.items()}
        shapes = {"enhanced": audio.shape, "utilization": (frames,)} | {
            f"next_state.{n}": s.shape for n, s in state.items()
        }
        if artefact.detects_speech:
            shapes[SPEECH_PROBABILITY] = (frames,)
        try:
            outputs = artefact.session.run(list(shapes), feeds)
        except Exception as error:
            raise unusable(artefact.path, "it cannot run a step", error) from error
        for (name, shape), output in zip(shapes.items(), outputs, strict=True):
            sane = name == SPEECH_PROBABILITY or np.isfinite(output).all()
            if output.shape != shape or output.dtype != np.float32 or not sane:
                found = f"{output.dtype} {list(output.shape)}"
                raise unusable(artefact.path, f"output {name!r} is {found}, not finite float32 {list(shape)}")


def no_router() -> dict[str, NDArray[Any]]:
    """Return the inputs for the router, where it is not used."""
    return {"budget": np.zeros((), np.float32), "ceiling": np.zeros((), np.int64)}


def describe(artefact: Artefact) -> dict[str, Any]:
    """Return the facts about a model as plain values, ready for JSON."""
    facts = {"latency_ms": artefact.card.latency_ms, "detects_speech": artefact.detects_speech}
    return {"path": str(artefact.path)} | asdict(artefact.card) | facts


def _read_card(path: Path, session: onnxruntime.InferenceSession) -> Card:
    try:
        text = session.get_modelmeta().custom_metadata_map.get("sese")
    except UnicodeDecodeError as error:
        raise unusable(path, "its metadata is damaged", error) from error
    if text is None:
        raise unusable(path, "it carries no `sese` metadata, so `sese export` did not write it")
    try:
        facts = from_json(text)
        if facts["format"] != FORMAT:
            old = isinstance(facts["format"], int) and facts["format"] < FORMAT
            raise unusable(
                path,
                f"its format is {facts['format']!r} and this version reads {FORMAT}",
                remedy=(
                    "export its run again: `sese export RUN -o MODEL` (a model folder will do as RUN)"
                    if old
                    else "update sese"
                ),
            )
        card = Card.of(facts)
    except InputError:
        raise
    except KeyError as error:
        raise unusable(path, f"its metadata lacks {error}") from error
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise unusable(path, "its metadata is damaged", error) from error
    numbers = [value for level in card.levels for value in (level.utilization, level.macs_per_second)]
    numbers += [card.router_macs_per_second, card.static_macs_per_second]
    if not all(map(math.isfinite, numbers)) or min(numbers) < 0:
        raise unusable(path, "its metadata has costs that are below 0 or no numbers")
    used = [level.utilization for level in card.levels]
    costs = {(level.utilization, level.macs_per_second) for level in card.levels}
    if card.alternatives and (len(costs) != 1 or not 0 < used[0] <= 1):
        raise unusable(path, f"its levels are alternatives, and their utilizations {used} or costs differ")
    if not card.alternatives and (not used or used != sorted(set(used)) or not 0 < used[0] <= used[-1] <= 1):
        raise unusable(path, f"its levels {used} do not rise within (0, 1]")
    sizes = (card.sample_rate, card.hop_length, card.lookahead_samples + 1, card.latency_samples)
    if not all(1 <= size <= largest for size, largest in zip(sizes, LARGEST_SIZES, strict=True)):
        raise unusable(path, "its sample rate, hop, lookahead or latency is out of range")
    return card


def _read_state(path: Path, card: Card, session: onnxruntime.InferenceSession) -> dict[str, StateSpec]:
    inputs = {value.name: value for value in session.get_inputs()}
    outputs = {value.name for value in session.get_outputs()}
    for name, kind, axes in [
        ("audio", "tensor(float)", 3),
        ("level", "tensor(int64)", 1),
        ("budget", "tensor(float)", 0),
        ("ceiling", "tensor(int64)", 0),
    ]:
        value = inputs.pop(name, None)
        if value is None or value.type != kind or len(value.shape) != axes:
            raise unusable(path, f"it has no input {name!r} of type {kind} with {axes} axes")
    state = {}
    for name, value in inputs.items():
        batch, *shape = value.shape or [None]
        if not name.startswith("state.") or batch != "batch" or not all(isinstance(n, int) for n in shape):
            raise unusable(path, f"input {name!r} with shape {value.shape} is no state, batch first")
        state[name.removeprefix("state.")] = StateSpec(tuple(shape))
    values = sum(math.prod(spec.shape) for spec in state.values())
    if not 0 <= values <= LARGEST_STATE or any(size < 0 for spec in state.values() for size in spec.shape):
        raise unusable(path, f"its state has {values} values; {LARGEST_STATE} is the most")
    missing = {"enhanced", "utilization", *(f"next_state.{name}" for name in state)} - outputs
    if missing:
        raise unusable(path, f"it lacks the output {min(missing)!r}")
    return state


def unusable(path: Path, what: str, error: Exception | None = None, remedy: str | None = None) -> InputError:
    """Return the error that names a model, what is wrong with it, and what to do."""
    detail = (
        f" ({str(error).strip().splitlines()[0][:200]})" if error is not None and str(error).strip() else ""
    )
    return InputError(
        f"{path} is not a model that sese can run: {what}{detail}; "
        + (remedy or "export it again with `sese export`, or name another model")
    )
