"""`sese demo` as a process, and a headless Chromium to open its page with."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from sese.core.errors import InputError
from sese.demo.assets import find_assets

EXAMPLES = Path(__file__).parents[2] / "examples"
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--force-device-scale-factor=1",
    "--window-size=1280,1500",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
]
PREFERENCES = {"profile.default_content_setting_values.automatic_downloads": 1}  # more than one
PATIENCE_SECONDS = 60  # for one step of the page: continuous integration may be slow


@pytest.fixture(scope="session")
def runtime_files() -> dict[str, Path]:
    """ONNX Runtime for the browser, from the cache or the registry."""
    try:
        return find_assets()
    except InputError as error:
        pytest.skip(f"ONNX Runtime for the browser is not to be had: {error}")


@pytest.fixture(scope="session")
def demo(runtime_files: dict[str, Path]) -> Iterator[str]:
    """Address of a running `sese demo`, which ends cleanly by Ctrl-C afterwards."""
    command = [sys.executable, "-m", "sese.cli.main", "demo", "--no-browser", "--port", "0"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored in jobs of a script
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.match(r"(http://127\.0\.0\.1:\d+/) ", line)
        assert found, line + (process.communicate()[1] if process.poll() is not None else "")
        yield found[1]
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
        assert (process.returncode, out, err) == (0, "", "sese: demo ended\n")
    finally:
        process.kill()


@dataclass
class Page:
    """The page in a browser."""

    driver: Any
    folder: Path
    origin: str

    def script(self, text: str, *arguments: object) -> Any:
        """Run JavaScript and return what it returns."""
        return self.driver.execute_script(text, *arguments)

    def text(self, identity: str) -> str:
        """Return the text of an element."""
        return str(self.script("return document.getElementById(arguments[0]).textContent", identity))

    def wait(self, condition: str, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until a JavaScript expression is true; a problem that the page shows fails the test."""
        end = time.monotonic() + seconds
        while not self.script(f"return Boolean({condition})"):
            problem = self.script(
                "const p = document.getElementById('problem'); return p.hidden || p.innerText"
            )
            assert problem is True, problem
            assert time.monotonic() < end, f"never: {condition}; the page says {self.text('status')!r}"
            time.sleep(0.05)

    def element(self, identity: str) -> Any:
        """An element, to type into or click on."""
        return self.driver.find_element("id", identity)

    def open(self) -> None:
        """Load the page anew."""
        self.driver.get(self.origin)
        self.wait("document.body.dataset.model !== undefined")

    def choose_model(self, name: str) -> None:
        """Pick a model by its name."""
        self.script(
            """const select = document.getElementById('model');
            delete document.body.dataset.model;
            select.value = [...select.options].find((option) => option.text === arguments[0]).value;
            select.dispatchEvent(new Event('change'));""",
            name,
        )
        self.wait("document.body.dataset.model !== undefined")
        self.settle()

    def choose_budget(self, mode: str, value: float | None = None) -> None:
        """Pick who decides, and move the slider."""
        self.script(
            """document.querySelector(`input[name=mode][value=${arguments[0]}]`).click();
            const slider = document.getElementById('budget');
            if (arguments[1] === null) return;
            slider.value = arguments[1];
            slider.dispatchEvent(new Event('input'));""",
            mode,
            value,
        )
        self.settle()

    def give(self, path: Path) -> None:
        """Choose a file and wait until it is enhanced."""
        self.element("file").send_keys(str(path))
        self.settle()

    def settle(self) -> None:
        """Wait until all is enhanced as the controls say."""
        self.wait("document.getElementById('result').ariaBusy === 'false'")

    def download(self) -> Path:
        """Click on the download and return the file."""
        before = set(self.folder.glob("*.wav"))
        self.element("download").click()
        end = time.monotonic() + PATIENCE_SECONDS
        # Chromium reserves the name with an empty file before the whole one takes its place.
        while not (new := [path for path in set(self.folder.glob("*.wav")) - before if is_whole(path)]):
            assert time.monotonic() < end, "nothing was downloaded"
            time.sleep(0.05)
        return new[0]


def is_whole(path: Path) -> bool:
    """Return whether a WAV file is as long as its header says."""
    head = path.read_bytes()[:8]
    return len(head) == 8 and path.stat().st_size >= 8 + int.from_bytes(head[4:], "little")


@pytest.fixture(scope="module")
def page(demo: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The page, open in a browser whose microphone hears `examples/playground.wav` over and over.

    At the end, all that the browser sent for the page must have stayed on this machine.
    """
    if importlib.util.find_spec("selenium") is None:
        pytest.skip("the Python package selenium is not installed")
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if not all(programs):
        pytest.skip("chromium and chromedriver are not installed (Debian: chromium, chromium-driver)")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    folder = tmp_path_factory.mktemp("browser")
    log = folder / "network.json"
    options = webdriver.ChromeOptions()
    options.binary_location = str(programs[0])
    for flag in FLAGS:
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={folder / 'profile'}")
    options.add_argument(f"--log-net-log={log}")
    options.add_argument(f"--use-file-for-fake-audio-capture={EXAMPLES / 'playground.wav'}")
    # Whatever the browser itself wants to know, no other machine is to be asked.
    options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
    options.add_experimental_option("prefs", PREFERENCES | {"download.default_directory": str(folder)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = Service(str(programs[1]), env={**os.environ, "SE_OFFLINE": "true", "SE_AVOID_STATS": "true"})
    driver = webdriver.Chrome(options=options, service=service)
    driver.set_script_timeout(PATIENCE_SECONDS)
    try:
        opened = Page(driver, folder, demo)
        opened.open()
        yield opened
        messages = [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]
    finally:
        driver.quit()
    assert not messages
    asked = requests_of(log, demo.rstrip("/"))
    assert f"{demo}models/0.onnx" in asked, "the log holds what the worker asked for, too"
    assert {urlsplit(address).netloc for address in asked} == {urlsplit(demo).netloc}


def requests_of(log: Path, origin: str) -> set[str]:
    """Addresses that the pages of an origin asked for, those of the workers with them."""
    events = json.loads(log.read_text())["events"]
    asked = [event["params"] for event in events if "url" in event.get("params", {})]
    return {
        params["url"]
        for params in asked
        if params.get("initiator") == origin and params["url"].startswith(("http", "ws"))
    }
