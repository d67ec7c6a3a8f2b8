"""Something to hear: the bundled recording before and after, at each level of the default model.

When the site is built, this hook enhances the recording, adds sounds and pictures, and puts players in
place of the mark in the first page. `python docs/hooks/listening.py` draws the pictures of the README.
"""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from matplotlib import rc_context
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from PIL import Image

ROOT = Path(__file__).parents[2]
RECORDING = ROOT / "examples" / "playground.wav"
MARK = "<!-- players -->"
NOISY = "noisy"
WIDTH, HEIGHT = 640, 160  # pixels of a spectrogram
QUIETEST, LOUDEST = -45.0, 25.0  # dB of the darkest and the brightest colour
COLOURS = {
    "light": ("#ffffff", "#bfe3de", "#4db6ac", "#00796b", "#00352f", "#001512"),
    "dark": ("#0d1116", "#003a34", "#00796b", "#4db6ac", "#d5f2ee", "#ffffff"),
}
"""Theme of the page -> colours from quiet to loud."""

INKS = {"light": "#303030", "dark": "#d8d8e0"}


@cache
def versions() -> dict[str, np.ndarray]:
    """Return the recording as it is and enhanced at each level, each float32 [time] at 16 kHz."""
    import sese
    from sese.runtime.budget import level_name

    audio, rate = soundfile.read(RECORDING, dtype="float32")
    card = sese.load().card
    names = [level_name(card, number) for number in range(len(card.levels))]
    return {NOISY: audio} | {name: sese.enhance(audio, rate, budget=f"fixed:{name}") for name in names}


def files() -> dict[str, bytes]:
    """Return the sounds and pictures by their path in the site."""
    made = {}
    for name, audio in versions().items():
        sound, rate = io.BytesIO(), soundfile.info(RECORDING).samplerate
        soundfile.write(sound, audio, rate, "MPEG_LAYER_III", format="MP3", compression_level=0.3)
        made[f"sounds/{name}.mp3"] = sound.getvalue()
        for theme in COLOURS:
            picture = io.BytesIO()
            Image.fromarray(coloured(audio, theme)).save(picture, "WEBP", quality=70, method=6)
            made[f"sounds/{name}_{theme}.webp"] = picture.getvalue()
    return made


def coloured(audio: np.ndarray, theme: str) -> np.ndarray:
    """Return the spectrogram of a signal [time] as an image, uint8 [row, column, colour]."""
    size = 512
    padded = np.pad(audio, (size // 2, size))
    starts = np.linspace(0, len(audio), WIDTH, endpoint=False).astype(int)
    windows = np.stack([padded[start : start + size] for start in starts]) * np.hanning(size)
    decibels = 20 * np.log10(np.abs(np.fft.rfft(windows)).T + 1e-6)
    edges = np.linspace(0, size // 2, HEIGHT + 1).astype(int)
    rows = np.maximum.reduceat(decibels[:-1], edges[:-1])[::-1]
    colours = LinearSegmentedColormap.from_list(theme, COLOURS[theme])
    shares = np.clip((rows - QUIETEST) / (LOUDEST - QUIETEST), 0, 1)
    return (255 * colours(shares)[..., :3]).round().astype(np.uint8)


def captions() -> dict[str, tuple[str, list[str]]]:
    """Return a title and facts of each version; the last fact is the quality."""
    from sese.runtime.artefact import open_artefact
    from sese.runtime.budget import level_name

    card = open_artefact().card
    quality = card.quality
    made = {NOISY: ("Noisy input", [f"PESQ {quality['noisy']['pesq_wb']:.2f}"])}
    for number, level in enumerate(card.levels):
        name = level_name(card, number)
        cost = f"{level.macs_per_second / 1e6:.0f} million MACs a second"
        made[name] = (f"Level {name}", [cost, f"PESQ {quality[f'fixed:{name}']['pesq_wb']:.2f}"])
    return made


def players() -> str:
    """Return the players as HTML."""
    parts = []
    for name, (title, about) in captions().items():
        pictures = "".join(
            f'<img src="sounds/{name}_{theme}.webp#only-{theme}" width="{WIDTH}" height="{HEIGHT}" '
            f'alt="Spectrogram of the recording: {title}">'
            for theme in COLOURS
        )
        parts.append(
            f"<figure><figcaption><strong>{title}</strong> {', '.join(about)}</figcaption>"
            f'<div class="picture">{pictures}<i></i></div>'
            f'<audio controls preload="metadata" src="sounds/{name}.mp3" aria-label="{title}"></audio>'
            "</figure>"
        )
    return '<div class="listen">\n' + "\n".join(parts) + "\n</div>"


def on_files(site: Any, config: Any) -> Any:
    """Add the sounds and pictures."""
    from mkdocs.structure.files import File

    for path, content in files().items():
        site.append(File.generated(config, path, content=content))
    return site


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the players in place of the mark."""
    return markdown.replace(MARK, players()) if MARK in markdown else markdown


def readme_picture(theme: str) -> bytes:
    """Return the spectrograms of all versions in one picture, as WebP."""
    parts = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    style = dict.fromkeys(parts, INKS[theme])
    with rc_context(style | {"font.size": 9}):
        figure = Figure(figsize=(10, 4.2), layout="constrained", dpi=110)
        axes = figure.subplots(2, 2, sharex=True, sharey=True).flat
        seconds = soundfile.info(RECORDING).duration
        for number, (axis, (name, (title, about))) in enumerate(zip(axes, captions().items(), strict=True)):
            shown = coloured(versions()[name], theme)
            axis.imshow(shown, aspect="auto", extent=(0, seconds, 0, 8), interpolation="hanning")
            axis.set_title(": ".join([title, *about[:-1]]), fontsize=10, loc="left")
            axis.set(ylabel="kHz" if number % 2 == 0 else "", xlabel="seconds" if number > 1 else "")
        drawn, picture = io.BytesIO(), io.BytesIO()
        figure.savefig(drawn, format="png", transparent=True)
    Image.open(drawn).save(picture, "WEBP", quality=60, method=6)
    return picture.getvalue()


README_PICTURES = {theme: ROOT / "docs" / "figures" / f"readme_{theme}.webp" for theme in COLOURS}

if __name__ == "__main__":
    for of_theme, place in README_PICTURES.items():
        place.write_bytes(readme_picture(of_theme))
