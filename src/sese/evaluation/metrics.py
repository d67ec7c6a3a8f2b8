"""Metrics of one utterance: a reference and an estimate, each [time], to one number.

A metric that has no value for an utterance (silence, too short, no speech found) returns NaN, so that
whoever averages can count it. What cannot be scored at all (shapes, sample rate, a missing package) is an
`InputError`.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import math
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from sese.core.errors import InputError
from sese.core.install import install_command
from sese.evaluation.dnsmos import SAMPLE_RATE as WIDEBAND
from sese.evaluation.dnsmos import dnsmos_scores
from sese.evaluation.results import MetricFacts


def si_sdr(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Return the scale-invariant signal-to-distortion ratio in dB, with the means removed.

    The energy of the estimate along the reference over the energy of the rest. `inf` when the estimate is
    a scaled reference exactly, `-inf` when nothing of the reference is in it, NaN when either is silent.

    Source: Le Roux, Wisdom, Erdogan, Hershey, "SDR - half-baked or well done?", ICASSP 2019.

    Args:
        reference: [time], any scale.
        estimate: [time], as long as `reference`.

    Raises:
        InputError: the shapes differ or are not [time].

    Example:
        >>> speech = np.sin(np.arange(16000) / 10)
        >>> noise = np.cos(np.arange(16000) / 3)
        >>> round(si_sdr(speech, 2 * (speech + 0.1 * noise)), 1)
        20.0
    """
    reference, estimate = _checked(reference, estimate)
    if not _scorable(reference, estimate):
        return math.nan
    reference = reference - reference.mean()
    estimate = estimate - estimate.mean()
    energy = reference @ reference
    if energy == 0 or not estimate.any():
        return math.nan
    target = (estimate @ reference) / energy * reference
    rest = estimate - target
    with np.errstate(divide="ignore"):
        return float(10 * np.log10(np.divide(target @ target, rest @ rest)))


