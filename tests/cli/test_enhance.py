"""`sese enhance`: exit codes, one line for each error, and nothing half-written."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from command_line import Run
from runtime.tiny_model import GAINS, tone, write_model
from sese.runtime.options import RECOGNISER_DB


def test_beside_the_input(sese: Run, tiny: Path, noisy: Path) -> None:
    ran = sese("enhance", noisy, "--model", tiny, "--budget", "0.25")
    assert ran.code == 0
    assert ran.err == ""
    assert re.fullmatch(
        r"[\d.,]+ times as fast as real time, noise 6 dB lower, written to .*noisy_enhanced.wav\n", ran.out
    )
    written, rate = soundfile.read(noisy.with_name("noisy_enhanced.wav"), always_2d=True)
    assert rate == 16000
    np.testing.assert_allclose(written, GAINS[1] * tone(8000), atol=1e-4)


def test_options(sese: Run, tiny: Path, noisy: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.flac"
    blend = ("--mix", "0.5", "--max-attenuation-db", "6.0206")
    ran = sese("enhance", noisy, "-o", out, "--model", tiny / "model.onnx", "--budget", "0.125", *blend)
    assert ran.code == 0
    written, _ = soundfile.read(out, always_2d=True)
    np.testing.assert_allclose(written, (0.25 * GAINS[0] + 0.75) * tone(8000), atol=1e-4)


def test_for_a_recogniser(sese: Run, tiny: Path, noisy: Path, tmp_path: Path) -> None:
    options = ("--model", tiny / "model.onnx", "--budget", "0.125", "--for", "recogniser")
    for more, limit in (((), RECOGNISER_DB), (("--max-attenuation-db", "6.0206"), 6.0206)):
        out = tmp_path / f"{limit}.wav"
        assert sese("enhance", noisy, "-o", out, *options, *more).code == 0
        written, _ = soundfile.read(out, always_2d=True)
        dry = 10 ** (-limit / 20)
        np.testing.assert_allclose(written, (GAINS[0] * (1 - dry) + dry) * tone(8000), atol=1e-4)
    ran = sese("enhance", noisy, "-o", out, *options)
    assert ran.code == 2
    assert "--for" in ran.err


def test_existing_output_is_skipped(sese: Run, tiny: Path, noisy: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.wav"
    out.write_text("mine")
    ran = sese("enhance", noisy, "-o", out)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == f"{noisy} was skipped: its output {out} exists; --force replaces it, -o names another\n"
    assert out.read_text() == "mine"
    ran = sese("enhance", noisy, "-o", out, "--model", tiny)  # which may not have made it
    assert (ran.code, ran.out) == (2, "")
    assert "exists, perhaps with other settings than --model; replace it with --force, or" in ran.err
    assert "-o" in ran.err
    assert sese("enhance", noisy, "-o", out, "--model", tiny, "--force").code == 0
    assert soundfile.info(out).frames == 8000


def test_json(sese: Run, tiny: Path, noisy: Path, tmp_path: Path) -> None:
    ran = sese("enhance", noisy, tmp_path / "none.avi", "--model", tiny, "--json", "--budget", "0.5")
    assert ran.code == 1
    done, failed = json.loads(ran.out)
    assert done["status"] == "done"
    assert done["utilization"] == done["budget"] == 0.5
    assert done["seconds"] == 0.5
    assert done["output"] == str(tmp_path / "noisy_enhanced.wav")
    assert {"processing_seconds", "real_time_factor", "limited_to", "sample_rate", "channels"} < set(done)
    assert failed["status"] == "failed"
    assert "does not exist" in failed["error"]


def test_json_of_one_failure(sese: Run, tiny: Path, tmp_path: Path) -> None:
    ran = sese("enhance", tmp_path / "none.wav", "--model", tiny, "--json")
    assert ran.code == 2
    assert json.loads(ran.out)[0]["status"] == "failed"
    assert ran.err.count("\n") == 1


def test_some_fail(sese: Run, tiny: Path, noisy: Path, tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no audio here")
    ran = sese("enhance", noisy, tmp_path / "text.wav", tmp_path / "none.wav", "--model", tiny)
    assert ran.code == 1
    assert "1 done, 0 skipped, 2 failed" in ran.out
    lines = ran.err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("sese: error: ") for line in lines)
    assert "text.wav" in lines[0]
    assert "none.wav" in lines[1]
    assert noisy.with_name("noisy_enhanced.wav").exists()


def test_budget_and_limits_are_told(sese: Run, tiny: Path, noisy: Path) -> None:
    ran = sese("enhance", noisy, "--model", tiny, "--max-mmacs", "0.3", "--max-rtf", "100", "-v")
    assert (ran.code, ran.err) == (0, "")
    assert "0.5 s of audio in" in ran.out
    assert "share of compute 0.25 (budget 1); limited to level 0.25" in ran.out
    ran = sese("enhance", noisy, "--model", tiny, "-fv", "--budget", "threshold:-3")
    assert "(budget threshold:-3)" in ran.out
    assert "limited" not in ran.out


def test_late_frames_are_told(sese: Run, tiny: Path, noisy: Path) -> None:
    ran = sese("enhance", noisy, "--model", tiny, "--max-rtf", "1e-6", "--json")
    assert ran.code == 0
    (report,) = json.loads(ran.out)
    frames = report["late_frames"]
    assert 125 <= frames <= 127
    assert (report["lowered"], report["missed"], report["limited_to"]) == (3, True, 0.125)
    assert report["max_rtf"] == 1e-6
    note = f"sese: note: {frames} frames took longer than --max-rtf 1e-06 allows, even at the lowest level"
    assert ran.err.startswith(note)
    assert ran.err.count("\n") == 1


def test_what_lies_above_the_band(sese: Run, tiny: Path, tmp_path: Path) -> None:
    wide = tmp_path / "wide.wav"
    times = np.arange(48000) / 48000
    soundfile.write(wide, 0.2 * np.sin(2 * np.pi * 12000 * times), 48000)
    powers = {}
    for choice in ("follow", "drop"):
        out = tmp_path / f"{choice}.wav"
        assert sese("enhance", wide, "-o", out, "--model", tiny, "--band-above", choice).code == 0
        powers[choice] = np.mean(soundfile.read(out)[0] ** 2)
    assert powers["drop"] < 1e-3 * powers["follow"]
    ran = sese("enhance", wide, "--model", tiny, "--band-above", "keep")
    assert ran.code == 2
    assert "follow" in ran.err


@pytest.mark.parametrize("name", ["trace.csv", "trace.json"])
def test_trace(sese: Run, tiny: Path, noisy: Path, name: str) -> None:
    path = noisy.with_name(name)
    command = ("enhance", noisy, "--model", tiny, "--budget", "0.25", "--trace", path)
    assert sese(*command).code == 0
    text = path.read_text()
    assert text.count("utilization" if name == "trace.json" else "\n") >= 125
    assert "0.25" in text
    assert "exists" in sese(*command).err  # the audio
    ran = sese(*command[:4], "-o", noisy.with_name("other.wav"), *command[4:])
    assert ran.code == 2
    assert f"trace {path} exists" in ran.err
    assert path.read_text() == text
    assert not noisy.with_name("other.wav").exists()
    assert sese(*command, "--force").code == 0


def test_bad_trace(refused: Callable[..., str], noisy: Path) -> None:
    assert ".csv or .json" in refused(noisy.parent, noisy, "--trace", noisy.with_name("trace.txt"))
    assert "is a folder" in refused(noisy.parent, noisy, "--trace", folder(noisy.with_name("folder.csv")))
    both = (noisy, noisy.with_name("none.avi"))
    assert "names one file, but there are 2" in refused(noisy.parent, *both, "--trace", "trace.csv")
    below = noisy / "trace.csv"  # a file where a folder should be
    assert f"{below} cannot be written" in refused(noisy.parent, noisy, "--trace", below)


def test_trace_is_not_the_input(refused: Callable[..., str], noisy: Path) -> None:
    audio = noisy.rename(noisy.with_name("audio.csv"))
    out = noisy.with_name("out.wav")
    assert "never overwritten" in refused(noisy.parent, audio, "-o", out, "--trace", audio, "--force")
    both = noisy.with_name("both.json")
    message = refused(noisy.parent, audio, "-o", both, "--trace", both)
    assert f"trace {both} is the output itself" in message


def folder(path: Path) -> Path:
    path.mkdir()
    return path


# Each kind of bad input, alone: exit code 2, one line that names it.


def test_missing(refused: Callable[..., str], tmp_path: Path) -> None:
    assert "none.wav does not exist" in refused(tmp_path, tmp_path / "none.wav")


def test_directory_with_output_file(refused: Callable[..., str], noisy: Path) -> None:
    folder = noisy.parent
    assert "is a folder; use --out-dir" in refused(folder, folder, "-o", folder / "out.wav")


def test_directory_as_output_file(refused: Callable[..., str], noisy: Path) -> None:
    assert "is a folder; use --out-dir" in refused(noisy.parent, noisy, "-o", noisy.parent)


def test_directory_without_audio(refused: Callable[..., str], tmp_path: Path) -> None:
    assert "without audio files" in refused(tmp_path, tmp_path)


def test_empty_file(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    assert "empty.wav is an empty file (0 bytes)" in refused(tmp_path, tmp_path / "empty.wav")


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_truncated(refused: Callable[..., str], tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 48000), 16000)
    path.write_bytes(path.read_bytes()[:40000])
    assert f"{name} is cut short or damaged" in refused(tmp_path, path)


def test_text_named_wav(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no audio here")
    assert "text.wav is damaged or not audio" in refused(tmp_path, tmp_path / "text.wav")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_not_finite(refused: Callable[..., str], tmp_path: Path, value: float) -> None:
    audio = np.zeros(40000)
    audio[20000] = value  # in the second block: the output was begun
    soundfile.write(tmp_path / "bad.wav", audio, 16000, subtype="FLOAT")
    assert f"bad.wav holds {value} at sample 20000 (1.250 s)" in refused(tmp_path, tmp_path / "bad.wav")


def test_no_samples(refused: Callable[..., str], tmp_path: Path) -> None:
    soundfile.write(tmp_path / "short.wav", np.zeros(0), 16000)
    assert "short.wav holds no audio" in refused(tmp_path, tmp_path / "short.wav")


def test_rate_out_of_range(refused: Callable[..., str], tmp_path: Path) -> None:
    soundfile.write(tmp_path / "slow.wav", np.zeros(4000), 4000)
    assert "slow.wav has a sample rate of 4000 Hz" in refused(tmp_path, tmp_path / "slow.wav")


def test_unwritable_output(refused: Callable[..., str], noisy: Path) -> None:
    target = noisy / "out.wav"  # a file where a folder should be
    message = refused(noisy.parent, noisy, "-o", target)
    assert str(target) in message


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_locked_output(refused: Callable[..., str], noisy: Path, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    assert "no permission" in refused(tmp_path, noisy, "-o", tmp_path / "locked" / "out.wav")


def test_unknown_extension(refused: Callable[..., str], noisy: Path) -> None:
    assert "'.xyz'" in refused(noisy.parent, noisy, "-o", noisy.with_name("out.xyz"))


@pytest.mark.parametrize("name", ["out.wav", "out.mp3"])
def test_disk_full(tiny: Path, tmp_path: Path, name: str) -> None:
    soundfile.write(tmp_path / "in.wav", np.random.default_rng(0).normal(0, 0.1, 480000), 48000)
    code = """
