"""Compare models by quality at each SNR and by cost, with RNNoise and other streaming networks.

    sese data mix CORPUS sets/0 --snr 0 0 --clips 40 --seconds 4 --seed 11     # and so on, a set for each SNR
    python benchmarks/standing.py sets/* -o report --model MODEL --model demucs-slim-small --rnnoise
    python benchmarks/standing.py sets/* -o report --model MODEL --peer GTCRN=gtcrn.onnx --reference GTCRN

Scores are those of `sese evaluate`. Times are measured in rounds. In each round all systems run in turn, with
the reference before and after each, so that a machine whose speed drifts slows all of them; the ratios are
the figures to quote. Frames are timed by the code of `sese profile`, but one level after the other, as for
RNNoise: when levels alternate frame by frame, each finds the weights of another in the cache. Times of files
are CPU times, which do not depend on other work of the machine; the median of frames does not either. RNNoise
is described in rnnoise.py, other networks in peers.py.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer

import peers
from exit_codes import exit_code
from sese.core.errors import InputError
from sese.evaluation import report, suite, summary, timing
from sese.evaluation.conversations import LOWER_IS_BETTER
from sese.evaluation.metrics import check_metrics
from sese.evaluation.pairs import Pair, find_pairs
from sese.evaluation.scoring import ENHANCER, NOISY, label, resolve
from sese.runtime.artefact import find_model, open_artefact
from sese.runtime.card import Card
from standing_report import MEAN, RNNOISE, to_markdown
from standing_times import Timer, budgets_of, round_of

Scores = dict[str, dict[str, dict[str, float]]]
"""Means by column, system and set; under `MEAN` the mean over the sets."""


@dataclass(frozen=True)
class System:
    """A row of the tables: a model at a budget, a peer, or RNNoise."""

    name: str
    model: str = ""
    path: str = ""
    budget: str = ""
    peer: peers.Peer | None = None


app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command; exit codes: 0 done, 1 some scores are missing, 2 bad input, 130 interrupted."""
    sys.exit(exit_code("standing", app))


