"""Measure the probability of speech of a model as a voice activity detector, beside others.

    sese data mix CORPUS TALKS --activity 0.4 --clips 64 --seconds 12 --snr -5 20 --seed 11
    python benchmarks/speech_detection.py TALKS --silero silero_vad.onnx

Frames of 16 ms count as speech where the clean side has energy, by the rule that the policy is trained with
(`sese.training.methods.activity.labels`). Every detector is causal and judges a frame once it is complete,
Silero's two of them at a time.
The threshold of each is the best one for F1 on every second clip; all figures are of the other clips.

Others: an energy rule (the level of a frame over the lowest of the last 3 s), WebRTC's detector
(`pip install webrtcvad-wheels`; the number of its four modes that hear speech) and Silero's (the ONNX file of
16 kHz in the package `silero-vad`).
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
import onnxruntime
import soundfile
import torch
import typer
from numpy.typing import NDArray
from scipy.ndimage import minimum_filter1d
from scipy.stats import rankdata

from exit_codes import exit_code
from sese.core.errors import InputError
from sese.core.tables import table
from sese.data.mixing import Mixture
from sese.nn.policies.activity import SPEECH
from sese.runtime.artefact import session_options
from sese.runtime.enhancer import Enhancer
from sese.training.methods.activity import labels

RATE, HOP = 16000, 256
BANDS = ((-10, 5), (5, 10), (10, 15), (15, 40))
Audio = NDArray[np.float32]
Scores = NDArray[np.float64]
Detector = Callable[[Audio], Scores]
"""Gives a score of each frame of a signal [time] at 16 kHz, higher where speech is likelier."""


def truth(clean: Audio, noisy: Audio) -> NDArray[np.bool_]:
    """Return which frames have speech."""
    sides = (torch.from_numpy(audio).view(1, 1, -1) for audio in (noisy, clean))
    return labels(Mixture(*sides, torch.zeros(1)), HOP)[0, :, SPEECH].numpy() > 0


def model_detector(enhancer: Enhancer) -> Detector:
    """Return the detector of a model."""

    def detect(audio: Audio) -> Scores:
        stream = enhancer.stream(trace_seconds=None)
        stream.feed(audio)
        heard = stream.speech_probability
        if heard is None:
            raise InputError(f"{enhancer.card.name} gives no probability of speech; name another model")
        return heard.astype(np.float64)

    return detect


def energy(audio: Audio) -> Scores:
    """Score the level of each frame, in dB over the lowest of the last 3 s; means of 5 frames."""
    frames = audio[: len(audio) // HOP * HOP].reshape(-1, HOP).astype(np.float64)
    power = np.convolve((frames**2).mean(1), np.full(5, 0.2))[: len(frames)]
    level = 10 * np.log10(power + 1e-9)
    window = round(3 * RATE / HOP)
    return level - minimum_filter1d(level, window, origin=(window - 1) // 2)


def webrtc(audio: Audio) -> Scores:
    """Score each frame by the number of modes in which its last complete 10 ms hold speech."""
    import webrtcvad

    whole = (np.clip(audio, -1, 1) * 32767).astype(np.int16)
    heard = [
        [
            webrtcvad_mode.is_speech(whole[at : at + 160].tobytes(), RATE)
            for at in range(0, len(whole) - 159, 160)
        ]
        for webrtcvad_mode in map(webrtcvad.Vad, range(4))
    ]
    votes = np.sum(heard, axis=0)
    last = (np.arange(1, len(audio) // HOP + 1) * HOP) // 160 - 1
    return votes[last.clip(0)].astype(np.float64)


def silero(path: Path) -> Detector:
    """Return the detector of a Silero model for 16 kHz: windows of 512 samples after 64 of the past."""
    session = onnxruntime.InferenceSession(str(path), session_options(), providers=["CPUExecutionProvider"])

    def detect(audio: Audio) -> Scores:
        state, past, scores = np.zeros((2, 1, 128), np.float32), np.zeros(64, np.float32), []
        for at in range(0, len(audio) - 511, 512):
            chunk = audio[at : at + 512]
            given = np.concatenate([past, chunk])[None]
            score, state = session.run(None, {"input": given, "state": state, "sr": np.array(RATE)})
            past = chunk[-64:]
            scores.append(float(score.item()))
        return np.pad(np.repeat(scores, 2), (0, len(audio) // HOP - 2 * len(scores)), mode="edge")

    return detect


def area(scores: Scores, speech: NDArray[np.bool_]) -> float:
    """Return the area under the ROC curve."""
    count = speech.sum()
    ranks = rankdata(scores)[speech].sum()
    return float((ranks - count * (count + 1) / 2) / max(1, count * (~speech).sum()))


def f1(scores: Scores, speech: NDArray[np.bool_], threshold: float) -> float:
    """Return the harmonic mean of precision and recall of frames with scores from the threshold on."""
    heard = scores >= threshold
    return float(2 * (heard & speech).sum() / max(1, heard.sum() + speech.sum()))


def best_threshold(scores: Scores, speech: NDArray[np.bool_]) -> float:
    """Return the threshold with the highest F1."""
    tried = np.unique(np.quantile(scores, np.linspace(0, 1, 201)))
    return float(max(tried, key=lambda threshold: f1(scores, speech, threshold)))


def calibration(scores: Scores, speech: NDArray[np.bool_]) -> str:
    """Return the mean probability and the share of speech in tenths of the probability."""
    tenth = np.minimum((10 * scores).astype(int), 9)
    rows = []
    for at in range(10):
        own = tenth == at
        if own.any():
            span = f"{at / 10:.1f} to {(at + 1) / 10:.1f}"
            rows.append([span, str(own.sum()), f"{scores[own].mean():.2f}", f"{speech[own].mean():.2f}"])
    return "\n".join(table(["probability", "frames", "mean", "share of speech"], rows))


def snr_of(clean: Audio, noisy: Audio, speech: NDArray[np.bool_]) -> float:
    """Return the SNR in dB over the frames with speech."""
    frames = [x[: len(speech) * HOP].reshape(-1, HOP)[speech] for x in (clean, noisy - clean)]
    power = [float((x.astype(np.float64) ** 2).mean()) + 1e-12 for x in frames]
    return 10 * np.log10(power[0] / power[1])


def main(
    talks: Annotated[Path, typer.Argument(help="Conversations: folders clean/ and noisy/.")],
    model: Annotated[list[str], typer.Option(help="Models to measure.")] = ["sese-2"],  # noqa: B006
    silero_file: Annotated[Path | None, typer.Option("--silero", help="Silero's ONNX file.")] = None,
) -> None:
    """Print the area under the ROC curve and F1 by SNR, and how far the probability can be believed."""
    detectors: dict[str, Detector] = {name: model_detector(Enhancer(name, "auto")) for name in model}
    if silero_file is not None:
        detectors["silero"] = silero(silero_file)
    if importlib.util.find_spec("webrtcvad"):
        detectors["webrtc"] = webrtc
    detectors["energy"] = energy
    names = sorted(path.name for path in (talks / "noisy").glob("*.wav"))
    if not names:
        raise InputError(f"{talks} has no noisy/*.wav; make it with `sese data mix`")
    speech, snr, scores = [], [], {name: [] for name in detectors}
    for name in names:
        clean, noisy = (
            soundfile.read(talks / side / name, dtype="float32")[0] for side in ("clean", "noisy")
        )
        speech.append(truth(clean, noisy))
        snr.append(snr_of(clean, noisy, speech[-1]))
        for detector, detect in detectors.items():
            scores[detector].append(detect(noisy)[: len(speech[-1])])
    print(detectors_table(scores, speech, np.array(snr)))
    for name in model:
        report = slice(1, None, 2)
        print(
            f"\n{name}\n\n"
            + calibration(np.concatenate(scores[name][report]), np.concatenate(speech[report]))
        )


def detectors_table(
    scores: Mapping[str, list[Scores]], speech: list[NDArray[np.bool_]], snr: NDArray[np.float64]
) -> str:
    """Return the rows of the detectors: area and F1 in each band of SNR, and over all."""
    clips = {f"{low} to {high} dB": np.flatnonzero((snr >= low) & (snr < high)) for low, high in BANDS}
    clips = {name: at[at % 2 == 1] for name, at in clips.items()} | {"all": np.arange(1, len(speech), 2)}
    heads = [f"{name} ({len(at)})" for name, at in clips.items()]
    found = []
    for detector, given in scores.items():
        threshold = best_threshold(np.concatenate(given[::2]), np.concatenate(speech[::2]))
        cells = []
        for at in clips.values():
            if not len(at):
                cells.append("")
                continue
            own, wanted = (np.concatenate([rows[i] for i in at]) for rows in (given, speech))
            cells.append(f"{area(own, wanted):.3f}, {f1(own, wanted, threshold):.3f}")
        found.append([detector, f"{threshold:.2f}", *cells])
    return "\n".join(table(["AUC, F1", "threshold", *heads], found))


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command(help=__doc__)(main)
    sys.exit(exit_code("speech_detection", lambda: app(standalone_mode=False)))