import resource
from sese.cli.main import main
resource.setrlimit(resource.RLIMIT_FSIZE, (30000, 30000))
main()
"""
    arguments = ["enhance", tmp_path / "in.wav", "-o", tmp_path / name, "--model", tiny]
    ran = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True)
    assert ran.returncode == 2
    assert "disk full" in ran.stderr
    assert name in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert os.listdir(tmp_path) == ["in.wav"]


def test_output_is_the_input(refused: Callable[..., str], noisy: Path) -> None:
    before = noisy.read_bytes()
    assert "never overwritten" in refused(noisy.parent, noisy, "-o", noisy, "--force")
    assert "never overwritten" in refused(noisy.parent, noisy, "-o", noisy)
    link = noisy.with_name("link.wav")
    link.symlink_to(noisy)
    assert "never overwritten" in refused(noisy.parent, noisy, "-o", link)
    assert noisy.read_bytes() == before


def test_unknown_model(refused: Callable[..., str], noisy: Path) -> None:
    assert "unknown model 'gpt'" in refused(noisy.parent, noisy, model="gpt")


@pytest.mark.parametrize("budget", ["0", "0.1", "2", "nan", "lots", "auto", "fixed:0.3", "fixed:"])
def test_bad_budget(refused: Callable[..., str], noisy: Path, budget: str) -> None:
    message = refused(noisy.parent, noisy, "--budget", budget)
    assert "0.125, 0.25, 0.5, 1" in message
    assert budget in message


@pytest.mark.parametrize("budget", ["threshold:", "threshold:loud"])
def test_bad_threshold(refused: Callable[..., str], noisy: Path, budget: str) -> None:
    assert f"{budget!r}; give 'threshold'" in refused(noisy.parent, noisy, "--budget", budget)


BAD_OPTIONS = [
    "--mix=2", "--mix=nan", "--max-attenuation-db=-3", "--jobs=0", "--max-mmacs=0.1", "--max-mmacs=nan",
    "--max-rtf=0", "--max-rtf=-1", "--max-rtf=inf",
]  # fmt: skip


@pytest.mark.parametrize("option", BAD_OPTIONS)
def test_bad_option(refused: Callable[..., str], noisy: Path, option: str) -> None:
    name, value = option.removeprefix("--").split("=")
    name = name.replace("-", "_")
    message = refused(noisy.parent, noisy, option)
    assert name in message
    assert value in message


def test_corrupt_model(refused: Callable[..., str], noisy: Path, tmp_path: Path, tiny: Path) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes((tiny / "model.onnx").read_bytes()[:500])
    assert "bad.onnx is not a model" in refused(tmp_path, noisy, model=path)


def test_foreign_model(refused: Callable[..., str], noisy: Path, tmp_path: Path) -> None:
    path = write_model(tmp_path / "foreign.onnx")
    assert "foreign.onnx is not a model" in refused(tmp_path, noisy, model=path)


def test_presets(sese: Run, tiny: Path, noisy: Path) -> None:
    for preset, gain in (("fastest", 0.25), ("balanced", 0.5), ("best", 1.0)):
        assert sese("enhance", noisy, "-m", tiny, "-b", preset, "-f").code == 0
        written, _ = soundfile.read(noisy.with_name("noisy_enhanced.wav"), always_2d=True)
        np.testing.assert_allclose(written, gain * tone(8000), atol=1e-4)


def test_environment(sese: Run, tiny: Path, noisy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESE_MODEL", str(tiny))
    monkeypatch.setenv("SESE_BUDGET", "0.125")
    (report,) = json.loads(sese("enhance", noisy, "--json").out)
    assert report["utilization"] == 0.125
    assert sese("enhance", noisy).out.startswith(f"{noisy} was skipped")  # nothing was typed that differs
    (report,) = json.loads(sese("enhance", noisy, "-f", "--json", "-b", "0.5").out)
    assert report["utilization"] == 0.5


@pytest.mark.parametrize("words", [(), ("-m", "sese-8")])
def test_an_error_names_the_variable_that_gave_the_value(
    noisy: Path, words: tuple[str, ...], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "sese", "enhance", noisy, "-o", tmp_path / "out.wav", *words]
    for model in ("sese-9", "sese-1"):
        environment = {**os.environ, "SESE_MODEL": model}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 2
        assert done.stderr.endswith(f"(SESE_MODEL is {model})\n") == (not words)
        assert done.stderr.count("\n") == 1


def test_quiet(sese: Run, tiny: Path, noisy: Path) -> None:
    ran = sese("enhance", noisy, "--model", tiny, "--max-rtf", "1e-6", "-q")
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    ran = sese("enhance", noisy.with_name("none.wav"), "--model", tiny, "-q")
    assert (ran.code, ran.err.count("\n")) == (2, 1)


def test_dry_run(sese: Run, tiny: Path, noisy: Path, tmp_path: Path) -> None:
    (tmp_path / "done.wav").write_bytes(noisy.read_bytes())
    (tmp_path / "done_enhanced.wav").write_text("mine")
    before = sorted(tmp_path.iterdir())
    ran = sese("enhance", tmp_path, "--model", tiny, "--dry-run")
    assert ran.code == 0
    assert f"{noisy} -> {tmp_path / 'noisy_enhanced.wav'}\n" in ran.out
    assert "done_enhanced.wav: skipped, the output exists\n" in ran.out
    assert sorted(tmp_path.iterdir()) == before
    planned = json.loads(sese("enhance", noisy, "--model", tiny, "--dry-run", "--json").out)
    assert [row["status"] for row in planned] == ["planned"]
    assert sese("enhance", tmp_path / "none.wav", "--model", tiny, "--dry-run").code == 1
    assert sese("enhance", noisy, "--model", tiny, "--dry-run", "-b", "7").code == 2


def test_output_to_nowhere(sese: Run, tiny: Path, noisy: Path) -> None:
    before = sorted(noisy.parent.iterdir())
    for _ in range(2):
        ran = sese("enhance", noisy, "-m", tiny, "-o", os.devnull)
        assert ran.code == 0, ran.err
        assert f"written to {os.devnull}" in ran.out
    assert sorted(noisy.parent.iterdir()) == before


def test_output_without_its_option(refused: Callable[..., str], noisy: Path) -> None:
    target = noisy.with_name("out.wav")
    assert f"did you mean -o {target}?" in refused(noisy.parent, noisy, target)


def test_pipes_have_a_verb_of_their_own(refused: Callable[..., str], noisy: Path) -> None:
    assert "sese stream <" in refused(noisy.parent, "-")
    assert "sese stream <" in refused(noisy.parent, noisy, "-o", "-")


def test_near_name_of_a_model(refused: Callable[..., str], noisy: Path) -> None:
    assert "did you mean sese-2?" in refused(noisy.parent, noisy, model="sse-1")


def test_clipping_is_told(sese: Run, tiny: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "loud.wav", np.sign(np.sin(np.arange(24000) / 20)), 48000)
    ran = sese("enhance", tmp_path / "loud.wav", "-m", tiny, "--band-above", "drop")
    assert "too loud for the file and clipped" in ran.out
