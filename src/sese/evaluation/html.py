"""Parts of a self-contained HTML page: no file, font or script from elsewhere."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape

import numpy as np

from sese.core.install import install_command

STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: 1180px;
  margin: 2rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
h3 { font-size: 1rem; margin: 1.6rem 0 .4rem; }
p, ul { max-width: 52rem; } small { color: #666; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .55rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #ddd; }
th { font-weight: 600; border-bottom: 2px solid #888; vertical-align: bottom; white-space: normal; }
th:first-child, td:first-child { text-align: left; }
td small { display: block; font-size: .75rem; line-height: 1.1; }
figure { margin: 1rem 0; } figure img { max-width: 100%; height: auto; }
figcaption { color: #555; font-size: .87rem; max-width: 52rem; }
.players { display: flex; flex-wrap: wrap; gap: .4rem 1.5rem; }
.players label { display: flex; align-items: center; gap: .5rem; font-size: .87rem; }
audio { height: 2.2rem; width: 15rem; }
"""

Cell = str | tuple[str, str]


def no_plots() -> str:
    """Return a paragraph that says how to install what plots need."""
    return paragraph(f'No plots: package "matplotlib" is not installed; {install_command("metrics")}')


def page(title: str, parts: Iterable[str]) -> str:
    """Return a whole document from HTML `parts`; the title is text without markup, also the heading."""
    body = "\n".join(parts)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n{body}\n</body>\n</html>\n"
    )


def paragraph(text: str) -> str:
    """Return text as a paragraph."""
    return f"<p>{escape(text)}</p>"


def heading(text: str) -> str:
    """Return text as a small heading."""
    return f"<h3>{escape(text)}</h3>"


def bullets(items: Iterable[str]) -> str:
    """Return texts as a list."""
    return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"


def table(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """Return a table of texts; a pair of texts is a value with a remark in small print below it."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(_cell(cell) for cell in row) + "</tr>\n" for row in rows)
    return f'<div class="wide"><table>\n<tr>{head}</tr>\n{body}</table></div>'


def figure(image: bytes, kind: str, caption: str) -> str:
    """Return an image (`kind` png, webp or svg+xml) inside the page, with its caption."""
    return (
        f'<figure><img src="{_data(image, f"image/{kind}")}" alt="{escape(caption)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def players(named: Iterable[tuple[str, np.ndarray]], sample_rate: int) -> str:
    """Return a player for each name and audio [time], as FLAC inside the page, clipped to -1..1."""
    import soundfile

    parts = []
    for name, audio in named:
        file = io.BytesIO()
        soundfile.write(file, np.clip(audio, -1, 1), sample_rate, format="FLAC", subtype="PCM_16")
        source = _data(file.getvalue(), "audio/flac")
        parts.append(f'<label>{escape(name)} <audio controls preload="none" src="{source}"></audio></label>')
    return f'<div class="players">{"".join(parts)}</div>'


def _cell(cell: Cell) -> str:
    if isinstance(cell, str):
        return f"<td>{escape(cell)}</td>"
    return f"<td>{escape(cell[0])}<small>{escape(cell[1])}</small></td>"


def _data(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
