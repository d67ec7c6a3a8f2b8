"""Serve a fixed set of files to browsers on this machine only."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from sese.core.errors import InputError
from sese.runtime.artefact import Artefact, describe
from sese.runtime.band_head import WEIGHTS

PAGE = Path(__file__).with_name("page")
EXAMPLE = Path(__file__).parents[1] / "export" / "noisy_speech.flac"
HOST = "127.0.0.1"
KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
    ".flac": "audio/flac",
}
HEADERS = {
    # Nothing may be loaded from, or sent to, any other server; no inline script or style.
    "Content-Security-Policy": "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; "
    "style-src 'self'; img-src 'self'; connect-src 'self'; media-src blob:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    # An isolated page has finer clocks, which measure the real-time factor.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
LOCAL_NAMES = {"127.0.0.1", "localhost"}


@dataclass(frozen=True)
class Document:
    """Content of an address: bytes, or a file that is read at each request."""

    kind: str
    content: bytes | Path


def documents(artefacts: Sequence[Artefact], assets: Mapping[str, Path]) -> dict[str, Document]:
    """Return all documents of the site by address: the page, the models and the runtime.

    Args:
        artefacts: Models to offer; the first is selected when the page opens.
        assets: Files from `sese.demo.assets.find_assets`.
    """
    site = {f"/{path.name}": _of_file(path) for path in sorted(PAGE.iterdir()) if path.suffix in KINDS}
    site["/"] = site["/index.html"]
    site["/example.flac"] = _of_file(EXAMPLE)
    site["/band_head.safetensors"] = Document("application/octet-stream", WEIGHTS)
    site |= {f"/onnxruntime/{name}": _of_file(path) for name, path in assets.items()}
    table = []
    for index, artefact in enumerate(artefacts):
        address = f"models/{index}.onnx"
        site[f"/{address}"] = Document("application/octet-stream", artefact.path)
        facts = describe(artefact)
        del facts["path"]  # a page need not know the path of a file
        for level in facts["levels"]:
            level["utilization"] = float(
                f"{level['utilization']:.6g}"
            )  # 0.07, without the rounding of float32
        state = {name: list(spec.shape) for name, spec in artefact.state.items()}
        table.append(facts | {"address": address, "state": state})
    site["/models.json"] = Document(KINDS[".json"], json.dumps(table).encode())
    return site


def make_server(site: Mapping[str, Document], port: int) -> ThreadingHTTPServer:
    """Return a server of `site` on the loopback address; its `serve_forever` runs it.

    Args:
        site: Documents by address.
        port: Port; 0 takes any free one.

    Raises:
        InputError: The port cannot be used.
    """
    try:
        return _Server((HOST, port), partial(_Handler, site))
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else "ports go from 0 to 65535"
        raise InputError(
            f"port {port} of {HOST} cannot be used ({reason}); name another with --port, or 0 for any"
        ) from error


class _Server(ThreadingHTTPServer):
    allow_reuse_address = os.name != "nt"  # on Windows this would share a port that is taken
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Report errors, except that a browser left in the middle of an answer."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            traceback.print_exc()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60  # seconds that an idle connection is kept

    def __init__(self, site: Mapping[str, Document], *arguments: object) -> None:
        self._site = site
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, body: bool) -> None:
        try:
            host, address = urlsplit(f"//{self.headers.get('Host', '')}").hostname, urlsplit(self.path).path
        except ValueError:
            self.send_error(HTTPStatus.BAD_REQUEST)
            return
        if host not in LOCAL_NAMES:
            # A foreign name that points to this machine must not reach this server.
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
            return
        document = self._site.get(address)
        if document is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        content = document.content
        try:
            content = content.read_bytes() if isinstance(content, Path) else content
        except OSError:  # a model that was deleted in the meantime
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", document.kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)

    def end_headers(self) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing about requests."""


def _of_file(path: Path) -> Document:
    return Document(KINDS[path.suffix], path)
