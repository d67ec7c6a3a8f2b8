"""`sese speakers`: embed and group speakers, and select their experts."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from sese.cli.apps import App
from sese.cli.options import Changes, Resume, RunConfiguration, RunDir, run_of, take_minutes

app = App("Embed and group speakers, and select experts for them.", no_args_is_help=True)

Corpora = Annotated[list[Path], typer.Argument(help="Corpus folders, as for `sese data describe`.")]


@app.verb("train", "sese speakers train embedding.yaml")
def train(
    config: RunConfiguration,
    overrides: Changes = None,
    run_dir: RunDir = None,
    resume: Resume = False,
) -> None:
    """Train a speaker embedding, or an autoencoder of speech.

    With max_minutes=N it stops cleanly after N minutes; --resume continues.
    """
    from sese.cli.extras import require

    require("train", "torch", "safetensors", "yaml")
    from sese.speakers import training as speaker_training

    changes, minutes = take_minutes(overrides)
    config, run_dir = run_of(config, run_dir)
    resolved = speaker_training.read(config, changes)
    speaker_training.train(resolved, run_dir or Path("runs") / resolved.name, resume, minutes)


@app.verb("verify", "sese speakers verify runs/embedding corpus")
def verify(
    embedding: Annotated[Path, typer.Argument(help="Run folder of a speaker embedding.")],
    corpora: Corpora,
    snrs: Annotated[
        list[float] | None,
        typer.Option(
            "--snr", help="SNR of the clips in dB; may be repeated.", show_default="-5, 0, 5, 10, 60"
        ),
    ] = None,
    clips: Annotated[int, typer.Option(help="Number of clips at each SNR, two of each speaker.")] = 400,
    seconds: Annotated[float, typer.Option(help="Length of a clip in seconds.")] = 3.0,
    out: Annotated[Path | None, typer.Option("--out-dir", "-o", help="Folder for verification.json.")] = None,
) -> None:
    """Measure how well an embedding recognizes that two noisy clips have the same speaker: equal error rates.

    Use corpora that it was not trained on.
    """
    from sese.cli.extras import require

    require("train", "torch", "safetensors")
    from sese.core.errors import InputError
    from sese.core.tables import table
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
    header = ["SNR, dB", "EER, %", "95% interval", "within one source, %", "pairs of one, of two", "speakers"]
    cells = []
    for row in rows:
        rate, low, high, alike = (f"{100 * row[name]:.1f}" for name in ("eer", "low", "high", "eer_alike"))
        pairs = f"{row['pairs_same']}, {row['pairs_other']}"
        cells.append([f"{row['snr_db']:g}", rate, f"{low} to {high}", alike, pairs, f"{row['speakers']}"])
    typer.echo("\n".join(table(header, cells)))
    if out is not None:
        report.make_folder(out)
        for path in report.write_files(out, "verification", {"json": report.to_json({"rows": rows})}):
            typer.echo(f"wrote {path}", err=True)


@app.verb("group", "sese speakers group runs/embedding corpus -o groups")
def group(
    embedding: Annotated[Path, typer.Argument(help="Run folder of a speaker embedding.")],
    corpora: Corpora,
    out: Annotated[Path, typer.Option("--out-dir", "-o", help="Folder for the groups.")],
    counts: Annotated[
        list[int] | None,
        typer.Option("--groups", "-k", help="Number of groups; may be repeated.", show_default="2, 5, 10"),
    ] = None,
    assign: Annotated[
        list[Path] | None,
        typer.Option(help="Corpus whose speakers join the group of the nearest centre, for validation."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the starts of k-means.")] = 0,
) -> None:
    """Group the speakers of corpora by the mean embedding of their clean utterances, with k-means.

    For each number K of groups, this writes groups-K.csv, the table for training.experts.table, and
    groups-K.json, the centres. Speech without a known speaker is left out.
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


@app.verb(
    "assemble", "sese speakers assemble models/expert runs/embedding groups/groups-2.json -o models/mixture"
)
def assemble(
    model: Annotated[Path, typer.Argument(help="Model folder of a generalist, or of one expert per group.")],
    embedding: Annotated[Path, typer.Argument(help="Run folder of a speaker embedding.")],
    groups: Annotated[Path, typer.Argument(help="Centres, groups-K.json from `sese speakers group`.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Model folder to write; it must be new or empty.")
    ],
) -> None:
    """Make a mixture of experts whose gate is a speaker embedding, for training.initial.

    A generalist becomes the first expert of every group. The gate picks the group of the nearest centre.
    """
    from sese.cli.extras import require

    require("train", "torch", "safetensors")
    from sese.speakers import assembly
    from sese.speakers import groups as grouping
    from sese.speakers.embedding import load

    made = assembly.write(model, load(embedding), grouping.load(groups), output)
    typer.echo(f"{output}: {made.experts} experts of {made.hidden} units, a gate of {made.gate_hidden}")


@app.verb("select", "sese speakers select models/mixture users/one users/two")
def select(
    model: Annotated[Path, typer.Argument(help="Model folder, or run folder, of a mixture of experts.")],
    folders: Annotated[
        list[Path], typer.Argument(help="Folders with clean/ and noisy/, such as one for each user.")
    ],
    autoencoder: Annotated[Path | None, typer.Option(help="Run folder of an autoencoder of speech.")] = None,
    beside: Annotated[
        list[Path] | None,
        typer.Option(help="Model folder of a generalist, to compare with; may be repeated."),
    ] = None,
    seconds: Annotated[
        float, typer.Option(help="Length of an input in seconds that methods hear before they pick once.")
    ] = 2.0,
    limit: Annotated[int | None, typer.Option(help="Number of files to take from each folder.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out-dir", "-o", help="Folder for selection.json and .md.")
    ] = None,
) -> None:
    """Compare ways to pick the expert of an input: gate, autoencoder error, oracle, chance."""
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