@app.command()
def standing(
    sets: Annotated[
        list[Path],
        typer.Argument(
            metavar="NOISY_SET...",
            help="Folders made by `sese data mix`, with clean/ and noisy/, one for each SNR.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out-dir", help="Write standing.md and standing.json there.")],
    model: Annotated[
        list[str] | None, typer.Option(help="Model: a name, a folder or an .onnx file; may be repeated.")
    ] = None,
    rnnoise: Annotated[bool, typer.Option("--rnnoise", help="Compare with RNNoise.")] = False,
    peer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=PATH.onnx[,OPTION=VALUE...]",
            help="Compare with this streaming network; may be repeated. Options: n_fft, hop_length,"
            " window (hann_sqrt or hann), delay; see peers.py.",
        ),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            help="RNNoise or the peer whose time the shares are of. Default: RNNoise, or first peer."
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Take this many files of each set.")] = None,
    metrics: Annotated[
        str | None, typer.Option(help="Of pesq,stoi,estoi,si_sdr,dnsmos, joined by commas. Default: all.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(help="Processes that score. Default: one per core.")] = None,
    rounds: Annotated[int, typer.Option(min=0, help="Rounds of timing; 0 leaves the times out.")] = 7,
) -> None:
    """Score models at each of their levels over noisy sets, time them, and see where they pass a reference.

    Exit code 1 when a score of some file is missing; those are counted in the report and left out of means.
    """
    from sese.cli.evaluate import metric_names
    from sese.cli.screen import counting

    names = check_metrics(metric_names(metrics))
    pairs = read_sets(sets, limit)
    cards = {name: (path, open_artefact(path).card) for name, path in model_names(model or []).items()}
    found_peers = [peers.read_peer(text) for text in peer or []]
    systems = systems_of(cards, rnnoise, found_peers)
    others = {one.name: peers.facts(one) for one in found_peers}
    if rnnoise:  # nobody else needs its wheel
        others = {RNNOISE: resolve("rnnoise:facts")()} | others
    reference = peers.reference_of(reference, list(others))
    if not systems:
        raise InputError("nothing to score; name models with --model or --peer, or give --rnnoise")
    report.make_folder(out)

    results = {}
    asked = {system.name: system for system in systems}
    for name, (folder, found) in pairs.items():
        print(f"scoring {name}: {len(found)} files, {len(systems)} systems", file=sys.stderr, flush=True)
        with counting("files") as progress:
            results[name] = suite.evaluate(
                asked,
                found,
                list(asked),
                metrics=names,
                jobs=jobs,
                enhancer="standing:enhancer",
                progress=progress,
            )
        results[name]["data"] = str(folder)
    timers: dict[str, Any] = {}
    if rounds:
        timers = {name: Timer(path, card) for name, (path, card) in cards.items()}
        timers |= {one.name: peers.timer(one) for one in found_peers}
    if rounds and rnnoise:
        times = resolve("rnnoise:times")
        timers[RNNOISE] = lambda: {"": times()}
    against = timers.pop(reference, None)
    taken = []
    for number in range(rounds):
        print(f"timing, round {number + 1} of {rounds}", file=sys.stderr, flush=True)
        taken.append(round_of(timers, (lambda: against()[""]) if against else None, reference))
    outcome = outcome_of(systems, cards, results, columns_in(results), taken, others, reference)
    text = to_markdown(outcome)
    typer.echo(text, nl=False)
    for path in report.write_files(out, "standing", {"json": report.to_json(outcome), "md": text}):
        typer.echo(f"wrote {path}", err=True)
    if outcome["failures"]:
        typer.echo(f"standing: {len(outcome['failures'])} scores have no finite value", err=True)
        raise typer.Exit(1)


# What is compared


def read_sets(folders: Sequence[Path], limit: int | None) -> dict[str, tuple[Path, list[Pair]]]:
    """Return folder and pairs of each set by its name, in the order of their SNRs.

    The name is the SNR of the set if all clips have the same, else that of the folder.

    Raises:
        InputError: A folder is missing, has no pairs, or is given twice.
    """
    found: list[tuple[float, str, Path, list[Pair]]] = []
    for folder in folders:
        pairs = find_pairs(folder, limit)
        snrs = {pair.snr_db for pair in pairs}
        snr = snrs.pop() if len(snrs) == 1 else None
        name = folder.resolve().name if snr is None else f"{snr:g} dB"
        found.append((math.inf if snr is None else snr, name, folder, pairs))
    found.sort(key=lambda each: each[0])
    names = distinct([name for _, name, _, _ in found], [str(folder) for _, _, folder, _ in found])
    return {name: (folder, pairs) for name, (_, _, folder, pairs) in zip(names, found, strict=True)}


def model_names(models: Sequence[str]) -> dict[str, str]:
    """Return the names on the command line by short names.

    Raises:
        InputError: There is no such model, or one is given twice.
    """
    files = [find_model(model) for model in models]
    short = [path.parent.resolve().name if path.name == "model.onnx" else path.stem for path in files]
    return dict(zip(distinct(short, models), models, strict=True))


def distinct(names: Sequence[str], longer: Sequence[str]) -> list[str]:
    """Return short names, or the longer form of those that are not unique.

    Raises:
        InputError: The longer forms are not unique either.
    """
    count = Counter(names)
    chosen = [name if count[name] == 1 else long for name, long in zip(names, longer, strict=True)]
    for name, times in Counter(chosen).items():
        if times > 1:
            raise InputError(f"{name} is given {times} times; give each set and each model once")
    return chosen


def systems_of(
    cards: Mapping[str, tuple[str, Card]], rnnoise: bool, others: Sequence[peers.Peer] = ()
) -> list[System]:
    """Return every model at each of its levels and under its router, if it has one; then the others.

    Raises:
        InputError: Two systems have the same name.
    """
    systems = []
    for name, (path, card) in cards.items():
        systems += [System(f"{name} {budget}", name, path, budget) for budget in budgets_of(card)]
    systems += [System(peer.name, peer=peer) for peer in others] + [System(RNNOISE)] * rnnoise
    count = Counter([*cards, NOISY, MEAN, *(system.name for system in systems)])
    for name, times in count.items():
        if times > 1:
            raise InputError(
                f"{name} is the name of {times} systems; give each peer another with --peer NAME="
            )
    return systems


def enhancer(systems: Mapping[str, System], budget: object) -> Any:
    """Return what `sese.evaluation.suite.evaluate` runs for a budget, which is the name of a system here."""
    if not isinstance(budget, str):
        return None  # it asks for a card first, and there is none for all
    system = systems[budget]
    if system.peer:
        return peers.Enhancer(system.peer)
    if not system.model:
        return resolve("rnnoise:RNNoise")()
    return resolve(ENHANCER)(system.path, budget=system.budget)


# The outcome


def outcome_of(
    systems: Sequence[System],
    cards: Mapping[str, tuple[str, Card]],
    results: Mapping[str, dict[str, Any]],
    columns: Sequence[str],
    taken: Sequence[Mapping[str, Mapping[str, float]]],
    others: Mapping[str, dict[str, Any]],
    reference: str,
) -> dict[str, Any]:
    """Return all results as values that JSON can store.

    Args:
        cards: Path and card of each model by its name.
        results: Results of `sese.evaluation.suite.evaluate` for each set.
        taken: Results of `round_of` for each round.
        others: Facts about RNNoise and the peers by name.
        reference: Name of the system that times are relative to; empty for none.
    """
    first = next(iter(results.values()))
    scores = scores_of(systems, results, columns)
    costs = costs_of(systems, cards, results, taken, others)
    return {
        "sets": {
            name: {"folder": result["data"], "files": result["file_count"], "audio_s": result["audio_s"]}
            for name, result in results.items()
        },
        "models": {name: path for name, (path, _) in cards.items()},
        "metrics": first["metrics"],
        "versions": first["versions"],
        "machine": timing.machine_facts(),
        "rnnoise": others.get(RNNOISE),
        "peers": {name: about for name, about in others.items() if name != RNNOISE},
        "reference": reference,
        "scores": scores,
        "costs": costs,
        "crossings": crossings(systems, scores, costs, results, reference) if reference else {},
        "rounds": list(taken),
        "failures": [
            {"set": name, **failure} for name, result in results.items() for failure in result["failures"]
        ],
        "files": [{"set": name, **row} for name, result in results.items() for row in result["files"]],
    }


def columns_in(results: Mapping[str, dict[str, Any]]) -> list[str]:
    """Return the columns that all sets have: those of conversations only where all are such."""
    means = [result["levels"][0]["mean"] for result in results.values()]
    return [column for column in means[0] if all(column in mean for mean in means)]


def scores_of(
    systems: Sequence[System], results: Mapping[str, dict[str, Any]], columns: Sequence[str]
) -> Scores:
    """Return mean scores of the noisy input and of each system."""
    rows = {NOISY: NOISY} | {system.name: label(system.name) for system in systems}
    scores: Scores = {column: {name: {} for name in rows} for column in columns}
    for place, result in results.items():
        levels = {level["level"]: level for level in result["levels"]}
        for column in columns:
            for name, row in rows.items():
                scores[column][name][place] = levels[row]["mean"][column]["mean"]
    for column in columns:
        for means in scores[column].values():
            means[MEAN] = sum(means.values()) / len(means)
    return scores


def costs_of(
    systems: Sequence[System],
    cards: Mapping[str, tuple[str, Card]],
    results: Mapping[str, dict[str, Any]],
    taken: Sequence[Mapping[str, Mapping[str, float]]],
    others: Mapping[str, dict[str, Any]],
) -> list[dict[str, Any]]:
    """Return MACs measured on the sets, parameters, latency and times (medians of rounds) of each system."""
    costs = []
    for system in systems:
        if system.model:
            _, card = cards[system.model]
            ran = [
                level["macs_per_second"]
                for result in results.values()
                for level in result["levels"]
                if level["level"] == label(system.name)
            ]
            sizes = {f"fixed:{level.utilization:g}": level.parameters for level in card.levels}
            cost = {
                "macs_per_second": sum(ran) / len(ran),
                "parameters": sizes.get(system.budget, card.parameters),
                "latency_ms": card.latency_ms,
            }
        else:
            cost = {key: others[system.name][key] for key in ("macs_per_second", "parameters", "latency_ms")}
        rounds = [each[system.name] for each in taken]
        times = {key: median(each[key] for each in rounds) for key in (rounds[0] if rounds else ())}
        spread = {
            f"{key}_range": [min(each[key] for each in rounds), max(each[key] for each in rounds)]
            for key in times
            if key.endswith("_share")
        }
        costs.append({"system": system.name, **cost, **times, **spread})
    return costs


def crossings(
    systems: Sequence[System],
    scores: Scores,
    costs: Sequence[Mapping[str, Any]],
    results: Mapping[str, dict[str, Any]],
    reference: str,
) -> dict[str, dict[str, dict[str, Any]]]:
    """Return by column and model the lowest level whose mean reaches the reference, or else the best level.

    `reaches` tells which of both it is. `gain` is the difference from the reference, paired by file over all
    sets.
    """
    macs = {cost["system"]: cost["macs_per_second"] for cost in costs}
    rows: dict[str, list[dict[str, Any]]] = {}
    for result in results.values():
        for row in result["files"]:
            rows.setdefault(row["level"], []).append(row)
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for column, means in scores.items():
        if column in LOWER_IS_BETTER:
            continue
        target = means[reference][MEAN]
        for model in dict.fromkeys(system.model for system in systems if system.model):
            mine = [system for system in systems if system.model == model]
            mine.sort(key=lambda system: macs[system.name])
            enough = [system for system in mine if means[system.name][MEAN] >= target]
            scored = [system for system in mine if math.isfinite(means[system.name][MEAN])]
            if not scored or not math.isfinite(target):
                continue
            chosen = enough[0] if enough else max(scored, key=lambda system: means[system.name][MEAN])
            gain = summary.improvements(rows[label(chosen.name)], rows[label(reference)], [column])[column]
            found.setdefault(column, {})[model] = {
                "reaches": bool(enough),
                "budget": chosen.budget,
                "macs_per_second": macs[chosen.name],
                "gain": gain,
            }
    return found


if __name__ == "__main__":
    main()
