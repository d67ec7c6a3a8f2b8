"""`sese stream` as a process between real pipes."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

import sese
from command_line import Run
from runtime.tiny_model import tone
from sese.live.pcm import ENCODINGS

ROOT = Path(__file__).parents[2]
RAW = ("--format", "s16le", "--rate", "16000")


def start(*options: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "sese.cli.main", "stream", *map(str, options)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0)


def run(data: bytes, *options: object) -> tuple[int, bytes, str]:
    process = start(*options)
    out, err = process.communicate(data, timeout=60)
    return process.returncode, out, err.decode()


def read_for(process: subprocess.Popen[bytes], size: int, seconds: float = 30) -> bytes:
    """Read so many bytes of a process's output, and no more."""
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    data, end = b"", time.monotonic() + seconds
    while len(data) < size and time.monotonic() < end:
        data += process.stdout.read(size - len(data)) or b""
        time.sleep(0.005)
    os.set_blocking(process.stdout.fileno(), True)
    return data


def wav(audio: np.ndarray, rate: int, subtype: str, length: int | None = None) -> bytes:
    """A WAV file; with `length`, that is what its header says of the audio, in bytes."""
    file = io.BytesIO()
    soundfile.write(file, audio, rate, subtype, format="WAV")
    data = file.getvalue()
    if length is not None:
        place = data.index(b"data") + 4
        data = data[:place] + struct.pack("<I", length) + data[place + 4 :]
    return data


def chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


@pytest.mark.parametrize("out", [(), ("--out-format", "s16le")])
def test_tags_and_markers_are_named(tiny: Path, out: tuple[str, ...]) -> None:
    data = wav(tone(1601), 16000, "PCM_16")
    place = data.index(b"data")
    before = chunk(b"bext", bytes(602)) + chunk(b"JUNK", bytes(30))
    after = chunk(b"cue ", bytes(28)) + chunk(b"LIST", b"INFOodd")
    data = data[:place] + before + data[place:] + after
    code, _, told = run(data, "--model", tiny, *out)
    assert code == 0
    assert "not kept in the output: LIST, bext, markers" in told
    code, _, told = run(wav(tone(1601), 16000, "PCM_16"), "--model", tiny, *out)
    assert (code, "not kept" in told) == (0, False)


def test_equals_offline_whatever_the_chunks() -> None:
    """Real speech, the bundled model, 48 kHz stereo; written in pieces of all sizes."""
    mono, _ = soundfile.read(ROOT / "examples" / "playground.wav", dtype="float32", frames=32000)
    left = np.repeat(mono, 3)
    audio = np.stack([left, left[::-1]])
    process = start("--format", "f32le", "--rate", 48000, "--channels", 2, "--json", "--budget", 0.5)
    assert process.stdin is not None
    data, place, sizes = audio.T.astype("<f4").tobytes(), 0, np.random.default_rng(0)
    got = b""

    def collect() -> None:
        nonlocal got
        got = process.stdout.read()  # type: ignore[union-attr]

    reader = threading.Thread(target=collect)
    reader.start()
    while place < len(data):
        step = int(sizes.choice([1, 7, 1000, 4096, 30001]))
        process.stdin.write(data[place : place + step])
        place += step
    process.stdin.close()
    reader.join(30)
    err = process.stderr.read()  # type: ignore[union-attr]
    assert process.wait(30) == 0, err
    enhanced = np.frombuffer(got, "<f4").reshape(-1, 2).T
    want = sese.enhance(audio, 48000, budget=0.5)
    assert enhanced.shape == want.shape
    assert np.abs(enhanced - want).max() < 1e-4
    assert np.abs(want - audio).max() > 0.05, "the model does something"
    told = json.loads(err)
    assert told["seconds"] == pytest.approx(2.0)
    assert 0 < told["utilization"] <= 0.51
    assert told["real_time_factor"] > 0


@pytest.mark.parametrize("length", [None, 0, 0xFFFFFFFF, 0x7FFFFFFF])
def test_wav_keeps_its_encoding(tiny: Path, length: int | None) -> None:
    subtype = "PCM_24" if length is None else "PCM_16"
    audio = tone(5001, 2, 44100)
    data = wav(audio, 44100, subtype, length)
    code, out, err = run(data, "--model", tiny, "--budget", "fixed:0.5")
    assert code == 0, err
    assert len(out) == len(data)
    assert "share of compute 0.5 (budget fixed:0.5)" in err
    assert out[: out.index(b"data") + 4][20:] == data[: data.index(b"data") + 4][20:]
    told = struct.unpack_from("<I", out, out.index(b"data") + 4)[0]
    assert told == (5001 * 6 if length is None else 0xFFFFFFFF)
    got, rate = soundfile.read(io.BytesIO(out), dtype="float32")
    read, _ = soundfile.read(io.BytesIO(wav(audio, 44100, subtype)), dtype="float32")
    assert rate == 44100
    want = sese.load(tiny, budget="fixed:0.5").enhance(read.T, 44100).T
    assert np.abs(got - want).max() <= 0.51 / (1 << 15 if subtype == "PCM_16" else 1 << 23) + 1e-6


