"""The C and JavaScript of the guides, as printed, give what Python gives."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from deploy.programs import JAVASCRIPT
from native.building import on_page
from sese import load
from sese.runtime.artefact import find_model

AROUND_JS = """
import {{ readFileSync, writeFileSync }} from 'node:fs';
{imports}
const bytes = readFileSync('in.f32');
const samples = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
const microphone = [];
for (let at = 0; at < samples.length; at += 333) microphone.push(samples.slice(at, at + 333));
const played = [];
const play = (channels) => played.push(...channels[0]);
{text}
writeFileSync('out.f32', Buffer.from(new Float32Array(played).buffer));
"""


@pytest.fixture
def desk(speech: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the model and a signal, to work in."""
    (tmp_path / "model.onnx").symlink_to(find_model("sese-2"))
    (tmp_path / "in.f32").write_bytes(speech[0, :24000].tobytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def expected(speech: np.ndarray) -> np.ndarray:
    """Return what Python makes of the signal under the pages' budget."""
    stream = load("sese-2", budget=0.3).stream(16000)
    return np.concatenate([stream.feed(speech[0, :24000]), stream.flush()])


def test_c(built: Path, desk: Path, speech: np.ndarray) -> None:
    subprocess.run([built / "page"], check=True)
    played = np.fromfile("out.f32", np.float32)
    assert len(played) == 24000
    np.testing.assert_allclose(played[512:], expected(speech)[:-512], rtol=0, atol=1e-4)


def test_javascript(nodejs: str, desk: Path, speech: np.ndarray) -> None:
    text = on_page("deploying.md", "js").replace("./sese.js", str(JAVASCRIPT / "sese.js"))
    imports = "".join(line for line in text.splitlines(True) if line.startswith("import"))
    (desk / "page.mjs").write_text(AROUND_JS.format(imports=imports, text=text.replace(imports, "")))
    subprocess.run([nodejs, "page.mjs"], check=True)
    np.testing.assert_allclose(np.fromfile("out.f32", np.float32), expected(speech), rtol=0, atol=1e-4)
