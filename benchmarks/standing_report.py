"""Tables of scores and costs of `standing.py`, and notes about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from sese.core.tables import NOTHING, shown, table, with_interval
from sese.evaluation import report, timing

RNNOISE = "RNNoise"
FRAME_MS = 16  # that times of a frame are given for
FRAMES = 200  # timed at each level in a round
MODES = ("stream", "file")
MEAN = "mean"


def to_markdown(outcome: Mapping[str, Any]) -> str:
    """Return the report: tables of each metric, of costs, and of where the reference is reached."""
    lines = []
    for column, systems in outcome["scores"].items():
        heading, digits = report.HEADINGS[column]
        places = [*outcome["sets"], MEAN]
        cells = [
            [name, *(shown(means[place], digits) for place in places)] for name, means in systems.items()
        ]
        lines += [f"### {heading}", "", *table(["system", *places], cells), ""]
    lines += ["### Cost", "", *_cost_lines(outcome), ""]
    if outcome["crossings"]:
        lines += [f"### Where {outcome['reference']} is reached", "", *_crossing_lines(outcome), ""]
    return "\n".join([*lines, *_notes(outcome)]).rstrip() + "\n"


def _cost_lines(outcome: Mapping[str, Any]) -> list[str]:
    """Return the table of costs."""
    header = ["system", "MMAC/s", "parameters", "latency, ms"]
    timed, reference = bool(outcome["rounds"]), outcome["reference"]
    compared = timed and reference
    if timed:
        header += [f"ms for {FRAME_MS} ms, streaming", "RTF, streaming", "RTF, files"]
    if compared:
        header += [f"streaming, of {reference}'s time", f"files, of {reference}'s time"]
    rows = []
    for cost in outcome["costs"]:
        macs = cost["macs_per_second"]
        cells = [cost["system"], NOTHING if macs is None else f"{macs / 1e6:.1f}", f"{cost['parameters']:,}"]
        cells.append(f"{cost['latency_ms']:.1f}")
        if timed:
            cells += [f"{cost['stream'] * FRAME_MS:.3f}", f"{cost['stream']:.4f}", f"{cost['file']:.4f}"]
        for mode in MODES if compared else ():
            share = cost.get(f"{mode}_share")
            low, high = cost.get(f"{mode}_share_range", (1, 1))
            cells.append("1" if share is None else f"{share:.2f} ({low:.2f} to {high:.2f})")
        rows.append(cells)
    return table(header, rows)


def _crossing_lines(outcome: Mapping[str, Any]) -> list[str]:
    """Return the table of the levels that reach the reference."""
    rows = []
    for column, models in outcome["crossings"].items():
        heading, digits = report.HEADINGS[column]
        target = outcome["scores"][column][outcome["reference"]][MEAN]
        cells = [heading, shown(target, digits)]
        for model in outcome["models"]:
            if model not in models:  # it has no score
                cells.append(NOTHING)
                continue
            crossing, gain = models[model], models[model]["gain"]
            level = f"{crossing['budget']}, {crossing['macs_per_second'] / 1e6:.1f} MMAC/s"
            best = "" if crossing["reaches"] else "none; best "
            cells.append(f"{best}{level}: {with_interval(gain, digits, sign=True)}")
        rows.append(cells)
    return table(["metric", outcome["reference"], *outcome["models"]], rows)


def _notes(outcome: Mapping[str, Any]) -> list[str]:
    """Return notes about the tables."""
    sets = ", ".join(f"{name}: {one['files']} files" for name, one in outcome["sets"].items())
    seconds = sum(one["audio_s"] for one in outcome["sets"].values())
    machine, reference = outcome["machine"], outcome["reference"]
    notes = [f"Means over files ({sets}; {seconds / 60:.1f} min in all), and the mean over the sets."]
    for metric in outcome["metrics"].values():
        notes.append(f"- {metric['definition']}: {metric['package']} {metric['version']}")
    notes += [
        "",
        "MMAC/s as they ran on the sets, the router's with `auto`; parameters are those that a level uses.",
    ]
    if outcome["rounds"]:
        notes += [
            f"Times of one thread on {machine['cpu']}, medians of {len(outcome['rounds'])} rounds: streaming,"
            f" the median of {FRAMES} frames, one a call, at one level after the other; files, CPU time of"
            f" {timing.FILE_SECONDS} s in one call. RTF: time over duration. `auto` is timed on the noisy"
            " speech that comes with sese."
        ]
    notes += [*_rnnoise_notes(outcome), *_peer_notes(outcome)]
    if reference:
        notes += [""]
        if outcome["rounds"]:
            notes += [
                f"Shares of {reference}'s time: medians of the rounds, and their range; each system's against"
                f" {reference} just before and after it."
            ]
    if outcome["crossings"]:
        notes += [
            f"Where {reference} is reached: the cheapest level whose mean over the sets is at least its;"
            " behind it the difference, paired by file over all sets, with its 95% interval (bootstrap)."
        ]
    if outcome["failures"]:
        counts = Counter(f"{each['column']} at {each['level']}" for each in outcome["failures"])
        listed = ", ".join(f"{name}: {count}" for name, count in counts.items())
        notes += ["", f"Scores without a finite value, left out of the means: {listed}."]
    return notes


def _rnnoise_notes(outcome: Mapping[str, Any]) -> list[str]:
    """Return notes about RNNoise."""
    facts = outcome["rnnoise"]
    if not facts:
        return []
    notes = [
        "",
        f"{RNNOISE}: {facts['wheel']} ({facts['licence']}), 48 kHz; audio resampled from 16 kHz"
        f" and back, its delay of {facts['delay_ms']:g} ms, measured on speech, taken out. Its MACs:"
        " one for each weight and frame, transforms not counted. Its library is built without AVX;"
        " another build may be faster.",
    ]
    if outcome["rounds"]:
        resampled = next(cost for cost in outcome["costs"] if cost["system"] == RNNOISE)["resampled"]
        notes.append(f"Its times are without resampling (with it, files take an RTF of {resampled:.4f}).")
    return notes


def _peer_notes(outcome: Mapping[str, Any]) -> list[str]:
    """Return notes about the peers."""
    if not outcome["peers"]:
        return []
    notes = [
        "",
        "Peers run in ONNX Runtime with the options of sese's own models, a frame a call; transforms of"
        " spectra are done in NumPy and are part of the time. The delay is where the output correlates most"
        " with noisy speech, unless it was given; it is taken out before scoring. Latency: a hop and"
        " the delay. Parameters: floats in the file, matrices of transforms among them. MACs are not known.",
        "",
    ]
    for name, peer in outcome["peers"].items():
        window = f", window {peer['window']}" if peer["window"] else ""
        notes.append(
            f"- {name}: {peer['file']}, {peer['interface']}, {peer['size']} samples a frame, hop"
            f" {peer['hop_length']}{window}; delay {peer['delay_ms']:g} ms"
        )
    return notes
