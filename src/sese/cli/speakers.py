"""`sese speakers`: embeddings of speakers, groups of them, and who is given which expert."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from sese.cli.options import Changes, Resume, RunConfiguration, RunDir, run_of, take_minutes

app = typer.Typer(help="Embed and group speakers, and select experts for them.", no_args_is_help=True)

Corpora = Annotated[list[Path], typer.Argument(help="Corpus folders, as `sese data describe` takes them.")]


@app.command()
def train(
    config: RunConfiguration,
    overrides: Changes = None,
    run_dir: RunDir = None,
    resume: Resume = False,
) -> None:
    """Train a speaker embedding, or an autoencoder of speech.

    Stops cleanly after max_minutes=N; --resume goes on.
    """
    from sese.cli.extras import require

    require("train", "torch", "safetensors", "yaml")
    from sese.speakers import training as speaker_training

    changes, minutes = take_minutes(overrides)
    config, run_dir = run_of(config, run_dir)
    resolved = speaker_training.read(config, changes)
    speaker_training.train(resolved, run_dir or Path("runs") / resolved.name, resume, minutes)


@app.command()
def verify(
    embedding: Annotated[Path, typer.Argument(help="Run folder of a speaker embedding.")],
    corpora: Corpora,
    snrs: Annotated[
        list[float] | None,
        typer.Option("--snr", help="Of the clips in dB, once each. [default: -5 to 10, 60]"),
    ] = None,
    clips: Annotated[int, typer.Option(help="Clips at each SNR, two of a speaker.")] = 400,
    seconds: Annotated[float, typer.Option(help="Length of a clip.")] = 3.0,
    out: Annotated[
        Path | None, typer.Option("--out-dir", "-o", help="Write verification.json there.")
    ] = None,
) -> None:
    """How well an embedding tells, of two noisy clips, whether one speaker speaks: equal error rates.

    Give corpora that it was not trained on.
    """
    from sese.cli.extras import require

    require("train", "torch", "safetensors")
    from sese.core.errors import InputError
    from sese.data.mix_config import MixConfig
    from sese.evaluation import report
    from sese.speakers.clips import speaker_clips, unseen
    from sese.speakers.embedding import load
    from sese.speakers.verification import CLEAN_DB, verify

    if clips < 4:
        raise InputError(f"--clips is {clips}; give 4 or more")
    for snr in snrs or ():
        if not math.isfinite(snr):
            raise InputError(f"--snr is {snr}; give a finite number of dB, {CLEAN_DB:g} for clean speech")
    net = load(embedding)
    mix = MixConfig(seconds=seconds, sample_rate=net.config.sample_rate)
    made = speaker_clips(unseen(corpora, net.config.sample_rate), mix, net.config.sample_rate, seed=0)
    rows = verify(net, made, clips, snrs or [-5.0, 0.0, 5.0, 10.0, CLEAN_DB])
    typer.echo("| SNR, dB | EER, % | 95% interval | within one source, % | pairs of one, of two | speakers |")
    typer.echo("| --- | --- | --- | --- | --- | --- |")
    for row in rows:
        rate, low, high, alike = (f"{100 * row[name]:.1f}" for name in ("eer", "low", "high", "eer_alike"))
        pairs = f"{row['pairs_same']}, {row['pairs_other']}"
        typer.echo(
            f"| {row['snr_db']:g} | {rate} | {low} to {high} | {alike} | {pairs} | {row['speakers']} |"
        )
    if out is not None:
        report.make_folder(out)
        for path in report.write_files(out, "verification", {"json": report.to_json({"rows": rows})}):
            typer.echo(f"wrote {path}", err=True)


@app.command()
def group(
    embedding: Annotated[Path, typer.Argument(help="Run folder of a speaker embedding.")],
    corpora: Corpora,
    out: Annotated[Path, typer.Option("--out-dir", "-o", help="Folder to write.")],
    counts: Annotated[
        list[int] | None, typer.Option("--groups", "-k", help="How many, once each. [default: 2, 5, 10]")
    ] = None,
    assign: Annotated[
        list[Path] | None,
        typer.Option(help="Corpus whose speakers join the group of the nearest centre, for validation."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the starts of k-means.")] = 0,
) -> None:
    """Group the speakers of corpora by the mean embedding of their clean utterances, with k-means.

    For each number K of groups, writes groups-K.csv, the table that training.experts.table takes, and
    groups-K.json, the centres. Speech whose speaker nothing tells stays out.
    """
    from sese.cli.extras import require

    require("train", "torch", "safetensors")
    from sese.speakers import groups
    from sese.speakers.clips import spoken
    from sese.speakers.embedding import load

    net = load(embedding)
    own = groups.speaker_embeddings(net, spoken(corpora, net.config.sample_rate))
    joining = spoken(assign, net.config.sample_rate, least=1) if assign else None
    others = {} if joining is None else groups.speaker_embeddings(net, joining)
    for count in counts or (2, 5, 10):
        found = groups.group(own, count, seed)
        joined = {name: int(found.nearest(point[None])[0]) for name, point in others.items()}
        table, _ = groups.save(out, found, joined | dict(found.members), str(embedding))
        sizes = [list(found.members.values()).count(number) for number in range(count)]
        more = [list(joined.values()).count(number) for number in range(count)]
        text = f"; {len(joined)} more joined them: {more}" if joined else ""
        typer.echo(f"{table}: {len(found.members)} speakers in groups of {sizes}{text}")


@app.command()
def assemble(
    model: Annotated[Path, typer.Argument(help="Model folder of a generalist, or of an expert a group.")],
    embedding: Annotated[Path, typer.Argument(help="Run folder of a speaker embedding.")],
    groups: Annotated[Path, typer.Argument(help="Centres, groups-K.json of `sese speakers group`.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Model folder to write; it must be new or empty.")
    ],
) -> None:
    """Make a mixture of experts whose gate is a speaker embedding; training.initial takes it.

    A generalist becomes the first expert of every group. The gate picks the group of the nearest centre.
    """
    from sese.cli.extras import require

    require("train", "torch", "safetensors")
    from sese.speakers import assembly
    from sese.speakers import groups as grouping
    from sese.speakers.embedding import load

    made = assembly.write(model, load(embedding), grouping.load(groups), output)
    typer.echo(f"{output}: {made.experts} experts of {made.hidden} units, a gate of {made.gate_hidden}")


@app.command()
def select(
    model: Annotated[Path, typer.Argument(help="Model folder, or run folder, of a mixture of experts.")],
    folders: Annotated[
        list[Path], typer.Argument(help="Folders with clean/ and noisy/, such as one a user.")
    ],
    autoencoder: Annotated[Path | None, typer.Option(help="Run folder of an autoencoder of speech.")] = None,
    beside: Annotated[
        list[Path] | None, typer.Option(help="Model folder of a generalist; the first is compared with.")
    ] = None,
    seconds: Annotated[float, typer.Option(help="Of an input, which those who pick once listen to.")] = 2.0,
    limit: Annotated[int | None, typer.Option(help="Take this many files of each folder.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out-dir", "-o", help="Write selection.json and .md there.")
    ] = None,
) -> None:
    """Compare who picks an input's expert: the gate, an autoencoder's error, an oracle, chance."""
    from sese.cli.extras import require

    require("train", "torch", "safetensors")
    from sese.evaluation import report
    from sese.speakers import selection
    from sese.speakers.autoencoder import load

    if out is not None:
        report.make_folder(out)
    others = {
        place.parent.name if place.name in ("best", "last") else place.name: place for place in beside or ()
    }
    contest = selection.Contest(
        selection.load_model(model),
        {name: selection.load_model(place) for name, place in others.items()},
        None if autoencoder is None else load(autoencoder),
        seconds,
    )
    result = selection.compare(contest, folders, limit)
    text = selection.to_markdown(result)
    typer.echo(text, nl=False)
    if out is not None:
        for path in report.write_files(out, "selection", {"json": report.to_json(result), "md": text}):
            typer.echo(f"wrote {path}", err=True)