@pytest.mark.parametrize(("form", "out_form"), [("s16le", "s32le"), ("s24le", "s24le"), ("s32le", "wav")])
def test_raw_encodings(tiny: Path, form: str, out_form: str) -> None:
    """The original, through --mix 0, comes back as it was."""
    audio = np.round(tone(3000, 3) * 30000).astype(np.float32) / 32768
    data, _ = ENCODINGS[form].encode(audio)
    rate = ("--rate", 16000, "--channels", 3, "--model", tiny, "--mix", 0, "--quiet")
    code, out, err = run(data, "--format", form, "--out-format", out_form, *rate)
    assert (code, err) == (0, "")
    if out_form == "wav":
        got, _ = soundfile.read(io.BytesIO(out), dtype="float32")
    else:
        got = ENCODINGS[out_form].decode(out, 3)
    np.testing.assert_array_equal(got, audio)


def test_live_pipe_is_not_kept_waiting_and_sigint_loses_nothing(tiny: Path) -> None:
    """Samples come out while the writer is silent; SIGINT brings the rest, to the last sample."""
    process = start(*RAW, "--model", tiny)
    assert process.stdin is not None
    data = (tone(8000)[:, 0] * 32767).astype("<i2").tobytes()
    process.stdin.write(data)
    late = 104 * 2  # bytes of the model's latency
    early = read_for(process, len(data) - late - 128)
    assert len(early) >= len(data) - late - 128
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert len(early + out) == len(data)
    assert np.abs(np.frombuffer(early + out, "<i2") - np.frombuffer(data, "<i2").astype(int)).max() <= 1
    assert b"Traceback" not in err
    assert b"0.5 s of audio" in err


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_sigterm_before_any_input(tiny: Path) -> None:
    process = start("--model", tiny)
    status, end = Path(f"/proc/{process.pid}/status"), time.monotonic() + 30
    while not int(re.search(r"SigCgt:\s*(\w+)", status.read_text())[1], 16) >> signal.SIGTERM - 1 & 1:  # type: ignore[index]
        assert time.monotonic() < end, "it never came to listen to SIGTERM"
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (143, b"", b"sese: told to stop\n")


def test_slow_reader_holds_back_the_writer(tiny: Path) -> None:
    """Nothing is read: what is taken in fits into two pipes and a block. Then the reader goes."""
    process = start(*RAW, "--model", tiny)
    assert process.stdin is not None
    os.set_blocking(process.stdin.fileno(), False)
    block, taken, since = bytes(4096), 0, time.monotonic()
    while time.monotonic() < since + 3:
        try:
            written = os.write(process.stdin.fileno(), block)
        except BlockingIOError:
            time.sleep(0.01)
            continue
        taken, since = taken + written, time.monotonic()
        assert taken < 1 << 20, "it reads on although nobody reads from it"
    assert taken >= 1 << 16
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(30) == 141
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    process.stdin.close()


def test_reader_gone_in_a_shell(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "in.raw").write_bytes(bytes(1 << 20))
    python = f"{sys.executable} -m sese.cli.main stream {' '.join(RAW)} --model {tiny}"
    command = f"set -o pipefail; {python} < {tmp_path / 'in.raw'} | head -c 1000"
    done = subprocess.run(["bash", "-c", command], capture_output=True, timeout=60)
    assert done.returncode == 141
    assert (len(done.stdout), done.stderr) == (1000, b"")


@pytest.mark.parametrize(
    ("closed", "code", "told"),
    [("2>&-", 0, b""), ("<&-", 2, b"stdin is closed"), (">&-", 2, b"stdout is closed")],
)
def test_closed_streams(tiny: Path, tmp_path: Path, closed: str, code: int, told: bytes) -> None:
    """Nothing but audio gets into the output, whatever number its file has."""
    data = (tone(8000)[:, 0] * 32767).astype("<i2").tobytes()
    (tmp_path / "in.raw").write_bytes(data)
    python = f"{sys.executable} -m sese.cli.main stream {' '.join(RAW)} --model {tiny}"
    command = f"{python} < {tmp_path / 'in.raw'} > {tmp_path / 'out.raw'} {closed}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, timeout=60)
    assert (done.returncode, done.stdout) == (code, b"")
    assert told in done.stderr
    assert done.stderr.count(b"\n") == (1 if told else 0)
    assert (tmp_path / "out.raw").stat().st_size == (0 if code else len(data))


