"""The version, the icon, and links to the source of each page where the repository has an address."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
ICON = ROOT / "src" / "sese" / "demo" / "page" / "icon.svg"
SOURCES = {
    "develop/architecture.md": "ARCHITECTURE.md",
    "develop/changelog.md": "CHANGELOG.md",
    "reference/configurations.md": "src/sese/configs/README.md",
}
"""Page that only shows a file of the repository -> that file."""


def on_config(config: Any) -> Any:
    """Set the version in the footer, and the links where the repository has an address."""
    from sese import __version__

    config.copyright = f"sese {__version__}. Code and weights under the MIT licence."
    if address := repository():
        config.repo_url, config.repo_name, config.edit_uri = address, "Repository", "edit/main/docs/"
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the icon of the demo page, and say where pages that show a file come from."""
    from mkdocs.structure.files import File

    files.append(File.generated(config, "icon.svg", content=ICON.read_bytes()))
    for page, source in SOURCES.items():
        files.get_file_from_path(page).edit_uri = f"../{source}"
    return files


def repository() -> str | None:
    """Return the web address of the repository: of the project, the forge that builds, or the clone.

    None: there is none yet, and the site has no links to its source.
    """
    named = re.search(r'^Repository = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    if named:
        return named[1]
    if "GITHUB_REPOSITORY" in os.environ:
        return f"{os.environ['GITHUB_SERVER_URL']}/{os.environ['GITHUB_REPOSITORY']}"
    words = ["git", "-C", str(ROOT), "remote", "get-url", "origin"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return web_address(done.stdout.strip())


def web_address(remote: str) -> str | None:
    """Return the web address of a Git remote without user names and passwords; None for folders."""
    found = re.fullmatch(
        r"(?:https://|ssh://|(?=[^/]+@))(?:[^@/]+@)?([\w.-]+)(?::\d+)?[:/](.+?)(?:\.git)?/?", remote
    )
    return f"https://{found[1]}/{found[2]}" if found else None
