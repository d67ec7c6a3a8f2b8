"""Scalable and efficient speech enhancement.

    import sese

    clean = sese.enhance(noisy, 16000)                    # NumPy array in, array like it out
    enhancer = sese.load("demucs-slim-small", budget=0.25)  # another model, a quarter of the compute
    report = enhancer.enhance_file("noisy.wav", "clean.wav")

Importing this package loads nothing else; ONNX Runtime comes with the first use, PyTorch never.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sese.runtime.enhancer import Enhancer

# Nothing is sent home: newer versions of ONNX Runtime would, and complain where they cannot note who you are.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"
__all__ = ["Enhancer", "__version__", "enhance", "load"]


def load(
    model: str | os.PathLike[str] | None = None,
    budget: float | str = 1.0,
    *,
    max_mmacs: float | None = None,
    max_rtf: float | None = None,
) -> Enhancer:
    """Open a model. See `sese.runtime.enhancer.Enhancer`, also for the budgets.

    Args:
        model: Name of a bundled model, a model folder, or an ``.onnx`` file; None for the default model.
        budget: Share of the compute, from the lowest level of the model to 1; ``"auto"``, ``"fixed:0.25"``,
            ``"threshold"``.
        max_mmacs: Most million MACs a second that any frame may run at; None for no limit.
        max_rtf: Most time that a frame may take, as a multiple of its duration; None for no limit.

    Raises:
        InputError: The model cannot be found or opened, has no such budget, or cannot keep the limits.
    """
    from sese.runtime.enhancer import Enhancer

    return Enhancer(model, budget, max_mmacs=max_mmacs, max_rtf=max_rtf)


def enhance(
    audio: NDArray[Any],
    sample_rate: int,
    *,
    budget: float | str = 1.0,
    model: str | os.PathLike[str] | None = None,
    max_mmacs: float | None = None,
    max_rtf: float | None = None,
    mix: float = 1.0,
    max_attenuation_db: float | None = None,
    band_above: str = "follow",
    linked: bool = True,
) -> NDArray[Any]:
    """Enhance an array; the model stays open for the next call. See `sese.runtime.enhancer.Enhancer.enhance`.

    Args:
        audio: Floating point samples, ``[time]`` or ``[channel, time]``, full scale being [-1, 1].
        sample_rate: In Hz, 8000 to 192000.
        budget: See `load`.
        model: Name of a bundled model, a model folder, or an ``.onnx`` file; None for the default model.
        max_mmacs: See `load`.
        max_rtf: See `load`.
        mix: 0 returns the input, 1 the enhanced audio.
        max_attenuation_db: Most that anything may be attenuated by, in dB; None for no limit.
        band_above: ``"follow"`` or ``"drop"``: what becomes of frequencies above the model's band.
        linked: Whether all channels have one level in each frame, and one gain above the model's band.

    Returns:
        Array of the same shape and dtype.

    Raises:
        InputError: An argument cannot be used.
    """
    from sese.runtime.enhancer import opened

    return opened(model).enhance(
        audio,
        sample_rate,
        budget=budget,
        max_mmacs=max_mmacs,
        max_rtf=max_rtf,
        mix=mix,
        max_attenuation_db=max_attenuation_db,
        band_above=band_above,
        linked=linked,
    )


def __getattr__(name: str) -> Any:
    if name == "Enhancer":
        from sese.runtime.enhancer import Enhancer

        return Enhancer
    raise AttributeError(f"module 'sese' has no attribute {name!r}")
