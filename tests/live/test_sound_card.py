"""`sese live` between two virtual sound cards of a PulseAudio daemon."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from live import pulse
from sese.runtime.enhancer import Enhancer

PLAYGROUND = Path(__file__).parents[2] / "examples" / "playground.wav"
MODEL, LEVEL = "demucs-slim-small", "fixed:1"
LIVE = [sys.executable, "-m", "sese.cli.main", "live", "--input", pulse.MICROPHONE, "--output", pulse.SPEAKER]
# A machine that does other things besides is not to spoil the comparison: deep buffers, no deadline to miss.
STEADY = ["--rate", str(pulse.RATE), "--model", MODEL, "--budget", LEVEL, "--max-rtf", "100"]
STEADY += ["--buffer-ms", "150", "--device-latency", "40", "--no-correct-drift"]

DROPOUTS = ("input_overflows", "output_underflows", "lost", "starved", "skipped")

pytestmark = pytest.mark.skipif(pulse.missing() is not None, reason=str(pulse.missing()))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with pulse.daemon(tmp_path_factory.mktemp("pulse")) as environment:
        yield environment


def wait_until(condition: Callable[[], object], seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited for {seconds} s"
        time.sleep(0.05)


def await_start(live: subprocess.Popen[bytes]) -> None:
    """Wait until it says its latency, which it does when the sound card runs."""
    assert live.stderr is not None
    words = b""
    while b"latency" not in words:
        words = live.stderr.readline()
        assert words, "it ended early"


def test_equals_offline(server: dict[str, str], tmp_path: Path) -> None:
    """A noisy file is played to the microphone; what the speaker plays is the offline output of the file."""
    noisy, rate = soundfile.read(PLAYGROUND, dtype="float32", frames=4 * pulse.RATE)
    assert rate == pulse.RATE
    for _ in range(3):  # a machine that does other things besides may be late
        told, heard = play(server, noisy, tmp_path / "clean.raw")
        dropouts = sum(told[name] for name in DROPOUTS)
        if not dropouts:
            break
    ratio, offset = against_offline(heard, noisy)
    print(f"SI-SDR {ratio:.1f} dB against the offline output; {dropouts} dropouts; {told}")
    assert ratio > 20
    assert si_sdr(noisy, heard[offset : offset + len(noisy)]) < ratio - 5, "the model does something"
    assert told["utilization"] == 1
    assert told["model_latency_ms"] == pytest.approx(37.2, abs=0.1)
    assert told["seconds"] > 4


def play(server: dict[str, str], noisy: NDArray[np.float32], file: Path) -> tuple[dict[str, Any], Any]:
    """Play a file through `sese live`: what it told at its end, and what was heard."""
    command = [*LIVE, *STEADY, "--json"]
    live = subprocess.Popen(command, env=server, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        await_start(live)
        with open(file, "wb") as out:
            record = ["parec", "--device=clean.monitor", *pulse.FORM]
            recorder = subprocess.Popen(record, env=server, stdout=out)
        wait_until(lambda: pulse.recorders(server, "clean.monitor"))
        time.sleep(0.5)
        # PulseAudio may lose samples where a program begins to play: those of some silence.
        played = np.concatenate([np.zeros(pulse.RATE // 2, np.float32), noisy]).tobytes()
        subprocess.run(["pacat", "--device=noisy", *pulse.FORM], env=server, input=played, check=True)
        time.sleep(0.8)
        recorder.terminate()
        recorder.wait(10)
    finally:
        live.send_signal(signal.SIGINT)
        out_, err = live.communicate(timeout=20)
    assert live.returncode == 130, err
    return json.loads(out_), np.fromfile(file, "<f4")


def test_keys(server: dict[str, str]) -> None:
    """On a terminal: meters, b bypasses, q ends with exit code 0, and the terminal is as it was."""
    screen, terminal = pty.openpty()
    before = termios.tcgetattr(terminal)
    command = [*LIVE, "--rate", "16000", "--model", MODEL]
    ends = {"stdin": terminal, "stdout": terminal, "stderr": terminal}
    live = subprocess.Popen(command, env=server | {"TERM": "xterm"}, **ends)
    shown = ""

    def await_words(words: str) -> None:
        nonlocal shown
        end = time.monotonic() + 20
        while words not in shown:
            assert time.monotonic() < end, shown
            assert live.poll() is None or select.select([screen], [], [], 0)[0], shown
            if select.select([screen], [], [], 0.1)[0]:
                shown += os.read(screen, 4096).decode()

    await_words("q quit")
    await_words("level")
    assert "sese_microphone -> sese_speaker; 16000 Hz" in shown
    assert re.search(r"latency \d+ ms \(input \d+, output \d+, model 37, buffer 36\)", shown)
    assert "dBFS" in shown
    assert "bypass " not in shown.replace("b bypass", "")
    os.write(screen, b"b")
    await_words("bypass   real-time factor")
    shown = ""
    os.write(screen, b"B")
    await_words("level")
    os.write(screen, b"q")
    await_words("s of audio")
    assert live.wait(10) == 0
    assert termios.tcgetattr(terminal) == before
    os.close(screen)
    os.close(terminal)


def test_channels_that_are_not_linked(server: dict[str, str]) -> None:
    """They have no deadline, unless one is asked for, which is refused."""
    command = [*LIVE, "--rate", "16000", "--model", MODEL, "--channels", "2", "--unlinked", "--json"]
    done = subprocess.run([*command, "--seconds", "0.5"], env=server, capture_output=True, timeout=20)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["channels"], told["max_rtf"]) == (2, None)


def test_list(server: dict[str, str]) -> None:
    done = subprocess.run([*LIVE[:4], "--list", "--json"], env=server, capture_output=True, timeout=20)
    cards = {card["name"]: card for card in json.loads(done.stdout)}
    assert cards[pulse.MICROPHONE]["inputs"] > 0
    assert cards[pulse.SPEAKER]["outputs"] > 0
    assert [card["index"] for card in cards.values()] == list(range(len(cards)))


REFUSED = {
    "no input device has 'nothing of the kind' in its name": ["--input", "nothing of the kind"],
    "input device 'ses' may be": ["--input", "ses"],
    "no device 99": ["--output", "99"],
    "'²'": ["--input", "²"],
    "1000": ["--rate", "1000"],
    "sample_rate is 0": ["--rate", "0"],
    "--seconds is nan": ["--seconds", "nan"],
    "--seconds is -5": ["--seconds", "-5"],
    "--block-ms is 0": ["--block-ms", "0"],
    "'soon'": ["--device-latency", "soon"],
    "budget is 3.0": ["--budget", "3"],
    "--linked": ["--channels", "2", "--unlinked", "--max-rtf", "0.5"],
}
RUN_ALL = """
import json, sys
from sese.cli.main import main
for words in json.loads(sys.argv[1]):
    sys.argv = ["sese", *words]
    try:
        main()
    except SystemExit as end:
        print(end.code)
