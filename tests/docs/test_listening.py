"""Check that the first page plays and shows the output of the bundled model."""

from __future__ import annotations

import functools
import http.server
import io
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from pages import ROOT

import sese

LEVELS = ("0.06", "0.33", "1")
NAMES = ("noisy", *LEVELS)


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray]:
    """The recording before and after, without the code that makes the page."""
    audio, rate = soundfile.read(ROOT / "examples" / "playground.wav", dtype="float32")
    outputs = {name: sese.enhance(audio, rate, model="sese-2", budget=f"fixed:{name}") for name in LEVELS}
    return {"noisy": audio} | outputs


@pytest.mark.parametrize("name", NAMES)
def test_sounds_are_those_of_the_model(site: Path, expected: dict[str, np.ndarray], name: str) -> None:
    heard, rate = soundfile.read(site / "sounds" / f"{name}.mp3", dtype="float32")
    assert rate == 16000
    assert heard.shape == expected[name].shape
    assert decibels(expected[name], heard) > 15
    others = [decibels(expected[other], heard) for other in NAMES if other != name]
    assert max(others) < decibels(expected[name], heard) - 1


def decibels(signal: np.ndarray, coded: np.ndarray) -> float:
    """Signal over the error of the encoding."""
    return float(10 * np.log10(np.sum(signal**2) / np.sum((signal - coded) ** 2)))


def test_pictures_are_those_of_the_sounds(site: Path, expected: dict[str, np.ndarray], hooks: None) -> None:
    from listening import COLOURS, coloured
    from PIL import Image

    for name in NAMES:
        for theme in COLOURS:
            shown = np.asarray(Image.open(site / "sounds" / f"{name}_{theme}.webp").convert("RGB"), float)
            right = coloured(expected[name], theme).astype(float)
            assert np.corrcoef(shown.ravel(), right.ravel())[0, 1] > 0.95
            quiet = (right[-40:, :60] if name != "noisy" else right).mean()
            assert (quiet > 128) == (theme == "light") or name == "noisy"


def test_the_page_plays_them(site: Path) -> None:
    page = (site / "index.html").read_text()
    for name in NAMES:
        assert f'src="sounds/{name}.mp3"' in page
        assert f'src="sounds/{name}_light.webp#only-light"' in page
        assert f'src="sounds/{name}_dark.webp#only-dark"' in page
    assert page.count("<audio ") == len(NAMES)
    assert sum(path.stat().st_size for path in (site / "sounds").iterdir()) < 400_000


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_picture_of_the_readme_is_up_to_date(theme: str, hooks: None) -> None:
    from listening import README_PICTURES, readme_picture
    from PIL import Image

    def pixels(source: Any) -> np.ndarray:
        return np.asarray(Image.open(source).convert("L"), float).ravel()

    kept, fresh = pixels(README_PICTURES[theme]), pixels(io.BytesIO(readme_picture(theme)))
    assert np.corrcoef(kept, fresh)[0, 1] > 0.98, (
        "the model has changed: run `python docs/hooks/listening.py`"
    )


@pytest.fixture
def browser(site: Path, tmp_path: Path) -> Any:
    """The first page in a browser."""
    webdriver = pytest.importorskip("selenium.webdriver")
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if not all(programs):
        pytest.skip("chromium and chromedriver are not installed (Debian: chromium, chromium-driver)")
    from selenium.webdriver.chrome.service import Service

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    options = webdriver.ChromeOptions()
    options.binary_location = str(programs[0])
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "no-first-run"):
        options.add_argument(f"--{flag}")
    options.add_argument(f"--user-data-dir={tmp_path / 'profile'}")
    options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=site)
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        driver = webdriver.Chrome(options=options, service=Service(str(programs[1])))
        driver.set_script_timeout(60)
        driver.get(f"http://127.0.0.1:{server.server_address[1]}/")
        yield driver
        driver.quit()
        server.shutdown()


def test_a_player_goes_on_where_the_last_one_was(browser: Any) -> None:
    wait = browser.execute_async_script
    wait(
        """const [done] = arguments;
        const players = [...document.querySelectorAll('.listen audio')];
        const held = (player) => player.src.startsWith('blob:') && player.duration;
        const look = () => (players.every(held) ? done() : setTimeout(look, 20));
        look();"""
    )
    browser.find_element("css selector", ".listen .picture").click()  # in its middle
    first, second = wait(
        """const [done] = arguments;
        const [first, second] = document.querySelectorAll('.listen audio');
        const passed = (player, time) => new Promise((resolve) => {
          const look = () => (player.currentTime > time ? resolve() : setTimeout(look, 20));
          look();
        });
        const state = (player) => [player.paused, player.currentTime];
        passed(first, 4.2)
          .then(() => second.play())
          .then(() => passed(second, 4.3))
          .then(() => done([state(first), state(second)]));"""
    )
    assert first[0]
    assert first[1] > 4
    assert not second[0]
    assert second[1] == pytest.approx(first[1], abs=0.5)
    left = browser.execute_script(
        "return [...document.querySelectorAll('.listen i')].map((i) => i.style.left)"
    )
    assert len(set(left)) == 1
    assert float(left[0].removesuffix("%")) > 50
