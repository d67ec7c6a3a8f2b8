"""Measure how well a recogniser hears noisy speech, enhanced speech, and speech with limited attenuation.

    pip install faster-whisper
    python benchmarks/recognition.py RECOGNISER NOISE SPEECH... -o words.csv

RECOGNISER is a folder with a Whisper model for faster-whisper, NOISE and SPEECH are folders of recordings.
Each recording of speech gets one noise at one SNR. The reference is the recogniser's own transcript of the
clean recording, so that the word error rate shows what noise and enhancement change. Recordings take turns:
the first half chooses the limit (every second one), the other half reports it. Intervals are bootstrapped
over recordings.
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import soundfile
import typer
from numpy.typing import NDArray

from exit_codes import exit_code
from sese.core.errors import InputError
from sese.core.files import replacing
from sese.core.tables import table
from sese.runtime.enhancer import Enhancer
from sese.runtime.options import EnhanceOptions

RATE = 16000
SNRS, LIMITS = [0.0, 5.0, 10.0, 15.0], [6.0, 12.0, 18.0]
Audio = NDArray[np.float32]


def words_of(text: str) -> list[str]:
    """Return the words of a transcript in lower case, without punctuation."""
    return re.findall(r"[a-z0-9']+", text.lower())


def edits(reference: Sequence[str], heard: Sequence[str]) -> int:
    """Return the least number of words to change, insert or delete.

    Example:
        >>> edits("a b c".split(), "a x c d".split())
        2
    """
    row = list(range(len(heard) + 1))
    for at, word in enumerate(reference, 1):
        before, row[0] = row[0], at
        for to, other in enumerate(heard, 1):
            before, row[to] = row[to], min(row[to] + 1, row[to - 1] + 1, before + (word != other))
    return row[-1]


def noisy(speech: Audio, noise: Audio, snr_db: float) -> Audio:
    """Return speech with a repeated noise at an SNR over the whole recording, at most at full scale."""
    noise = np.resize(noise, len(speech))
    gain = np.sqrt(np.mean(speech**2) / max(np.mean(noise**2), 1e-12)) * 10 ** (-snr_db / 20)
    mixture = speech + gain * noise
    return (mixture / max(1.0, float(np.abs(mixture).max()) / 0.99)).astype(np.float32)


def versions(enhancer: Enhancer, mixture: Audio, limits: Sequence[float]) -> dict[str, Audio]:
    """Return the mixture, the enhanced mixture, and it with each limit of the attenuation in dB."""
    clean = enhancer.enhance(mixture, RATE)
    made = {"noisy": mixture, "enhanced": clean}
    for limit in limits:  # as `max_attenuation_db` mixes them
        wet = EnhanceOptions(max_attenuation_db=limit).wet
        made[f"limit {limit:g} dB"] = wet * clean + (1 - wet) * mixture
    return made


def rate(rows: Iterable[dict[str, Any]]) -> float:
    """Return the word error rate of some recordings in percent."""
    rows = list(rows)
    return 100 * sum(row["edits"] for row in rows) / max(1, sum(row["words"] for row in rows))


def report(rows: Sequence[dict[str, Any]], snrs: Sequence[float], rounds: int = 2000) -> str:
    """Return a table for each half: the word error rates by SNR, and the difference from the noisy ones."""
    names = list(dict.fromkeys(row["version"] for row in rows))
    lines = []
    for half in (0, 1):
        chosen = [row for row in rows if row["half"] == half]
        files = sorted({row["file"] for row in chosen})
        lines += ["", f"{('choosing', 'reporting')[half]} half, {len(files)} recordings", ""]
        header = ["", *(f"{snr:g} dB" for snr in snrs), "all", "less than noisy (95%)"]
        found = []
        counts = {
            name: {row["file"]: (row["edits"], row["words"]) for row in chosen if row["version"] == name}
            for name in names
        }
        rng = np.random.default_rng(0)
        draws = rng.integers(len(files), size=(rounds, len(files)))
        for name in names:
            own = [row for row in chosen if row["version"] == name]
            cells = [f"{rate(row for row in own if row['snr'] == snr):.1f}" for snr in snrs]
            gained = np.array([counts["noisy"][file][0] - counts[name][file][0] for file in files])
            total = np.array([counts[name][file][1] for file in files])
            means = 100 * gained[draws].sum(1) / total[draws].sum(1)
            low, high = np.percentile(means, [2.5, 97.5])
            cells += [
                f"{rate(own):.1f}",
                f"{100 * gained.sum() / total.sum():.1f} ({low:.1f} to {high:.1f})",
            ]
            found.append([name, *cells])
        lines += table(header, found)
    return "\n".join(lines)


def main(
    recogniser: Annotated[Path, typer.Argument(help="Folder with a Whisper model for faster-whisper.")],
    noise: Annotated[Path, typer.Argument(help="Folder of noises.")],
    speech: Annotated[list[Path], typer.Argument(help="Folders of speech.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Table with a row for each transcript.")],
    model: Annotated[str, typer.Option(help="Model that enhances.")] = "sese-2",
    snr: Annotated[list[float], typer.Option(help="SNRs in dB, which recordings take in turn.")] = SNRS,
    limit: Annotated[list[float], typer.Option(help="Limits of the attenuation in dB.")] = LIMITS,
    files: Annotated[int, typer.Option(help="Most recordings to use.")] = 200,
    seed: Annotated[int, typer.Option(help="Seed of the noises.")] = 0,
) -> None:
    """Write the errors of each transcript, and print word error rates."""
    from faster_whisper import WhisperModel

    recordings = sorted(path for folder in speech for path in folder.rglob("*.opus"))[:files]
    noise_files = sorted(noise.rglob("*.opus"))
    if not recordings or not noise_files:
        raise InputError("there are no .opus files of speech, or none of noise")
    listener = WhisperModel(str(recogniser), device="cpu", compute_type="int8", cpu_threads=1)

    def hear(audio: Audio) -> list[str]:
        parts, _ = listener.transcribe(
            audio, language="en", beam_size=1, temperature=0.0, without_timestamps=True,
            condition_on_previous_text=False,
        )  # fmt: skip
        return words_of(" ".join(part.text for part in parts))

    rng = np.random.default_rng(seed)
    enhancer, rows = Enhancer(model), []
    noise_order = rng.permutation(len(noise_files))
    for at, path in enumerate(recordings):
        clean = soundfile.read(path, dtype="float32")[0]
        disturbance = soundfile.read(noise_files[noise_order[at % len(noise_files)]], dtype="float32")[0]
        level = snr[at // 2 % len(snr)]  # both halves have all SNRs
        reference = hear(clean)
        for name, audio in versions(enhancer, noisy(clean, disturbance, level), limit).items():
            heard = hear(audio)
            rows.append(
                {
                    "file": path.name,
                    "half": at % 2,
                    "snr": level,
                    "version": name,
                    "words": len(reference),
                    "edits": min(edits(reference, heard), len(reference)),  # loops count as all wrong
                    "heard": " ".join(heard),
                }
            )
        print(f"{at + 1} of {len(recordings)}", file=sys.stderr)
        with replacing(output) as part, part.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    print(report(rows, snr))


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command(help=__doc__)(main)
    sys.exit(exit_code("recognition", lambda: app(standalone_mode=False)))
