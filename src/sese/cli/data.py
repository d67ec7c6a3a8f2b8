"""`sese data`: `describe` a corpus, `select` its good recordings, `mix` a fixed noisy set from it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from sese.cli.apps import App
from sese.core.errors import plain

if TYPE_CHECKING:
    from sese.data.bank import Bank
    from sese.data.corpora import Corpus, Recording
    from sese.data.mix_config import MixConfig
    from sese.data.mixture_spec import MixtureSpec
    from sese.data.selection import Row

ACTIVITY_COLUMNS = ("file", "kind", "begin_s", "end_s", "speaker")
ROOM_S = 0.05  # for the way to the microphone and the fade of the early reflections

app = App("Describe corpora, select recordings, and mix noisy sets.", no_args_is_help=True)


@app.verb("describe", "sese data describe corpus")
def describe(
    folder: Path = typer.Argument(..., metavar="DIR", help="Corpus, paired set, or folder of audio."),
    role: str | None = typer.Option(None, help="Role of all files: speech, noise or rir."),
    json_: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Show hours, speakers, noise categories, sample rates, pairs, and files that could not be read."""
    import json

    from sese.data.corpora import scan

    corpus = scan(folder, role=role)  # type: ignore[arg-type]
    facts = _facts(folder, corpus)
    if json_:
        typer.echo(json.dumps(facts, indent=2))
    else:
        _print(facts)


