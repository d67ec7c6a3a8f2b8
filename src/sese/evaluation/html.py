"""Parts of a self-contained HTML page: no file, font or script from elsewhere."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape

import numpy as np

from sese.core.install import install_command

STYLE = """
:root { color-scheme: light dark; --text: #222; --page: #fff; --dim: #5a5a5a; --line: #ddd; --rule: #888;
  --mark: #eef4fb; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e4e4e4; --page: #16181d; --dim: #a4a8ae; --line: #33363d; --rule: #777; --mark: #22303f; }
  .plot { filter: invert(1) hue-rotate(180deg); mix-blend-mode: screen; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page); max-width: 1180px;
  margin: 2rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
h3 { font-size: 1rem; margin: 1.6rem 0 .4rem; }
p, ul { max-width: 52rem; } small { color: var(--dim); }
.verdict { font-size: 1.08rem; background: var(--mark); border-radius: .4rem; padding: .7rem 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .55rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
th { font-weight: 600; border-bottom: 2px solid var(--rule); vertical-align: bottom; white-space: normal; }
th button { all: unset; cursor: pointer; } th button:focus-visible { outline: 2px solid currentColor; }
th[aria-sort="ascending"] button::after { content: " \\25B2"; font-size: .7em; }
th[aria-sort="descending"] button::after { content: " \\25BC"; font-size: .7em; }
th:first-child, td:first-child { text-align: left; }
td small { display: block; font-size: .75rem; line-height: 1.1; }
figure { margin: 1rem 0; } figure img { max-width: 100%; height: auto; }
figcaption { color: var(--dim); font-size: .87rem; max-width: 52rem; }
.players { display: flex; flex-wrap: wrap; gap: .4rem 1.5rem; }
.players label { display: flex; align-items: center; gap: .5rem; font-size: .87rem; }
audio { height: 2.2rem; width: 15rem; }
"""

SORT = """
const value = row => column => row.cells[column].firstChild?.textContent ?? "";
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.firstChild.addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    heads.forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const rows = [...table.tBodies[0].rows].map(row => [row, value(row)(column)]);
    const number = text => parseFloat(text.replace(/,/g, ""));
    rows.sort(([, a], [, b]) => {
      const [x, y] = [number(a), number(b)];
      if (isNaN(x) !== isNaN(y)) return isNaN(x) ? 1 : -1;  // what is not there comes last
      const order = isNaN(x) ? a.localeCompare(b, undefined, { numeric: true }) : x - y;
      return up ? order : -order;
    });
    table.tBodies[0].append(...rows.map(([row]) => row));
  }));
}
"""
"""Sort a table by the column whose heading is clicked; again, the other way round."""

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
        f"<style>{STYLE}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n{body}\n"
        f"<script>{SORT}</script>\n</body>\n</html>\n"
    )


def paragraph(text: str) -> str:
    """Return text as a paragraph."""
    return f"<p>{escape(text)}</p>"


def verdict(text: str) -> str:
    """Return the result in a paragraph that stands out."""
    return f'<p class="verdict">{escape(text)}</p>'


def heading(text: str) -> str:
    """Return text as a small heading."""
    return f"<h3>{escape(text)}</h3>"


def bullets(items: Iterable[str]) -> str:
    """Return texts as a list."""
    return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"


def table(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """Return a table of texts that can be sorted by each column; a pair is a value with a remark below it."""
    head = "".join(f'<th scope="col"><button>{escape(cell)}</button></th>' for cell in header)
    body = "".join("<tr>" + "".join(_cell(cell) for cell in row) + "</tr>\n" for row in rows)
    return f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table></div>'


def figure(image: bytes, kind: str, caption: str) -> str:
    """Return an image (`kind` png, webp or svg+xml) inside the page, with its caption."""
    drawn = 'class="plot" ' if kind == "svg+xml" else ""
    return (
        f'<figure><img {drawn}src="{_data(image, f"image/{kind}")}" alt="{escape(caption)}">'
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
