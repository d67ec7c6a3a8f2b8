"""Test whether a predicted quality tells which clips gain from a higher level of a model.

    python benchmarks/quality_policy.py RUN -o REPORT [--predictor predictor.npz]

The clips are mixtures of the validation speakers and noises of the run. Measured are the PESQ of every level
of the first model of the run, and the predictions for the mixture and for the output of the lowest level. A
policy chooses the lowest or the highest level of each clip by a threshold on one of these. At the same mean
compute, it is compared with a random choice of equally many clips, with a choice by the true SNR, and with
the best possible choice, by the true gain.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sese.core.tables import table, with_interval
from sese.evaluation import plots, report
from sese.evaluation.summary import bootstrap_mean
from sese.predictor import packed
from sese.predictor.predictor import BUNDLED
from sese.predictor.spectrum import log_mel
from sese.quality.clips import grown
from sese.quality.comparison import config_of
from sese.quality.scores import ranks
from sese.quality.sources import ENHANCED, MIXTURE, Make, Mixtures, Row, levels_of, scored, split_banks

SHARES = (0.25, 0.5, 0.75)  # of the clips that get the highest level
RESAMPLES, SEED = 2000, 0


@dataclass(frozen=True, eq=False)
class AtEveryLevel(Mixtures):
    """Mixtures at every level.

    Clip i is version i % versions of mixture i // versions; version 0 is the mixture itself.
    """

    @property
    def versions(self) -> int:
        """Number of versions of a mixture."""
        return 1 + len(levels_of(self.data.models[:1]))

    def key(self) -> str:
        """Return a hash that differs from that of the clips of a training."""
        return "levels-" + super().key()

    def open(self) -> Make:
        """Open the model and return a function that computes a clip."""
        mixer, levels, rate = self.mixer(), levels_of(self.data.models[:1]), self.mix.sample_rate

        def make(index: int) -> tuple[NDArray[np.int16], Row]:
            number, version = divmod(index, 1 + len(levels))
            mixture, spec = mixer([number]), mixer.sampler(number)
            noisy, clean = mixture.noisy[0, 0].numpy(), mixture.clean[0, 0].numpy()
            audio = noisy
            if version:
                model, budget = levels[version - 1]
                audio = model.enhance(noisy, rate, budget=budget)
            samples, score = scored(clean, audio, rate)
            speaker = int(self.banks.speech.groups[spec.speech[0][0]])
            made = ENHANCED if version else MIXTURE
            return samples, (score, float(mixture.snr_db[0]), speaker, spec.noise[0][0], made)

        return make


def main() -> None:
    """Measure, print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("-o", "--out-dir", type=Path, required=True)
    parser.add_argument("--predictor", type=Path, default=BUNDLED)
    parser.add_argument("--mixtures", type=int, default=120)
    arguments = parser.parse_args()
    config, predictor = config_of(arguments.run), packed.load(arguments.predictor)
    if config.network.samples != predictor.design.samples:
        parser.error(f"{arguments.run} has clips of another length than {arguments.predictor}")
    banks = split_banks(config.data, config.mix.sample_rate)[1]
    mix = replace(config.mix.without_augmentation(), snr_db=(-5.0, 25.0))
    # A seed of its own: not the mixtures that picked the best weights.
    source = AtEveryLevel(config.data, mix, banks, 2 * config.seed + 1_000_001)
    clips = grown(source, arguments.mixtures * source.versions, config.data.cache_dir, 1, None, print)
    assert clips is not None
    labels = clips.labels.reshape(-1, source.versions)
    kept = np.isfinite(labels["pesq"]).all(1)
    labels, audio = (
        labels[kept],
        clips.audio.reshape(*clips.labels.reshape(-1, source.versions).shape, -1)[kept],
    )
    says = np.array(
        [
            [
                packed.predict(predictor, log_mel(clip / np.float32(32768), predictor.design))
                for clip in row[:2]
            ]
            for row in audio
        ]
    )
    result = measure(labels["pesq"], labels["snr_db"][:, 0], labels["speaker"][:, 0], says)
    result["versions"] = ["noisy", *(str(budget) for _, budget in levels_of(config.data.models[:1]))]
    result["models"] = config.data.models[0]
    text = to_markdown(result)
    print(text)
    files = {"json": report.to_json(result), "md": text, "svg": to_svg(result)}
    report.write_files(arguments.out_dir, "policy", files)


