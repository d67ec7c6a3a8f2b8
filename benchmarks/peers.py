"""Streaming networks of other authors, for benchmarks/standing.py: ONNX files that compute one frame per
call.

A peer is given on the command line as NAME=PATH.onnx, with options behind the path:

    GTCRN=gtcrn_simple.onnx
    UL-UNAS=ulunas_stream_simple.onnx,n_fft=512,hop_length=256,window=hann
    FastEnhancer=fastenhancer_s.onnx

The first input and the first output are the signal at 16 kHz, float32. All other inputs are states, which
begin as zeros. All other outputs are the next states, in the order of the inputs. The shape of the signal
tells which of two interfaces the file has:

    spectrum   (1, n_fft / 2 + 1, 1, 2) in and out: real and imaginary parts of one frame
    audio      (1, samples) in, (1, hop_length) out: the input is the new hop, after earlier samples if it is
               longer than the hop

Options of a spectrum are `n_fft` (default: from the shape), `hop_length` (default: half of it) and `window`,
`hann_sqrt` (default) or `hann`, for analysis and synthesis. The overlapping frames are divided by the sum of
the squared windows. If the metadata of the file has these names (or `window_type`), those are the defaults.
Transforms are computed in NumPy and count as time of the peer.

The output of each peer is delayed. `delay`, in samples, is the lag with the highest correlation of the output
with noisy speech at the input, unless the option `delay` sets it. Audio is moved back by it before it is
scored.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from sese.core.errors import InputError
from sese.evaluation import timing
from sese.evaluation.pairs import SAMPLE_RATE
from sese.runtime.artefact import session_options
from sese.runtime.onnx_file import check_file
from standing_report import FRAMES

Audio = NDArray[np.float32]
OPTIONS = ("n_fft", "hop_length", "window", "delay")
WINDOWS = ("hann_sqrt", "hann")
FILE_ROUNDS = 3
LONGEST_DELAY = 4800  # samples, 0.3 s
FORM = "give NAME=PATH.onnx, with options behind it such as ,n_fft=512,hop_length=256,window=hann_sqrt"


@dataclass(frozen=True)
class Peer:
    """A file and its interface.

    Attributes:
        size: Samples of a frame: n_fft of a spectrum, or the length of the input of audio.
        window: Window of a spectrum, one of `WINDOWS`; empty for audio.
        delay: Delay of the output in samples.
    """

    name: str
    path: str
    size: int
    hop_length: int
    window: str = ""
    delay: int = 0

    @property
    def latency_ms(self) -> float:
        """Return the length of a hop plus the delay, in milliseconds."""
        return 1000 * (self.hop_length + self.delay) / SAMPLE_RATE


def read_peer(text: str) -> Peer:
    """Open the peer given on a command line, and measure its delay unless it is given.

    Raises:
        InputError: The text, an option or the file cannot be used.
    """
    name, equals, rest = text.partition("=")
    path, *words = rest.split(",")
    if not (name and equals and path):
        raise InputError(f"--peer: got {text!r}; {FORM}")
    options = dict(word.partition("=")[::2] for word in words)
    for key, value in options.items():
        if key not in OPTIONS:
            raise InputError(f"--peer {name}: got the option {key!r}; choose from {', '.join(OPTIONS)}")
        if key != "window" and not value.isdecimal():
            raise InputError(f"--peer {name}: {key} is {value!r}; give a whole number of samples")
    session = _session(path)
    asked = {key: int(value) for key, value in options.items() if key != "window"}
    window = options.get("window", "")
    peer = _peer(name, path, session, asked, window)
    Stream(peer).feed(np.zeros(peer.hop_length, np.float32))  # a step that fails does so here
    return replace(peer, delay=asked["delay"] if "delay" in asked else measured_delay(peer))


def _peer(
    name: str, path: str, session: onnxruntime.InferenceSession, asked: dict[str, int], window: str
) -> Peer:
    """Return the interface of a peer, from its shapes, its metadata and the options."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    shapes = [[_shape(each) for each in side] for side in (inputs, outputs)]
    for each in (*inputs, *outputs):
        if each.type != "tensor(float)":
            raise unusable(path, f"{each.name} is of the type {each.type}, not tensor(float)")
    if shapes[0][1:] != shapes[1][1:]:
        raise unusable(path, f"its states are {shapes[0][1:]} going in and {shapes[1][1:]} coming out")
    heard, made = shapes[0][0], shapes[1][0]
    if len(heard) == 4 and heard == made and heard[0] == heard[2] == 1 and heard[3] == 2:
        return _spectral_peer(name, path, heard[1], session, asked, window)
    if heard and made and heard[-1] == math.prod(heard) and made[-1] == math.prod(made):
        if window:
            raise InputError(f"--peer {name}: window={window}, but the file takes audio; leave it out")
        for key, size in (("n_fft", heard[-1]), ("hop_length", made[-1])):
            if asked.get(key, size) != size:
                raise InputError(f"--peer {name}: {key}={asked[key]}, but the file has {size}; leave it out")
        if made[-1] > heard[-1] or made[-1] < 2:
            raise unusable(path, f"it makes {made[-1]} samples of {heard[-1]}")
        return Peer(name, path, heard[-1], made[-1])
    raise unusable(path, f"its signal is {heard} going in and {made} coming out")


