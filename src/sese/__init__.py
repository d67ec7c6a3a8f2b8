"""Scalable and efficient speech enhancement.

    import sese

    clean = sese.enhance(noisy, 16000)  # NumPy array in, array like it out
    enhancer = sese.load(budget=0.5)  # half of the compute
    report = enhancer.enhance_file("noisy.wav", "clean.wav")

Importing this package loads nothing else; ONNX Runtime comes with the first use, PyTorch never.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sese.core.errors import InputError
    from sese.runtime.band_above import AboveChoice
    from sese.runtime.budget import Budget
    from sese.runtime.enhancer import Enhancer
    from sese.runtime.file import Report
    from sese.runtime.options import EnhanceOptions
    from sese.runtime.stream import Stream

# Newer versions of ONNX Runtime would send usage data, and complain where they cannot store an identity.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"
__all__ = [
    "EnhanceOptions",
    "Enhancer",
    "InputError",
    "Stream",
    "__version__",
    "enhance",
    "enhance_file",
    "load",
    "models",
]

_LAZY = {
    "EnhanceOptions": "sese.runtime.options",
    "Enhancer": "sese.runtime.enhancer",
    "InputError": "sese.core.errors",
    "Stream": "sese.runtime.stream",
}


def models() -> list[str]:
    """Return the names of the bundled models, the default one first.

    Example:
        >>> import sese
        >>> sese.models()[0]
        'sese-2'
    """
    from sese.runtime.artefact import bundled_models, default_model

    names = bundled_models()
    return sorted(names, key=lambda name: (name != default_model(), name))


def load(
    model: str | os.PathLike[str] | None = None,
    budget: Budget = 1.0,
    *,
    max_mmacs: float | None = None,
    max_rtf: float | None = None,
    options: EnhanceOptions | None = None,
) -> Enhancer:
    """Open a model for many calls.

    Args:
        model: Name of a bundled model, path of a model folder or of an ``.onnx`` file; None for the default
            model.
        budget: Share of compute to use, from the lowest level of the model to 1; ``"fastest"``,
            ``"balanced"``, ``"best"``; ``"auto"``, ``"fixed:0.25"``, ``"threshold"``. See
            `sese.EnhanceOptions`.
        max_mmacs: Highest cost of any frame, in million MACs per second; None for no limit.
        max_rtf: Longest time for a frame, as a multiple of its duration; None for no limit.
        options: All options as one object; `max_mmacs` and `max_rtf` replace theirs, `budget` where it is
            not 1.

    Raises:
        InputError: The model cannot be found or opened, has no such budget, or cannot keep the limits.

    Example:
        >>> import sese
        >>> enhancer = sese.load("sese-2", budget=0.3)
        >>> enhancer.card.latency_ms
        32.0
    """
    from sese.runtime.enhancer import Enhancer

    chosen = None if options is not None and budget == 1.0 else budget
    return Enhancer(model, chosen, max_mmacs=max_mmacs, max_rtf=max_rtf, options=options)


def enhance(
    audio: NDArray[Any],
    sample_rate: int,
    *,
    channels_last: bool | None = None,
    budget: Budget = 1.0,
    model: str | os.PathLike[str] | None = None,
    max_mmacs: float | None = None,
    max_rtf: float | None = None,
    mix: float = 1.0,
    max_attenuation_db: float | None = None,
    band_above: AboveChoice = "follow",
    linked: bool = True,
) -> NDArray[Any]:
    """Enhance an array; the model stays open for the next call.

    Args:
        audio: Floating point samples in [-1, 1], ``[time]`` or ``[channel, time]``.
        sample_rate: Sample rate in Hz, 8000 to 192000.
        channels_last: True for audio as soundfile reads it, ``[time, channel]``. None refuses an array with
            more channels than samples; False takes it.
        budget: Share of compute to use; see `load`.
        model: Name of a bundled model, path of a model folder or of an ``.onnx`` file; None for the default
            model.
        max_mmacs: See `load`.
        max_rtf: See `load`.
        mix: 0 returns the input, 1 the enhanced audio.
        max_attenuation_db: Strongest attenuation of anything, in dB; None for no limit.
        band_above: ``"follow"`` or ``"drop"``: treatment of frequencies above the model's band.
        linked: True: all channels have one level in each frame, and the same gains above the model's band.

    Returns:
        Array of the same shape and dtype.

    Raises:
        InputError: An argument cannot be used.

    Example:
        >>> import numpy as np, sese
        >>> noisy = np.random.default_rng(0).normal(0, 0.1, 16000)  # a second of noise
        >>> clean = sese.enhance(noisy, 16000)
        >>> clean.shape == noisy.shape, bool(clean.std() < 0.5 * noisy.std())
        (True, True)
    """
    from sese.runtime.enhancer import opened

    return opened(model).enhance(
        audio,
        sample_rate,
        channels_last=channels_last,
        budget=budget,
        max_mmacs=max_mmacs,
        max_rtf=max_rtf,
        mix=mix,
        max_attenuation_db=max_attenuation_db,
        band_above=band_above,
        linked=linked,
    )


def enhance_file(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    model: str | os.PathLike[str] | None = None,
    force: bool = False,
    options: EnhanceOptions | None = None,
) -> Report:
    """Enhance an audio file into one of the same rate, channels, length, encoding and tags.

    Args:
        source: Audio file to read.
        target: File to write; it appears when it is complete. Its extension chooses the format.
        model: Name of a bundled model, path of a model folder or of an ``.onnx`` file; None for the default
            model.
        force: Replace an existing file.
        options: How to enhance; None for the defaults.

    Returns:
        Report of what was done: length, time, share of compute, clipped samples.

    Raises:
        InputError: A file or an option cannot be used.

    Example:
        >>> import numpy as np, os, sese, soundfile, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> noisy, clean = os.path.join(folder.name, "noisy.wav"), os.path.join(folder.name, "clean.wav")
        >>> soundfile.write(noisy, np.zeros(8000), 16000)
        >>> sese.enhance_file(noisy, clean, options=sese.EnhanceOptions(budget="fastest")).seconds
        0.5
        >>> folder.cleanup()
    """
    from sese.runtime.enhancer import opened
    from sese.runtime.file import enhance_file as run
    from sese.runtime.options import EnhanceOptions

    return run(opened(model).artefact, source, target, options or EnhanceOptions(), force=force)


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        import importlib

        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'sese' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
