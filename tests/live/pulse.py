"""A PulseAudio daemon of its own: two null sinks that ALSA programs see as a microphone and a speaker."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes.util import find_library
from importlib.util import find_spec
from pathlib import Path

MICROPHONE, SPEAKER = "sese_microphone", "sese_speaker"
RATE = 16000
PLUGIN = "alsa-lib/libasound_module_pcm_pulse.so"
FORM = ("--raw", "--format=float32le", f"--rate={RATE}", "--channels=1")


def missing() -> str | None:
    """Return the names of missing packages that the sound server needs; None if all are installed."""
    programs = {"pulseaudio": "pulseaudio", "pactl": "pulseaudio-utils", "pacat": "pulseaudio-utils"}
    packages = {package for program, package in programs.items() if shutil.which(program) is None}
    folders = (folder for pattern in ("lib/*", "lib*") for folder in Path("/usr").glob(pattern))
    if not any((folder / PLUGIN).exists() for folder in folders):
        packages.add("libasound2-plugins")
    # Not by importing it, which would let PortAudio look for devices now.
    if find_spec("sounddevice") is None:
        packages.add("the Python package sounddevice")
    if find_library("portaudio") is None:
        packages.add("libportaudio2")
    return f"needs {', '.join(sorted(packages))}" if packages else None


@contextmanager
def daemon(folder: Path) -> Iterator[dict[str, str]]:
    """Run a daemon in `folder`; yields the environment in which programs find it."""
    for name in ("run", "home"):
        (folder / name).mkdir(mode=0o700)
    # Read by ALSA besides its own files.
    devices = {MICROPHONE: "noisy.monitor", SPEAKER: "clean"}
    lines = [f'pcm.{name} {{ type pulse device "{device}" }}\n' for name, device in devices.items()]
    (folder / "home" / ".asoundrc").write_text("".join(lines))
    environment = os.environ | {
        "HOME": str(folder / "home"),
        "XDG_RUNTIME_DIR": str(folder / "run"),
        "PULSE_RUNTIME_PATH": str(folder / "run" / "pulse"),
    }
    for name in ("PULSE_SERVER", "ALSA_CONFIG_PATH", "DISPLAY"):
        environment.pop(name, None)
    command = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no"]
    sinks = [
        f"module-null-sink sink_name={name} rate={RATE} channels=1 format=float32le"
        for name in ("noisy", "clean")
    ]
    for module in ("module-native-protocol-unix", *sinks):
        command += ["-L", module]
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        end = time.monotonic() + 10
        while b"clean" not in _ask(environment, "list", "short", "sinks"):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < end, (folder / "log").read_text()
            time.sleep(0.05)
        yield environment
    finally:
        process.terminate()
        process.wait(10)


def recorders(environment: dict[str, str], source: str) -> int:
    """Programs that record from a source."""
    sources = {
        line.split()[1]: line.split()[0]
        for line in _ask(environment, "list", "short", "sources").decode().splitlines()
    }
    outputs = _ask(environment, "list", "short", "source-outputs").decode().splitlines()
    return sum(line.split()[1] == sources[source] for line in outputs)


def _ask(environment: dict[str, str], *words: str) -> bytes:
    return subprocess.run(["pactl", *words], env=environment, capture_output=True, timeout=10).stdout
