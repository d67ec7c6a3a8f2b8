"""Tests of the files that the forge reads: workflows, templates, how to cite."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pages import ROOT

from sese.runtime.artefact import DEFAULT_MODEL, open_artefact

yaml = pytest.importorskip("yaml")
FOLDER = ROOT / ".github"
PROJECT = (ROOT / "pyproject.toml").read_text()


def read(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text())


def steps(workflow: str) -> list[str]:
    """Return the commands of a workflow, in the order of its jobs."""
    jobs = read(f".github/workflows/{workflow}.yml")["jobs"].values()
    return [step["run"] for job in jobs for step in job["steps"] if "run" in step]


def test_the_workflow_does_what_the_integration_does():
    own = (ROOT / ".ci" / "run").read_text().splitlines()
    checks = [line for line in own if line.startswith(("ruff ", "mypy", "pytest"))]
    assert len(checks) == 4
    ran = steps("tests")
    assert set(checks) <= set(ran)
    (install,) = [line for line in own if line.startswith("pip install")]
    assert install.replace(" --quiet", "") in ran
    assert any(".ci/programs" in line for line in ran)


def test_the_core_is_tried_with_each_python_on_each_system():
    matrix = read(".github/workflows/tests.yml")["jobs"]["core"]["strategy"]["matrix"]
    assert matrix["python"] == re.findall(r"Python :: (3\.\d+)", PROJECT)
    assert [system.partition("-")[0] for system in matrix["os"]] == ["ubuntu", "macos", "windows"]


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.yml")), ids=lambda path: path.name)
def test_it_is_yaml(path: Any):
    values = yaml.safe_load(path.read_text())
    assert isinstance(values, dict)
    if path.parent.name == "workflows":
        assert {"name", True, "jobs"} <= set(values)  # YAML reads `on` as true
        for job in values["jobs"].values():
            assert all(("run" in step) != ("uses" in step) for step in job["steps"])
    elif path.name != "config.yml":
        assert {"name", "description", "body"} <= set(values)


def test_the_citation_is_of_this_version():
    cited = read("CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= set(cited)
    assert f'version = "{cited["version"]}"' in PROJECT
    assert f'license = "{cited["license"]}"' in PROJECT
    assert re.search(rf"^## {re.escape(str(cited['version']))} ", (ROOT / "CHANGELOG.md").read_text(), re.M)


def test_a_release_names_the_forge_that_builds_it(tmp_path: Path) -> None:
    tomllib = pytest.importorskip("tomllib")
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    forge = {"GITHUB_SERVER_URL": "https://forge.example", "GITHUB_REPOSITORY": "group/sese"}
    for _ in range(2):
        subprocess.run([sys.executable, ROOT / ".ci" / "project_urls"], cwd=tmp_path, env=forge, check=True)
    changed = tomllib.loads((tmp_path / "pyproject.toml").read_text())
    urls = changed["project"].pop("urls")
    assert urls["Repository"] == "https://forge.example/group/sese"
    assert changed == tomllib.loads(PROJECT)
    assert "python .ci/project_urls" in steps("release")


def test_a_release_has_files_of_the_default_model_for_other_programs() -> None:
    ran = steps("release")
    assert "bash .ci/models models" in ran
    assert 'gh release upload "$TAG" models/*.onnx --clobber' in ran[ran.index("bash .ci/models models") :]
    script = (ROOT / ".ci" / "models").read_text()
    levels = dict(re.findall(r"(\w+):([\d.]+)(?=[ ;])", script))
    card = open_artefact(DEFAULT_MODEL).card
    assert f"sese export {card.name} --format gtcrn" in script
    assert list(levels) == ["low", "middle", "high"]
    assert [float(level) for level in levels.values()] == [level.utilization for level in card.levels]
    exporting = (ROOT / "docs" / "guides" / "exporting.md").read_text()
    assert all(f"`{card.name}-{level}.onnx`" in exporting for level in levels)
