"""`sese demo`: a page on this machine that enhances in the browser."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from sese.cli.run_models import usable

DEFAULT_PORT = 8137


def demo(
    port: Annotated[int, typer.Option(help="Port on this machine; 0 takes any free one.")] = DEFAULT_PORT,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="Model that is selected first: a name, or path of a model folder or an .onnx file. The page "
            "offers the bundled models too.",
            envvar="SESE_MODEL",
        ),
    ] = None,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the address without opening a browser.")
    ] = False,
    assets: Annotated[
        Path | None,
        typer.Option(help="Folder of an unpacked onnxruntime-web, for a machine without internet access."),
    ] = None,
) -> None:
    """Open a page that removes noise from files and the microphone in your browser. No audio leaves it."""
    import signal
    import webbrowser
    from threading import Thread

    from sese.demo.assets import find_assets
    from sese.demo.server import documents, make_server
    from sese.runtime.artefact import bundled_models, find_model, open_artefact

    paths = dict.fromkeys(find_model(name) for name in [usable(model), *bundled_models()])
    artefacts = [open_artefact(path) for path in paths]
    with _bar() as progress:
        files = find_assets(assets, lambda line: print(f"sese: {line}", file=sys.stderr), progress)
    with make_server(documents(artefacts, files), port) as server:
        address = f"http://{server.server_address[0]!s}:{server.server_address[1]}/"
        print(f"{address} enhances in your browser; Ctrl-C ends it", flush=True)
        if not no_browser:
            # In a thread, as some browsers return only when they are closed.
            Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        signal.signal(signal.SIGINT, signal.default_int_handler)  # Ctrl-C is the usual end here
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("sese: demo ended", file=sys.stderr)


@contextmanager
def _bar() -> Iterator[Callable[[int, int], object]]:
    """Yield what shows the progress of a download; only a terminal shows it."""
    if not sys.stderr.isatty():
        yield lambda got, size: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("download", visible=False)
        yield lambda got, size: bar.update(task, completed=got, total=size, visible=True)