def measure(pesq: NDArray, snr_db: NDArray, speakers: NDArray, says: NDArray) -> dict[str, Any]:
    """Compute correlations with the gain, and the results of policies.

    Args:
        pesq: PESQ [mixture, version]; the first version is the mixture itself.
        snr_db, speakers: SNR in dB and speaker of each mixture, [mixture].
        says: Predictions [mixture, (mixture itself, lowest level)].
    """
    gain = pesq[:, -1] - pesq[:, 1]
    evidence = {
        "predicted PESQ of the input": says[:, 0],
        "predicted PESQ of the lowest level's output": says[:, 1],
        "its rise by the lowest level": says[:, 1] - says[:, 0],
        "true SNR": snr_db,
        "true PESQ of the input": pesq[:, 0],
        "true gain": gain,
    }
    rows = []
    for name, values in evidence.items():
        row: dict[str, Any] = {"evidence": name, "spearman": interval(values, gain, speakers)}
        order = np.argsort(-values if row["spearman"]["value"] >= 0 else values, kind="stable")
        for share in SHARES:
            count = round(share * len(gain))
            chosen = np.zeros(len(gain), bool)
            chosen[order[:count]] = True
            # Against a random choice of as many: what each clip gets beyond the mean share of its gain.
            row[f"{share:g}"] = bootstrap_mean((chosen - count / len(gain)) * gain)
        rows.append(row)
    return {
        "mixtures": len(gain),
        "speakers": len(set(speakers.tolist())),
        "mean_pesq": pesq.mean(0).tolist(),
        "gain": bootstrap_mean(gain),
        "rows": rows,
        "gains": gain.tolist(),
        "predicted": says.tolist(),
    }


def interval(values: NDArray, gain: NDArray, speakers: NDArray) -> dict[str, float]:
    """Return the rank correlation of Spearman with its 95% bootstrap interval over speakers."""
    members = [np.flatnonzero(speakers == speaker) for speaker in np.unique(speakers)]
    generator = np.random.default_rng(SEED)

    def value(rows: NDArray) -> float:
        return float(np.corrcoef(ranks(values[rows]), ranks(gain[rows]))[0, 1])

    drawn = [
        value(np.concatenate([members[m] for m in generator.integers(len(members), size=len(members))]))
        for _ in range(RESAMPLES)
    ]
    low, high = np.percentile(drawn, (2.5, 97.5))
    return {"value": value(np.arange(len(gain))), "low": float(low), "high": float(high)}


def to_markdown(result: dict[str, Any]) -> str:
    """Return a table of the value of each evidence."""
    header = ["evidence", "Spearman with the gain", *(f"gain kept at {share:.0%}" for share in SHARES)]
    rows = [
        [
            row["evidence"],
            with_interval(row["spearman"], 3, sign=True, of="value"),
            *(with_interval(row[f"{share:g}"], 3, sign=True) for share in SHARES),
        ]
        for row in result["rows"]
    ]
    means = ", ".join(f"{v} {p:.3f}" for v, p in zip(result["versions"], result["mean_pesq"], strict=True))
    lines = table(header, rows)
    lines += [
        "",
        f"{result['mixtures']} mixtures of {result['speakers']} speakers; mean PESQ: {means}. The gain of "
        f"the highest over the lowest level is {with_interval(result['gain'], 3, sign=True)}. Gain kept: "
        "mean PESQ above a random choice of as many clips for the highest level, the others at the lowest; "
        "intervals over clips, of Spearman over speakers.",
    ]
    return "\n".join(lines) + "\n"


def to_svg(result: dict[str, Any]) -> bytes:
    """Draw the gain of each mixture over the predictions for it and for its lowest level."""
    sheet, panels = plots.make_panels(2, 2.7)
    says, gain = np.array(result["predicted"]), np.array(result["gains"])
    for panel, column, name in zip(panels, (0, 1), ("the input", "the lowest level"), strict=True):
        panel.plot(says[:, column], gain, ".", color="#1f5fa8", alpha=0.6, label="a mixture")
        panel.axhline(0, color="#999", linewidth=0.8)
        panel.set(xlabel=f"predicted PESQ of {name}", ylabel="PESQ gained, lowest to highest")
    return plots.to_svg(plots.legend_below(sheet, panels))


if __name__ == "__main__":
    main()