@app.verb("select", "sese data select corpus --min-snr 25")
def select(
    folder: Path = typer.Argument(..., metavar="DIR", help="Corpus, or folder of audio of one role."),
    out: Path | None = typer.Option(
        None, "--out", "-o", help="Manifest to write.", show_default="DIR/selection.csv"
    ),
    role: str = typer.Option("speech", help="Kind of recordings to measure: speech or noise."),
    min_snr: float | None = typer.Option(None, help="Lowest SNR, dB.", show_default="speech 30, noise none"),
    min_bandwidth: float | None = typer.Option(
        None, help="Lowest bandwidth, Hz.", show_default="speech 6000, noise none"
    ),
    min_level: float | None = typer.Option(
        None, help="Lowest active level, dBFS.", show_default="speech -45, noise -60"
    ),
    max_clipped: int = typer.Option(2, min=0, help="Highest number of clipped runs of samples."),
    min_seconds: float = typer.Option(0.5, help="Shortest length, seconds."),
    max_gated: float = typer.Option(1.0, help="Highest share (0 to 1) of frames below -84 dBFS."),
    cap_minutes: float | None = typer.Option(
        None, help="Longest total of each speaker or category, minutes.", show_default="no limit"
    ),
    jobs: int | None = typer.Option(None, help="Number of processes.", show_default="one per core"),
    json_: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Measure recordings and write a list of those that are good enough to train on (selection.csv).

    The measures are SNR, bandwidth, level, clipping, length and gating of each file.
    All commands that read the corpus then leave out the other files.
    No recording is changed; delete selection.csv to use all of them again.
    """
    import json
    from dataclasses import replace

    from sese.core.errors import InputError
    from sese.data.corpora import SELECTION, read_selection
    from sese.data.selection import DEFAULTS, select, write

    if role not in DEFAULTS:
        raise InputError(f"data select: --role is {role!r}; use speech or noise")
    given = {"min_snr_db": min_snr, "min_bandwidth_hz": min_bandwidth, "min_level_dbfs": min_level}
    limits = replace(
        DEFAULTS[role],
        **{name: value for name, value in given.items() if value is not None},
        max_clipped=max_clipped,
        min_seconds=min_seconds,
        max_gated=max_gated,
        cap_minutes=cap_minutes,
    )
    manifest = folder / SELECTION if out is None else out
    if manifest.exists():
        read_selection(manifest)  # a damaged one is refused before the work
    elif out is not None and not out.parent.is_dir():
        raise InputError(
            f"data select: there is no folder {out.parent} to write {out.name} in; make it first"
        )
    rows = select(folder, role, limits, jobs)  # type: ignore[arg-type]
    write(rows, manifest)
    summary = _selection_summary(rows) | {"manifest": str(manifest)}
    if json_:
        typer.echo(json.dumps(summary, indent=2))
    else:
        _print_selection(summary, role)


@app.verb("mix", "sese data mix corpus noisy-set --clips 100 --seconds 4")
def mix(
    folder: Path = typer.Argument(..., metavar="DIR", help="Corpus with speech and noise."),
    out: Path = typer.Argument(..., metavar="OUT", help="Folder to write; it must be new or empty."),
    clips: int = typer.Option(240, min=1, help="Number of clips."),
    seconds: float = typer.Option(5.0, help="Length of a clip in seconds."),
    seed: int = typer.Option(1, min=0, help="Seed; another seed gives other clips."),
    snr: tuple[float, float] = typer.Option((-5.0, 20.0), help="Lowest and highest SNR, dB; spread evenly."),
    level: tuple[float, float] = typer.Option((-38.0, -12.0), help="Lowest and highest speech level, dBFS."),
    reverb: float = typer.Option(
        0.0, help="Probability that speech gets the sound of a room of the corpus, 0 to 1."
    ),
    activity: float = typer.Option(
        0.0,
        help="Share of the time in which speech is active, 0.1 to 0.9, for conversations of one or two"
        " talkers with pauses of 1 to 10 s; also writes OUT/activity.csv. 0 gives speech without pauses.",
    ),
    cache: Path | None = typer.Option(None, help="Folder for decoded audio.", show_default="~/.cache/sese"),
) -> None:
    """Write a fixed paired set: OUT/clean/*.wav, OUT/noisy/*.wav (16 kHz, 16 bits) and OUT/manifest.csv.

    With --activity these are conversations, and OUT/activity.csv lists the times of speech and of noise.
    """
    import csv
    from dataclasses import replace

    import soundfile

    from sese.cli.extras import require
    from sese.core.errors import InputError
    from sese.core.files import replacing, require_new

    require("train", "torch")
    from sese.data.batches import stratified
    from sese.data.corpus_banks import load_banks
    from sese.data.mix_config import MixConfig
    from sese.data.mixing import Mixer

    require_new(out)
    config = MixConfig(seconds=seconds, snr_db=snr, level_dbfs=level).without_augmentation(reverb)
    if activity != 0:
        config = replace(config, conversation=1.0, activity=activity)
    banks = load_banks([folder], cache_dir=cache, split=None)
    if reverb > 0 and banks.rir is None:
        raise InputError(f"mix --reverb {reverb}: {folder} has no room responses; add rir/ or leave it out")
    mixer = Mixer(config, banks.speech, banks.noise, banks.rir, seed)
    with replacing(out, folder=True) as made:
        for side in ("clean", "noisy"):
            (made / side).mkdir(parents=True)
        activities: list[tuple[Any, ...]] = []
        with open(made / "manifest.csv", "w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["file", "snr_db", "speaker", "noise", "speech_files", "noise_file", "rir_file"])
            for i, value in enumerate(stratified(*config.snr_db, clips, seed)):
                mixture, spec, name = mixer([i], [float(value)]), mixer.sampler(i), f"{i:05d}.wav"
                for side, sound in (("clean", mixture.clean), ("noisy", mixture.noisy)):
                    soundfile.write(
                        made / side / name, sound[0, 0].numpy(), config.sample_rate, subtype="PCM_16"
                    )
                speech, noise = [piece[0] for piece in spec.speech], spec.noise[0][0]
                if spec.turns is not None:
                    speech = [piece.recording for turn in spec.turns for piece in turn.pieces]
                    activities += [(name, *interval) for interval in _activity(spec, config, banks.speech)]
                speakers = dict.fromkeys(banks.speech.group_names[banks.speech.groups[s]] for s in speech)
                table.writerow(
                    [
                        name,
                        f"{float(mixture.snr_db[0]):.2f}",
                        ";".join(speakers),
                        banks.noise.group_names[banks.noise.groups[noise]],
                        ";".join(_short(banks.speech.paths[s], folder) for s in speech),
                        _short(banks.noise.paths[noise], folder),
                        _short(banks.rir.paths[spec.rir], folder) if banks.rir and spec.rir >= 0 else "",
                    ]
                )
        if activity != 0:
            with open(made / "activity.csv", "w", newline="") as file:
                csv.writer(file).writerows([ACTIVITY_COLUMNS, *activities])
    for problem in banks.problems:
        typer.echo(plain(f"left out: {problem.path}: {problem.reason}"), err=True)
    typer.echo(f"{clips} clips in {out}")


def _activity(spec: MixtureSpec, config: MixConfig, speech: Bank) -> Iterator[tuple[str, str, str, str]]:
    """Yield (kind, beginning in s, end in s, speaker) of the turns and of the noise, within the clip.

    In a room, a turn includes the reflections that belong to the target.
    """
    time, rate = config.time, config.sample_rate
    echo = round((config.early_ms / 1000 + ROOM_S) * rate) if spec.rir >= 0 else 0
    for turn in spec.turns or ():
        begin, end = max(turn.begin, 0), min(turn.end + echo, time)
        speaker = speech.group_names[speech.groups[turn.pieces[0].recording]]
        yield "speech", f"{begin / rate:.6f}", f"{end / rate:.6f}", speaker
    first, length = spec.no_noise or (time, 0)
    for begin, end in ((0, first), (first + length, time)):
        if end > begin:
            yield "noise", f"{begin / rate:.6f}", f"{end / rate:.6f}", ""


def _short(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _facts(folder: Path, corpus: Corpus) -> dict[str, Any]:
    facts: dict[str, Any] = {"folder": str(folder)}
    for kind in ("speech", "noise", "rir"):
        facts[kind] = _summary(getattr(corpus, kind))
    facts["pairs"] = len(corpus.pairs)
    facts["licences"] = [str(path) for path in corpus.licences]
    facts["dropped"] = [{"file": str(p.path), "reason": p.reason} for p in corpus.dropped]
    facts["problems"] = [{"file": str(p.path), "reason": p.reason} for p in corpus.problems]
    return facts


def _selection_summary(rows: list[Row]) -> dict[str, Any]:
    from collections import Counter
    from statistics import median

    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row)

    def facts(rows: list[Row]) -> dict[str, Any]:
        measured = [(row, row.measures) for row in rows if row.measures]
        snrs = [measures.snr_db for _, measures in measured if measures.snr_db == measures.snr_db]
        return {
            "files": len(rows),
            "files_kept": sum(not row.reasons for row in rows),
            "hours": round(sum(m.seconds for _, m in measured) / 3600, 4),
            "hours_kept": round(sum(m.seconds for row, m in measured if not row.reasons) / 3600, 4),
            "median_snr_db": round(median(snrs), 1) if snrs else None,
            "dropped": dict(Counter(reason for row in rows for reason in row.reasons).most_common()),
        }

    by_length = sorted(((name, facts(rows)) for name, rows in groups.items()), key=lambda x: -x[1]["hours"])
    return facts(rows) | {"groups": dict(by_length)}


def _print_selection(summary: dict[str, Any], role: str, most: int = 20) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=_shown(summary["manifest"]))
    for column in ("speaker" if role == "speech" else "category", "files kept", "hours kept", "SNR (dB)"):
        table.add_column(column, justify="left" if not table.columns else "right")
    table.add_column("dropped for")
    for name, facts in [*list(summary["groups"].items())[:most], ("all", summary)]:
        table.add_row(
            _shown(name),
            f"{facts['files_kept']} of {facts['files']}",
            f"{facts['hours_kept']:.2f} of {facts['hours']:.2f}",
            "" if facts["median_snr_db"] is None else f"{facts['median_snr_db']:.1f}",
            ", ".join(f"{reason} ({count})" for reason, count in facts["dropped"].items()),
        )
    console = Console()
    console.print(table)
    if len(summary["groups"]) > most:
        console.print(f"{len(summary['groups']) - most} shorter groups are not shown; --json prints all")


def _summary(recordings: tuple[Recording, ...]) -> dict[str, Any]:
    from collections import Counter

    hours: Counter[str] = Counter()
    for record in recordings:
        hours[record.group] += record.seconds / 3600  # type: ignore[assignment]
    return {
        "files": len(recordings),
        "hours": round(sum(hours.values()), 4),
        "groups": {name: round(value, 4) for name, value in hours.most_common()},
        "sample_rates": dict(sorted(Counter(str(r.sample_rate) for r in recordings).items())),
    }


def _print(facts: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(title=_shown(facts["folder"]))
    for column in ("", "files", "hours", "groups", "sample rates (Hz)", "largest groups"):
        table.add_column(column, justify="right" if column in ("files", "hours") else "left")
    words = {"speech": "speakers", "noise": "categories", "rir": "folders"}
    for kind, word in words.items():
        facts_of = facts[kind]
        if facts_of["files"]:
            largest = ", ".join(list(facts_of["groups"])[:4])
            rates = ", ".join(f"{rate} ({count})" for rate, count in facts_of["sample_rates"].items())
            cells = (f"{facts_of['files']}", f"{facts_of['hours']:.2f}", f"{len(facts_of['groups'])} {word}")
            table.add_row(kind, *cells, rates, _shown(largest))
    console.print(table)
    console.print(f"pairs of clean and noisy: {facts['pairs']}")
    for path in facts["licences"]:
        console.print(f"licence: {_shown(path)}", soft_wrap=True)
    if facts["dropped"]:
        from collections import Counter

        reasons = Counter(word for problem in facts["dropped"] for word in problem["reason"].split())
        counts = ", ".join(f"{_shown(reason)} ({count})" for reason, count in reasons.most_common())
        console.print(f"left out by selection.csv: {len(facts['dropped'])} files: {counts}", soft_wrap=True)
    if facts["problems"]:
        console.print(f"could not be used: {len(facts['problems'])}")
        for problem in facts["problems"]:
            console.print(f"  {_shown(problem['file'])}: {_shown(problem['reason'])}", soft_wrap=True)


def _shown(text: str) -> str:
    """Escape names of files and folders, so that neither a terminal nor rich obeys them."""
    from rich.markup import escape

    return escape(plain(text))
