"""Write about an adaptation in the model's card, without paths and names of recordings."""

from __future__ import annotations

import dataclasses
import json

from sese.adaptation.config import AdaptConfig
from sese.adaptation.results import Report
from sese.core.tables import table


def command(report: Report, config: AdaptConfig) -> str:
    """Return the command line that makes such a model, with its settings but without paths."""
    default = AdaptConfig()
    changed = [
        f"{field.name}={json.dumps(getattr(config, field.name))}"
        for field in dataclasses.fields(config)
        if getattr(config, field.name) != getattr(default, field.name) and field.name != "threads"
    ]
    own = "own" if report["teacher"]["name"].startswith("its own") else report["teacher"]["name"]
    adapted = ",".join(row["name"] for row in report["levels"] if row["adapted"])
    levels = ["--levels", adapted] if len(report["levels"]) > 1 else []
    words = [
        *("sese", "adapt", report["model"], "--recordings", "RECORDINGS", "-o", report["name"]),
        *("--teacher", own, *levels, *(f"'{each}'" for each in changed)),
    ]
    return " ".join(words)


def notes(report: Report, config: AdaptConfig) -> str:
    """Return Markdown for the card."""
    found, cost, general = report["recordings"], report["cost"], report["general"]
    header = ["level", "adapted", "to the teacher before", "after", "general set before", "after"]
    rows = [
        [
            row["name"],
            "yes" if row["adapted"] else "kept as it was",
            *(f"{each[key]:.2f}" for each in (row, other) for key in ("before_db", "after_db")),
        ]
        for row, other in zip(report["levels"], general["levels"], strict=True)
    ]
    return "\n\n".join(
        [
            "## Adapted",
            f"Adapted to one user's recordings by distillation, from `{report['model']}`; teacher: "
            f"{report['teacher']['name']}, {report['teacher']['macs_per_second'] / 1e6:.1f} MMAC/s. It has "
            f"heard {found['learn_minutes']:.1f} minutes of noisy recordings, and no clean speech; "
            f"{found['held_out_minutes']:.1f} minutes were held out to stop by. Seed {config.seed}, "
            f"{cost['best_step']} steps kept of {cost['steps']}, {cost['minutes']:.1f} minutes; weights "
            f"{report['share']:.0%} of the way from the original's.",
            "It is meant for this user and the noises around; for others it may be worse than the model it "
            "came from. SI-SDR in dB, to the teacher's output on the held-out recordings (of levels kept as "
            "they were: to their own output before), and to clean speech on the bundled general set of "
            f"{general['clips']} clips (accepted loss {general['tolerance_db']:g} dB):",
            "\n".join(table(header, rows)),
            f"```sh\n{command(report, config)}\n```",
        ]
    )