"""


def test_refused(server: dict[str, str]) -> None:
    """All in one process of its own, whose PortAudio looks for devices once."""
    runs = json.dumps([[*LIVE[3:], "--model", MODEL, *options] for options in REFUSED.values()])
    done = subprocess.run([sys.executable, "-c", RUN_ALL, runs], env=server, capture_output=True, text=True)
    assert done.stdout.split() == ["2"] * len(REFUSED), done.stderr
    for told, line in zip(REFUSED, done.stderr.splitlines(), strict=True):
        assert line.startswith("sese: error: ")
        assert told in line
        assert ";" in line, "a remedy follows the problem"


def test_card_goes_away(tmp_path: Path) -> None:
    with pulse.daemon(tmp_path) as environment:
        command = [*LIVE, *STEADY]
        live = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
        await_start(live)
        time.sleep(0.3)
    try:
        _, err = live.communicate(timeout=20)
    finally:
        live.kill()
    assert live.returncode == 2
    assert b"the sound card stopped" in err
    assert b"Traceback" not in err


def against_offline(heard: NDArray[np.float32], noisy: NDArray[np.float32]) -> tuple[float, int]:
    """SI-SDR in dB of what was heard against the offline output, and where in it the file begins.

    Where in a frame of the model the file begins, and how long it heard silence before, is by chance and
    changes its output a little. So the offline output of several beginnings is compared: the place in a frame
    coarse, then fine, then the silence.
    """
    enhancer = Enhancer(MODEL, LEVEL)
    hop, size = enhancer.card.hop_length, len(heard) + len(noisy)
    offline = enhancer.enhance(noisy, pulse.RATE)
    spectrum = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(offline, size))
    offset = int(np.argmax(np.fft.irfft(spectrum, size)[: len(heard)]))
    found = heard[offset : offset + len(noisy)]
    assert len(found) == len(noisy), "the end of the file was not heard"

    def best(starts: list[int], length: int) -> tuple[float, int]:
        rows = np.zeros((len(starts), max(starts) + length), np.float32)  # side by side, as channels
        for row, start in zip(rows, starts, strict=True):
            row[start : start + length] = noisy[: len(row) - start][:length]
        rows = enhancer.enhance(rows, pulse.RATE)
        return max(
            (si_sdr(row[start : start + length], found[:length]), start)
            for row, start in zip(rows, starts, strict=True)
        )

    quiet = 31 * hop  # half a second
    _, coarse = best([quiet + phase for phase in range(0, hop, 16)], 2 * pulse.RATE)
    _, fine = best([coarse + near for near in range(-8, 8)], 2 * pulse.RATE)
    ratio, _ = best([fine % hop + frames * hop for frames in (4, 8, 16, 31, 62, 124)], len(noisy))
    return ratio, offset


def si_sdr(reference: NDArray[np.float32], estimate: NDArray[np.float32]) -> float:
    reference, estimate = reference.astype(float), estimate.astype(float)
    target = reference * (estimate @ reference) / (reference @ reference)
    return float(10 * np.log10((target @ target) / np.sum((estimate - target) ** 2)))