def sdr(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Return the signal-to-distortion ratio in dB: the energy of the reference over that of the error.

    Unlike `si_sdr` it sees the scale. `inf` when the two are equal, NaN when either is silent.

    Args:
        reference: [time].
        estimate: [time], as long as `reference` and at its scale.

    Raises:
        InputError: the shapes differ or are not [time].

    Example:
        >>> speech = np.sin(np.arange(16000) / 10)
        >>> round(sdr(speech, 0.9 * speech), 1)
        20.0
    """
    reference, estimate = _checked(reference, estimate)
    if not _scorable(reference, estimate):
        return math.nan
    rest = estimate - reference
    with np.errstate(divide="ignore"):
        return float(10 * np.log10(np.divide(reference @ reference, rest @ rest)))


def pesq_wb(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    """Return wide-band PESQ as a listening-quality opinion score (MOS-LQO), about 1.0 to 4.64.

    NaN when PESQ finds no utterance or less than a quarter of a second. Meant for utterances, not for
    recordings of many minutes: the ITU-T code holds 50 utterances.

    Source: ITU-T P.862.2 (2007), by the package `pesq`.

    Args:
        reference: [time] at 16 kHz.
        estimate: [time], as long as `reference`.
        sample_rate: must be 16000.

    Raises:
        InputError: the shapes differ, the sample rate is not 16 kHz, or `pesq` is not installed.
    """
    reference, estimate = _checked(reference, estimate)
    _check_wideband("pesq", sample_rate)
    _check_package("pesq")
    import pesq

    if not _scorable(reference, estimate):
        return math.nan
    try:
        return float(pesq.pesq(sample_rate, reference, estimate, "wb"))
    except pesq.PesqError:
        return math.nan


def stoi(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    """Return the short-time objective intelligibility, 0 to 1; NaN with less than 0.4 s of speech.

    Source: Taal, Hendriks, Heusdens, Jensen, "An algorithm for intelligibility prediction of
    time-frequency weighted noisy speech", IEEE TASLP 2011, by the package `pystoi`.

    Args:
        reference: [time] at `sample_rate` in Hz (resampled to 10 kHz inside).
        estimate: [time], as long as `reference`.

    Raises:
        InputError: the shapes differ, or `pystoi` is not installed.
    """
    return _stoi("stoi", reference, estimate, sample_rate)


def estoi(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    """Return extended STOI, about 0 to 1, for fluctuating noise too; arguments and errors as for `stoi`.

    Source: Jensen, Taal, "An algorithm for predicting the intelligibility of speech masked by modulated
    noise maskers", IEEE/ACM TASLP 2016, by the package `pystoi`.
    """
    return _stoi("estoi", reference, estimate, sample_rate)


def dnsmos(estimate: np.ndarray, sample_rate: int) -> dict[str, float]:
    """Return DNSMOS `ovrl`, `sig`, `bak` (P.835) and `p808`: opinion scores without a reference.

    All NaN for an estimate that is silent. Sources: see `sese.evaluation.dnsmos.dnsmos_scores`.

    Args:
        estimate: [time] at 16 kHz; samples beyond -1..1 are clipped.
        sample_rate: must be 16000.

    Raises:
        InputError: not [time], not 16 kHz, or `speechmos` or `onnx` is not installed.
    """
    estimate, _ = _checked(estimate, estimate)
    _check_wideband("dnsmos", sample_rate)
    _check_package("dnsmos")
    if not _scorable(estimate):
        return dict.fromkeys(("ovrl", "sig", "bak", "p808"), math.nan)
    return dnsmos_scores(estimate)


def predicted(estimate: np.ndarray, sample_rate: int) -> float:
    """Estimate wide-band PESQ without a reference, by a small network; NaN for silence.

    See `sese.predictor.predictor.predicted_pesq` and the card of the network for how far to trust it.

    Args:
        estimate: [time] at 16 kHz.
        sample_rate: must be 16000.

    Raises:
        InputError: not [time], or not 16 kHz.
    """
    from sese.predictor.predictor import predicted_pesq

    estimate, _ = _checked(estimate, estimate)
    _check_wideband("predicted", sample_rate)
    return predicted_pesq(estimate) if _scorable(estimate) else math.nan


@dataclass(frozen=True)
class Metric:
    """A word for `--metrics`: the columns it fills, how, and what to write about it in a report.

    `score(reference, estimate, sample_rate)` returns one value per column. `on_request`: left out where no
    metrics are named.
    """

    columns: tuple[str, ...]
    score: Callable[[np.ndarray, np.ndarray, int], tuple[float, ...]]
    package: str
    definition: str
    also_needs: tuple[str, ...] = ()
    on_request: bool = False


def _dnsmos_columns(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> tuple[float, ...]:
    scores = dnsmos(estimate, sample_rate)
    return tuple(scores[name] for name in ("ovrl", "sig", "bak", "p808"))


METRICS = {
    "pesq": Metric(
        ("pesq_wb",),
        lambda reference, estimate, rate: (pesq_wb(reference, estimate, rate),),
        "pesq",
        "Wide-band PESQ, MOS-LQO (ITU-T P.862.2)",
    ),
    "stoi": Metric(
        ("stoi",),
        lambda reference, estimate, rate: (stoi(reference, estimate, rate),),
        "pystoi",
        "STOI (Taal et al. 2011), 0 to 1",
    ),
    "estoi": Metric(
        ("estoi",),
        lambda reference, estimate, rate: (estoi(reference, estimate, rate),),
        "pystoi",
        "Extended STOI (Jensen and Taal 2016), 0 to 1",
    ),
    "si_sdr": Metric(
        ("si_sdr",),
        lambda reference, estimate, rate: (si_sdr(reference, estimate),),
        "sese",
        "SI-SDR in dB, means removed (Le Roux et al. 2019)",
    ),
    "dnsmos": Metric(
        ("dnsmos_ovrl", "dnsmos_sig", "dnsmos_bak", "dnsmos_p808"),
        _dnsmos_columns,
        "speechmos",
        "DNSMOS P.835 overall, speech, background (Reddy et al. 2022) and P.808 (2021), 1 to 5; "
        "networks of speechmos, features and averaging of sese",
        also_needs=("onnx",),
    ),
    "predicted": Metric(
        ("predicted_pesq",),
        lambda reference, estimate, rate: (predicted(estimate, rate),),
        "sese",
        "PESQ estimated without a reference, by a network with binary activation maps",
        on_request=True,
    ),
}


def check_metrics(names: Iterable[str] | None) -> list[str]:
    """Return the metrics asked for, in the order of `METRICS`, each known and installed.

    None stands for all but those on request.

    Raises:
        InputError: a name is unknown, there is none, or a package is missing.
    """
    every = [name for name, metric in METRICS.items() if not metric.on_request]
    wanted = every if names is None else list(names)
    for name in wanted:
        if name not in METRICS:
            raise InputError(f"--metrics: unknown metric {name!r}; choose from {', '.join(METRICS)}")
        _check_package(name)
    if not wanted:
        raise InputError(f"--metrics: no metric given; choose from {', '.join(METRICS)}")
    return [name for name in METRICS if name in wanted]


def columns_of(names: Iterable[str]) -> list[str]:
    """Return the columns that metrics fill."""
    return [column for name in names for column in METRICS[name].columns]


def score(
    reference: np.ndarray, estimate: np.ndarray, sample_rate: int, metrics: Iterable[str] | None = None
) -> dict[str, float]:
    """Return every column of `metrics` (None: all) for one utterance; NaN where a metric has no value.

    Raises:
        InputError: the shapes differ, the sample rate does not suit a metric, a package is missing.
    """
    values: dict[str, float] = {}
    for name in check_metrics(metrics):
        metric = METRICS[name]
        values.update(zip(metric.columns, metric.score(reference, estimate, sample_rate), strict=True))
    return values


def describe_metrics(names: Iterable[str] | None = None) -> dict[str, MetricFacts]:
    """Return columns, definition, package and installed version of metrics (None: all), for reports.

    The version is None when the package is not installed. Larger is better for every metric here.
    """
    described: dict[str, MetricFacts] = {}
    for name in METRICS if names is None else names:
        metric = METRICS[name]
        try:
            version = importlib.metadata.version(metric.package)
        except importlib.metadata.PackageNotFoundError:
            version = None
        described[name] = {
            "columns": list(metric.columns),
            "definition": metric.definition,
            "package": metric.package,
            "version": version,
        }
    return described


def _stoi(name: str, reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    reference, estimate = _checked(reference, estimate)
    _check_package(name)
    import pystoi

    if not _scorable(reference, estimate) or len(reference) * 10_000 // sample_rate < 512:
        return math.nan  # two frames at 10 kHz: below that pystoi does not get as far as its own check
    # pystoi adds noise of 1e-16 from the global generator: seeded here, so that equal input has equal
    # scores, and put back, so that nobody else's random numbers change.
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    try:
        with warnings.catch_warnings():
            # Its answer to too little speech is 1e-5, which would pass for a score.
            warnings.filterwarnings("error", message="Not enough STFT frames", category=RuntimeWarning)
            return float(pystoi.stoi(reference, estimate, sample_rate, extended=name == "estoi"))
    except RuntimeWarning:
        return math.nan
    finally:
        np.random.set_state(state)  # noqa: NPY002


def _checked(reference: np.ndarray, estimate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both as float64 [time] of equal length."""
    reference, estimate = np.asarray(reference, np.float64), np.asarray(estimate, np.float64)
    if reference.ndim != 1 or reference.shape != estimate.shape:
        raise InputError(
            f"reference and estimate: shapes {reference.shape} and {estimate.shape} differ or are not [time];"
            " give mono signals of equal length"
        )
    return reference, estimate


def _scorable(*signals: np.ndarray) -> bool:
    """Return whether each signal is finite and not silent, which leaves out empty ones too."""
    return all(np.isfinite(signal).all() and signal.any() for signal in signals)


def _check_wideband(name: str, sample_rate: int) -> None:
    if sample_rate != WIDEBAND:
        raise InputError(f"metric {name}: sample rate is {sample_rate} Hz; resample to {WIDEBAND} Hz first")


def _check_package(name: str) -> None:
    for package in (METRICS[name].package, *METRICS[name].also_needs):
        if importlib.util.find_spec(package) is None:
            raise InputError(
                f'metric {name}: package "{package}" is not installed; {install_command("metrics")}'
            )
