"""Compare the samples above a model's band from the demo page's JavaScript with those from Python."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sese.demo.server import PAGE
from sese.runtime.band_above import BandAbove
from sese.runtime.band_head import WEIGHTS

MODEL_HZ = 16000
FRAMES = 40
RATES = [8000, 22050, 24000, 32000, 44100, 48000]
FRAMINGS = [(256, 256), (256, 340), (256, 64), (160, 0), (480, 480), (257, 100), (126, 127)]  # hop, lookahead

BEGIN = """
import { readFileSync } from "node:fs";
import { BandAbove } from "./band_above.js";
import { loadHead } from "./band_head.js";
import { Framing } from "./framing.js";
const { head, cases } = JSON.parse(readFileSync("cases.json", "utf8"));
const weights = await loadHead("data:application/octet-stream;base64," + head);
const samples = (values) => Float32Array.from(values);
"""

ABOVE = """
function run({ facts, rate, input, heard, enhanced }) {
  const above = new BandAbove(facts, rate, weights);
  above.feed(samples(input));
  above.finish();
  const lower = [];
  for (let at = 0, frames = 1, end; at < heard.length; at = end, frames = (frames % 5) + 1) {
    end = at + frames * facts.hop_length;
    lower.push(...above.add(samples(enhanced.slice(at, end)), samples(heard.slice(at, end))));
  }
  return [lower, Array.from(above.read(input.length))];
}
console.log(JSON.stringify(cases.map(run)));
"""

WHOLE = """
function run({ facts, rate, input }) {
  const framing = new Framing(facts, rate, 1, weights);
  let late = new Float32Array(facts.lookahead_samples);
  const passed = ([frames]) => {
    const all = samples([...late, ...frames]);
    late = all.slice(frames.length);
    return [all.slice(0, frames.length)];
  };
  const made = [];
  for (let at = 0; at < input.length; at += 777)
    made.push(...framing.give(passed(framing.take([samples(input.slice(at, at + 777))])))[0]);
  made.push(...framing.conclude(passed(framing.finish()))[0]);
  return made;
}
console.log(JSON.stringify(cases.map(run)));
"""


def ran(program: str, cases: list[dict[str, Any]], folder: Path) -> Any:
    """Return what a program makes of cases."""
    if shutil.which("node") is None:
        pytest.skip("Node.js is not installed")
    for path in PAGE.glob("*.js"):
        shutil.copy(path, folder)
    head = base64.b64encode(WEIGHTS.read_bytes()).decode()
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "cases.json").write_text(json.dumps({"head": head, "cases": cases}))
    (folder / "run.js").write_text(BEGIN + program)
    done = subprocess.run(["node", "run.js"], cwd=folder, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def facts(hop: int, lookahead: int) -> dict[str, int]:
    return {"sample_rate": MODEL_HZ, "hop_length": hop, "lookahead_samples": lookahead}


def rough(random: np.random.Generator, count: int, piece: int) -> np.ndarray:
    """Return noise whose level changes from piece to piece; some are silent."""
    levels = np.repeat(random.choice([1e-7, 0.01, 0.1, 1], -(-count // piece)), piece)[:count]
    return (levels * random.normal(0, 0.1, count)).astype(np.float32)


def test_bands_are_those_of_python(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    cases: list[dict[str, Any]] = []
    expected = []
    for rate in RATES:
        for hop, lookahead in FRAMINGS:
            heard = rough(random, FRAMES * hop, hop)
            enhanced = heard * np.repeat(random.uniform(0, 1, FRAMES), hop).astype(np.float32)
            audio = rough(random, (FRAMES * hop - lookahead) * rate // MODEL_HZ, 500)
            above = BandAbove(MODEL_HZ, rate, hop, lookahead, 1)
            above.feed(audio[np.newaxis])
            above.finish()
            lower = above.add(enhanced[np.newaxis], heard[np.newaxis])
            expected.append((lower[0], above.read(len(audio))[0]))
            signals = {"input": audio, "heard": heard, "enhanced": enhanced}
            lists = {name: signal.tolist() for name, signal in signals.items()}
            cases.append({"facts": facts(hop, lookahead), "rate": rate} | lists)
    for made, right in zip(ran(ABOVE, cases, tmp_path), expected, strict=True):
        for one, other in zip(made, right, strict=True):
            np.testing.assert_allclose(one, other, atol=3e-5)


def test_what_passes_passes_whole(tmp_path: Path) -> None:
    """A model that changes nothing gives back every frequency, from the first sample to the last."""
    cases = [
        {"facts": facts(*framing), "rate": rate, "input": rough(np.random.default_rng(1), 9001, 500).tolist()}
        for rate in RATES
        for framing in FRAMINGS
    ]
    for made, case in zip(ran(WHOLE, cases, tmp_path), cases, strict=True):
        np.testing.assert_allclose(made, case["input"], atol=1e-6)