def _spectral_peer(
    name: str,
    path: str,
    bins: int,
    session: onnxruntime.InferenceSession,
    asked: dict[str, int],
    window: str,
) -> Peer:
    """Return the interface of a peer whose signal is a spectrum."""
    metadata = session.get_modelmeta().custom_metadata_map
    told = {key: int(metadata[key]) for key in OPTIONS[:2] if metadata.get(key, "").isdecimal()} | asked
    size = told.get("n_fft", 2 * (bins - 1))
    if size // 2 + 1 != bins:
        raise InputError(f"--peer {name}: n_fft={size}, but the file has {bins} bins: n_fft={2 * (bins - 1)}")
    hop = told.get("hop_length", size // 2)
    window = window or metadata.get("window_type", WINDOWS[0])
    if window not in WINDOWS:
        raise InputError(f"--peer {name}: got the window {window!r}; choose from {', '.join(WINDOWS)}")
    peer = Peer(name, path, size, hop, window)
    if not 1 <= hop <= size or _overlap(peer).min() < 1e-3:
        raise InputError(
            f"--peer {name}: hop_length={hop} leaves gaps between windows of {size}; give one that overlaps"
        )
    return peer


def unusable(path: str, what: str) -> InputError:
    """Return the error that names the file, what is wrong with it, and what is needed."""
    return InputError(
        f"{path} is no streaming network that can be compared: {what}; it must take a spectrum"
        " (1, bins, 1, 2) or audio (1, samples) first, then float states that come out in the same order"
    )


class Stream:
    """Enhance a signal with a peer, hop by hop."""

    def __init__(self, peer: Peer) -> None:
        self.peer, self.session = peer, _session(peer.path)
        self.signal, *states = self.session.get_inputs()
        self.shape = _shape(self.signal)
        self.fresh = {each.name: np.zeros(_shape(each), np.float32) for each in states}
        if peer.window:
            self.analysis = _window(peer)
            fold = np.resize(_overlap(peer), peer.size)
            self.synthesis = self.analysis / fold.astype(np.float32)
        self.reset()

    def reset(self) -> None:
        """Start a new signal."""
        self.heard = np.zeros(self.peer.size, np.float32)
        self.tail = np.zeros(self.peer.size, np.float32)
        self.states = dict(self.fresh)

    def feed(self, frame: Audio) -> Audio:
        """Return the next hop of the output for the next hop [time] of the input."""
        hop = self.peer.hop_length
        self.heard = np.concatenate([self.heard[hop:], frame])
        if not self.peer.window:
            return self._step(self.heard).reshape(-1)
        spectrum = np.fft.rfft(self.heard * self.analysis).astype(np.complex64)
        made = np.ascontiguousarray(self._step(spectrum.view(np.float32))).reshape(-1).view(np.complex64)
        self.tail[:-hop] = self.tail[hop:]
        self.tail[-hop:] = 0.0
        self.tail += np.fft.irfft(made, self.peer.size).astype(np.float32) * self.synthesis
        return self.tail[:hop].copy()

    def _step(self, signal: Audio) -> Audio:
        try:
            made, *states = self.session.run(
                None, {self.signal.name: signal.reshape(self.shape), **self.states}
            )
        except Exception as error:  # ONNX Runtime raises a dozen kinds, without a common base
            raise unusable(self.peer.path, f"a step fails ({error})") from error
        self.states = dict(zip(self.states, states, strict=True))
        return made


class Enhancer:
    """Enhance whole signals with a peer, as `sese.evaluation.suite.evaluate` needs it."""

    def __init__(self, peer: Peer) -> None:
        self.peer, self.through = peer, Stream(peer)

    def enhance(self, audio: NDArray[Any], sample_rate: int) -> Audio:
        """Enhance `audio` [time] at 16 kHz; the output is aligned to the sample."""
        if sample_rate != SAMPLE_RATE:
            raise InputError(f"peer {self.peer.name}: got {sample_rate} Hz; it hears {SAMPLE_RATE} Hz")
        return _late(self.through, np.asarray(audio, np.float32), self.peer.delay)[self.peer.delay :]


def _late(stream: Stream, audio: Audio, more: int) -> Audio:
    """Return the output for `audio` [time] and `more` samples of silence after it, with its delay."""
    hop = stream.peer.hop_length
    frames = -(-(len(audio) + more) // hop)
    padded = np.zeros(frames * hop, np.float32)
    padded[: len(audio)] = audio
    stream.reset()
    made = [stream.feed(padded[at : at + hop]) for at in range(0, len(padded), hop)]
    return np.concatenate(made)[: len(audio) + more]


def measured_delay(peer: Peer) -> int:
    """Return the delay in samples: the lag with the highest correlation with noisy speech at the input.

    Raises:
        InputError: The output is silent or not finite.
    """
    speech = timing.noisy_speech(SAMPLE_RATE)
    made = _late(Stream(peer), speech, LONGEST_DELAY)
    if not np.isfinite(made).all() or not made.any():
        raise unusable(peer.path, "its output for speech is silent or not finite")
    size = 2 * len(made)
    spectrum = np.fft.rfft(made, size) * np.conj(np.fft.rfft(speech, size))
    return int(np.argmax(np.fft.irfft(spectrum, size)[:LONGEST_DELAY]))


def timer(peer: Peer) -> Callable[[], dict[str, dict[str, float]]]:
    """Return a function that times a peer as `standing_times.Timer` times a model; files run by frame."""
    stream, speech = Stream(peer), timing.noisy_speech(SAMPLE_RATE)
    audio = np.resize(speech, timing.FILE_SECONDS * SAMPLE_RATE)

    def times() -> dict[str, dict[str, float]]:
        frames = timing.time_frames([stream], speech, peer.hop_length, FRAMES)
        seconds = []
        for _ in range(FILE_ROUNDS):
            start = process_time()
            _late(stream, audio, 0)
            seconds.append(process_time() - start)
        factors = {
            "stream": float(np.median(frames)) * SAMPLE_RATE / peer.hop_length,
            "file": float(np.median(seconds)) / timing.FILE_SECONDS,
        }
        return {"": factors}

    return times


def reference_of(asked: str | None, others: Sequence[str]) -> str:
    """Return the name of the system that times are relative to, by default the first; empty for none.

    Raises:
        InputError: No system has this name.
    """
    if asked is None:
        return others[0] if others else ""
    if asked not in others:
        known = ", ".join(others) or "none; give --peer or --rnnoise"
        raise InputError(f"--reference: {asked!r} is not compared with; these are: {known}")
    return asked


def facts(peer: Peer) -> dict[str, Any]:
    """Return the facts about a peer for the report. Its MACs are unknown."""
    return {
        "file": Path(peer.path).name,
        "interface": "spectrum" if peer.window else "audio",
        "size": peer.size,
        "hop_length": peer.hop_length,
        "window": peer.window,
        "delay_ms": 1000 * peer.delay / SAMPLE_RATE,
        "latency_ms": peer.latency_ms,
        "parameters": parameters(peer),
        "macs_per_second": None,
    }


def parameters(peer: Peer) -> int:
    """Return the number of floats in the file, including matrices of transforms and filter banks."""
    import onnx

    graph = onnx.load(peer.path).graph
    floats = [math.prod(each.dims) for each in graph.initializer if each.data_type == onnx.TensorProto.FLOAT]
    return sum(floats)


def _window(peer: Peer) -> Audio:
    """Return a periodic window [n_fft]."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(peer.size) / peer.size)
    return (np.sqrt(hann) if peer.window == "hann_sqrt" else hann).astype(np.float32)


def _overlap(peer: Peer) -> NDArray[np.float64]:
    """Return the sum of the squared windows over each sample of a hop: [hop]."""
    size = -(-peer.size // peer.hop_length) * peer.hop_length
    squared = np.zeros(size)
    squared[: peer.size] = _window(peer).astype(np.float64) ** 2
    return squared.reshape(-1, peer.hop_length).sum(0)


def _shape(value: Any) -> tuple[int, ...]:
    """Return the shape of an input or output, with 1 for axes of open size."""
    return tuple(size if isinstance(size, int) else 1 for size in value.shape)


@cache
def _session(path: str) -> onnxruntime.InferenceSession:
    """Open a session of one thread, with the options of the models of sese.

    Raises:
        InputError: There is no such file, or it is not an ONNX file.
    """
    try:
        check_file(Path(path))
        onnxruntime.set_default_logger_severity(4)
        return onnxruntime.InferenceSession(path, session_options(), providers=["CPUExecutionProvider"])
    except Exception as error:  # as above
        raise InputError(f"{path} cannot be opened as ONNX ({error}); name a streaming network") from error