def test_odd_bytes_are_told(tiny: Path) -> None:
    code, out, err = run(bytes(4003), *RAW, "--channels", 2, "--model", tiny)
    assert code == 0
    assert len(out) == 4000
    assert "the last 3 bytes of stdin are less than a sample of every channel" in err


def test_wav_cut_short(tiny: Path) -> None:
    """The part that arrived is enhanced, and the exit code is 2."""
    data = wav(tone(4000), 16000, "PCM_16")
    code, out, err = run(data[:-2000], "--model", tiny)
    assert code == 2
    assert len(out) == len(data) - 2000
    assert "stdin ended 2000 bytes before the length in its WAV header" in err


def test_chunks_behind_the_audio_are_left_out(tiny: Path) -> None:
    data = wav(tone(4000), 16000, "PCM_16")
    code, out, _ = run(data + b"LIST" + struct.pack("<I", 200000) + b"\xff" * 200000, "--model", tiny)
    assert (code, len(out)) == (0, len(data))


def test_bad_samples_come_after_good_ones(tiny: Path) -> None:
    process = start("--format", "f32le", "--rate", 16000, "--model", tiny)
    assert process.stdin is not None
    process.stdin.write(tone(2000).astype("<f4").tobytes())
    early = read_for(process, 4 * 1800)
    process.stdin.write(np.full(10, np.nan, "<f4").tobytes())
    out, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert np.abs(np.frombuffer(early + out, "<f4") - tone(2000)[:, 0]).max() < 1e-6
    assert b"nan at sample 2000" in err


@pytest.mark.parametrize("channels", [1, 2])
def test_good_samples_of_the_block_with_bad_ones_are_written(tiny: Path, channels: int) -> None:
    audio = tone(3000).astype("<f4").repeat(channels, axis=1)
    audio[2000, -1] = np.inf
    code, out, err = run(
        audio.tobytes(), "--format", "f32le", "--rate", 16000, "--channels", channels, "--model", tiny
    )
    assert code == 2
    written = np.frombuffer(out, "<f4").reshape(-1, channels)
    assert len(written) == 2000
    assert np.abs(written - audio[:2000]).max() < 1e-6
    assert "inf at sample 2000" in err


def test_full_scale_is_clipped_and_counted(tiny: Path) -> None:
    audio = np.array([0.5, 1.5, -1.5, 1.0] * 100, "<f4")
    code, out, err = run(
        audio.tobytes(), "--format", "f32le", "--rate", 16000, "--out-format", "s16le", "--model", tiny
    )
    assert code == 0
    assert np.frombuffer(out, "<i2")[:4].tolist() == [16384, 32767, -32768, 32767]
    assert "200 samples clipped" in err


def test_trace_and_limits(tiny: Path, tmp_path: Path) -> None:
    trace = tmp_path / "levels.csv"
    code, _, err = run(bytes(6400), *RAW, "--model", tiny, "--max-mmacs", 0.5, "--trace", trace)
    assert code == 0
    assert "limited to level 0.5" in err
    lines = trace.read_text().splitlines()
    assert lines[0] == "time_s,utilization,level"
    assert {line.split(",")[1] for line in lines[1:]} == {"0.5"}


@pytest.mark.parametrize(
    ("data", "options", "told"),
    [
        (b"", (), "stdin was empty"),
        (b"", RAW, "stdin held no audio"),
        (b"not audio at all", (), "stdin is not WAV"),
        (bytes(100), ("--format", "s16le"), "--rate"),
        (bytes(100), ("--format", "u8", "--rate", "16000"), "'u8'"),
        (bytes(100), (*RAW, "--out-format", "mp3"), "'mp3'"),
        (bytes(100), (*RAW, "--channels", "65"), "65 channels"),
        (bytes(100), ("--format", "s16le", "--rate", "4000"), "4000"),
        (wav(tone(100), 16000, "PCM_16"), RAW, "stdin is WAV"),
        (
            wav(tone(100), 16000, "PCM_16"),
            ("--rate", "48000"),
            "--rate is 48000, but stdin is WAV with 16000",
        ),
        (wav(tone(100), 16000, "ULAW"), (), "encoding 0x7"),
        (wav(tone(100), 16000, "PCM_16")[:30], (), "ended within the WAV header"),
        (wav(tone(100), 16000, "PCM_16"), ("--budget", "2"), "budget is 2.0"),
    ],
)
def test_refused(
    sese: Run, monkeypatch: pytest.MonkeyPatch, tiny: Path, data: bytes, options: tuple[str, ...], told: str
) -> None:
    end, pipe = os.pipe()
    os.write(pipe, data)
    os.close(pipe)
    with open(end) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        ran = sese("stream", "--quiet", "--model", tiny, *options)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1), ran
    assert ran.err.startswith("sese: error: ")
    assert ";" in ran.err, "a remedy follows the problem"
    assert told in ran.err
