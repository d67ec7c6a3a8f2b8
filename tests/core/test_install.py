"""The command that installs an extra, wherever the package came from."""

from __future__ import annotations

from importlib import metadata

import pytest

from sese.core.install import install_command


@pytest.mark.parametrize(
    ("record", "command"),
    [
        ('{"url": "file:///home/me/sese"}', 'run in the clone of sese: pip install ".[media]"'),
        (None, 'run: pip install "sese[media]"'),
    ],
)
def test_where_the_package_came_from(
    record: str | None, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Installed:
        def read_text(self, name: str) -> str | None:
            assert name == "direct_url.json"
            return record

    monkeypatch.setattr(metadata, "distribution", lambda name: Installed())
    assert install_command("media") == command


def test_a_source_tree_is_a_clone(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    assert install_command("train").startswith("run in the clone of sese: pip install")
