"""Tests of the claims of SECURITY.md: no pickles, nothing in a file is run, memory is bounded."""

from __future__ import annotations

import ast
import io
import json
import pickle
import re
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest

import sese
from sese.bits import bitwise
from sese.compression import packed
from sese.core.errors import InputError, plain
from sese.core.untrusted import array_of, from_json, read_arrays
from sese.export.folder import read_quality
from sese.folders.manifest import Manifest
from sese.nn import checkpoint
from sese.runtime.artefact import PRETRAINED, open_artefact
from sese.training import run_folder, sweep
from sese.training.config import read, read_values

PACKAGE = Path(sese.__file__).parent
MODEL = PRETRAINED / "nsnet2-dynamic" / "model.onnx"
FORBIDDEN_MODULES = {
    "pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "joblib",
    "shelve",
    "marshal",
    "code",
    "runpy",
}
FORBIDDEN_CALLS = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "os.execv", "os.execvp",
    "yaml.load", "yaml.unsafe_load", "yaml.full_load", "yaml.load_all", "torch.jit.load", "torch.hub.load",
    "tempfile.mktemp", "extractall", "ctypes.PyDLL",
}  # fmt: skip
MADE_FROM_SOURCE = {"cli/doctor.py", "core/compiled.py", "evaluation/timing.py", "demo/assets.py"}
"""Which start programs: a compiler, or Python, on what is in the package; or ask them for a version."""

SUSPECT = re.compile(
    r"pickle|\bdill\b|joblib|shelve|marshal|runpy|import code|(?<![.\w])(eval|exec|compile)\(|__import__"
    r"|os\.(system|popen|exec)|yaml\.|torch\.(load|jit|hub)|np\.load|mktemp|extractall|PyDLL|subprocess"
)
"""Pattern of source files to parse; parsing every file takes seconds."""


def _sources() -> Iterator[tuple[str, ast.AST]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text()
        for node in ast.walk(ast.parse(text)) if SUSPECT.search(text) else ():
            yield path.relative_to(PACKAGE).as_posix(), node


def _name(node: ast.AST) -> str:
    """Dotted, as far as it is names."""
    if isinstance(node, ast.Attribute):
        return f"{_name(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def _wrong(name: str, node: ast.AST) -> str | None:
    """Return the forbidden name that a node of a source uses; None if it uses none."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        modules = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
        return next((module for module in modules if module.split(".")[0] in FORBIDDEN_MODULES), None)
    if not isinstance(node, ast.Call):
        return None
    called = _name(node.func)
    if called in FORBIDDEN_CALLS or called.endswith(".extractall"):
        return called
    wanted = {"torch.load": ("weights_only", "True"), "np.load": ("allow_pickle", "False")}.get(called)
    if wanted is None and not called.startswith("subprocess."):
        return None
    given = [(word.arg, ast.unparse(word.value)) for word in node.keywords if word.arg]
    if wanted is not None and wanted not in given:
        return f"{called} without {'='.join(wanted)}"
    if wanted is None and (name not in MADE_FROM_SOURCE or ("shell", "True") in given):
        return called
    return None


def test_the_package_loads_no_pickles_and_runs_no_text():
    found = [(name, node.lineno, wrong) for name, node in _sources() if (wrong := _wrong(name, node))]
    assert not found


@pytest.mark.parametrize(
    "text",
    ["import pickle", "from dill import loads", "eval(x)", "torch.load(p)", "np.load(p, mmap_mode='r')",
     "yaml.load(t, Loader=L)", "archive.extractall(p)", "subprocess.run(c)", "os.system(c)"],
)  # fmt: skip
def test_the_look_through_the_source_sees(text: str):
    assert SUSPECT.search(text)
    assert any(_wrong("a.py", node) for node in ast.walk(ast.parse(text)))


class Owned:
    """Writes a file where it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


def test_pickles_are_refused(tmp_path: Path):
    owned, arrays, last = tmp_path / "owned", tmp_path / "packed.npz", tmp_path / "last.ckpt"
    np.savez(arrays, facts=np.array([Owned(owned)], object))
    last.write_bytes(pickle.dumps(Owned(owned), protocol=2))
    with pytest.raises(InputError, match="cannot be read as arrays"):
        read_arrays(arrays)
    with pytest.raises(InputError, match="damaged"), run_folder.restoring(last):
        pass
    assert not owned.exists()
    pickle.loads(last.read_bytes())
    assert owned.exists(), "else nothing was shown"


def test_nothing_of_a_model_folder_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Neither modules nor a compiler's or an interpreter's settings beside a model count."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(MODEL.read_bytes())
    for name in ("__init__.py", "onnxruntime.py", "numpy.py", "sitecustomize.py", "model.so", "setup.py"):
        (folder / name).write_text("raise SystemExit('run')")
    assert sese.load(folder).enhance(np.zeros(512, np.float32), 16000).shape == (512,)


def _with_external(place: str) -> Callable[[onnx.ModelProto], None]:
    def edit(proto: onnx.ModelProto) -> None:
        tensor = proto.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=place)

    return edit


def _in_an_attribute(proto: onnx.ModelProto) -> None:
    """Deep in the branch of an If."""
    nodes = [node for node in proto.graph.node if any(a.HasField("g") for a in node.attribute)]
    graph = next(a.g for a in nodes[0].attribute if a.HasField("g"))
    constant = graph.node.add(op_type="Constant", output=["outside"]).attribute.add(name="value")
    constant.type = onnx.AttributeProto.TENSOR
    constant.t.data_type, constant.t.data_location = onnx.TensorProto.FLOAT, onnx.TensorProto.EXTERNAL
    constant.t.external_data.add(key="location", value="values.bin")


def _huge_axis(proto: onnx.ModelProto) -> None:
    proto.graph.input[1].type.tensor_type.shape.dim[0].dim_value = 2**31


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        *((_with_external(place), "external data") for place in (
            "values.bin", "../values.bin", "/etc/passwd", "link.bin", "/dev/zero", "*/_ORT_MEM_ADDR_/*")),
        (_in_an_attribute, "external data"),
        (_huge_axis, "axis of 2147483648"),
    ],
)  # fmt: skip
def test_what_an_onnx_file_may_not(edit: Callable[[onnx.ModelProto], None], told: str, tmp_path: Path):
    """Some of these end the process, or are followed, where ONNX Runtime sees them."""
    proto = onnx.load(MODEL)
    (tmp_path / "values.bin").write_bytes(proto.graph.initializer[0].raw_data)
    (tmp_path / "link.bin").symlink_to("/etc/passwd")
    edit(proto)
    path = tmp_path / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(InputError, match=told):
        open_artefact(path)


def test_a_model_that_fails_later_is_told_of(tmp_path: Path):
    """The first steps, which opening tries, may do what later ones do not."""
    proto = onnx.load(MODEL)
    output = next(value for value in proto.graph.output if value.name == "enhanced")
    output.type.tensor_type.shape.dim[2].dim_value = 65537
    path = tmp_path / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(InputError, match="cannot run a step"):
        sese.load(path).enhance(np.zeros(4000, np.float32), 16000)


def test_a_description_may_speak_of_a_location(tmp_path: Path):
    proto = onnx.load(MODEL)
    proto.doc_string = "of any location"
    (tmp_path / "model.ort").write_bytes(proto.SerializeToString())  # read as ONNX, whatever it is called
    assert open_artefact(tmp_path / "model.ort").card.hop_length


@pytest.mark.parametrize(
    "facts",
    [
        {"sample_rate": float("inf")},
        {"levels": [{"utilization": 1.0, "macs_per_second": float("nan"), "parameters": 1}]},
        {"quality": {"1": {"pesq": "good"}}},
        {"licence": ["MIT"]},
        {"name": {}, "extra": 300 * [[]], "latency_samples": 1e400},
    ],
)
def test_cards_are_checked(facts: dict[str, object], tmp_path: Path):
    with pytest.raises(InputError, match="metadata"):
        open_artefact(_card(facts, tmp_path))


def _card(facts: dict[str, object], folder: Path) -> Path:
    proto = onnx.load(MODEL)
    entry = next(entry for entry in proto.metadata_props if entry.key == "sese")
    entry.value = json.dumps(json.loads(entry.value) | facts)
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def test_a_card_says_nothing_to_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    from sese.cli import models

    evil = "\x1b]0;owned\x07\x9b31m[/red][bold]\nsese: error: another"
    path = _card(
        {"name": evil, "description": evil, "licence": {evil: evil}, "quality": {evil: {evil: 1.0}}}, tmp_path
    )
    models.show(str(path))
    told = capsys.readouterr().out
    assert "owned" in told
    assert told == plain(told)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "nul", b"\xff\xfe\x00", "1" * 5000])
def test_json_that_is_none_is_a_value_error(text: str | bytes):
    with pytest.raises(ValueError):  # noqa: PT011
        from_json(text)


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "packed.npz"
    np.savez_compressed(path, a=np.zeros(1 << 25, np.uint8))
    assert path.stat().st_size < 1 << 16
    monkeypatch.setattr("sese.core.untrusted.LARGEST", 1 << 24)
    with pytest.raises(InputError, match="unpacks to"):
        read_arrays(path)


def test_arrays_are_what_they_have_to_be():
    held = {"a": np.zeros((2, 3), np.float32), "f": np.asfortranarray(np.ones((2, 3), np.float32))}
    assert array_of(held, "f", np.float32, (2, None)).flags.c_contiguous
    for kind, shape in ((np.int8, (2, 3)), (np.float32, (3, 2)), (np.float32, (2, 3, 1))):
        with pytest.raises(ValueError, match="a is float32"):
            array_of(held, "a", kind, shape)


WRONG_SIZES = (
    {"hidden": 2**40}, {"hidden": 64}, {"hop_length": 2**20}, {"code_bits": 30}, {"layers": 3},
    {"output": "x"},
)  # fmt: skip


def test_a_packed_network_of_other_sizes_is_refused(tmp_path: Path):
    """The kernel in C believes the shapes that it is told."""
    facts = {"format": 1, "sample_rate": 16000, "hop_length": 32, "code_bits": 1, "hidden": 40, "layers": 1}
    facts |= {"recurrent": False, "output": "hard", "level_decay": 0.9, "scale": 1.0}
    arrays = {"thresholds": np.zeros(1), "bias": np.zeros(33, np.float32)}
    for number, rows in enumerate((40, 33)):
        arrays[f"{number}.signs"] = np.zeros((rows, 1), np.uint64)
        arrays[f"{number}.least"] = np.zeros(rows, np.int32)
    path = tmp_path / "packed.npz"
    np.savez(path, facts=np.array(json.dumps(facts)), **arrays)
    assert bitwise.PackedEnhancer(path).enhance(np.zeros(64, np.float32), 16000).shape == (64,)
    for change in WRONG_SIZES:
        np.savez(path, facts=np.array(json.dumps(facts | change)), **arrays)
        with pytest.raises(InputError, match="no packed network"):
            bitwise.load(path)


def test_integer_weights_of_other_sizes_are_refused(tmp_path: Path):
    header = {"input": [8, 0.1, 3], "layers": [["d", "none", [[4, 0.1, 1, 0, 1, -5, 2**40]], [[8, 0.1, 0]]]]}
    text = json.dumps(header).encode()
    (tmp_path / "weights.int").write_bytes(packed.MAGIC + len(text).to_bytes(4, "little") + text)
    with pytest.raises(InputError, match="damaged"):
        packed.read(tmp_path / "weights.int")


def test_sizes_of_a_network_do_not_fill_the_memory(tmp_path: Path):
    source = PRETRAINED / "nsnet2-dynamic"
    values = json.loads((source / "config.json").read_text())
    (tmp_path / "model.safetensors").write_bytes((source / "model.safetensors").read_bytes())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for change in ({"hidden": 30_000}, {"wide": 2**31}, {"hidden": "12"}, {"hidden": float("inf")}):
        (tmp_path / "config.json").write_text(json.dumps(values | change))
        with pytest.raises(InputError, match=r"config\.json"):
            checkpoint.load(tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 19


@pytest.mark.parametrize(
    "row", ['{"output": [], "status": "done"}', "[" * 5000, '{"output": "\\ud800"}', "[]"]
)
def test_rows_of_a_manifest_that_are_none_are_passed_over(row: str, tmp_path: Path):
    path = tmp_path / "manifest.jsonl"
    path.write_text('{"output": "a.wav", "status": "done"}\n' + row + "\n")
    with Manifest(path) as manifest:
        assert manifest.rows + manifest.torn == 2


@pytest.mark.parametrize(
    "text",
    ["runs: {../../x: {config: debug.yaml}}", "runs: {/x/../../y: {config: debug.yaml}}", "a: 2001-99-99",
     "{config: c.yaml, seeds: ['../..'], runs: {a: {}}}", "{config: c.yaml, runs: {a: {grid: {seed: 5}}}}",
     "runs: " + "[" * 500, "{config: c.yaml, set: [1], runs: {a: {}}}"],
)  # fmt: skip
def test_a_sweep_stays_in_its_folder(text: str, tmp_path: Path):
    path = tmp_path / "sweep.yaml"
    path.write_text(text)
    with pytest.raises(InputError):
        sweep.plan(path, tmp_path / "runs")


def test_a_report_that_is_none_is_refused(tmp_path: Path):
    path = tmp_path / "evaluation.json"
    for text in ('{"levels": [{"level": 1, "mean": {"a": 1}}]}', "[" * 5000, '{"levels": 3}', "\udcff"):
        path.write_text(text, errors="surrogateescape")
        with pytest.raises(InputError, match="no report"):
            read_quality(path)


def test_a_base_that_no_file_can_be_is_refused(tmp_path: Path):
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    for name in ("loop.yaml", r"\ud800.yaml", r"\0", "x" * 300):
        (tmp_path / "a.yaml").write_text(f'base: "{name}"\n')
        with pytest.raises(InputError):
            read_values(tmp_path / "a.yaml")


def test_a_configuration_of_much_too_large_a_model_is_refused(tmp_path: Path):
    (tmp_path / "a.yaml").write_text("system: nsnet2\nmodel: {hidden: 40000}\n")
    with pytest.raises(InputError, match="values"):
        read(tmp_path / "a.yaml")


def test_layers_without_end_are_refused(tmp_path: Path):
    values = {"system": "local_experts", "n_fft": 64, "hop_length": 32, "hidden": 6}
    for change in ({"layers": 2**40}, {"experts": 10**30}):
        (tmp_path / "config.json").write_text(json.dumps(values | change))
        with pytest.raises(InputError, match="tensors"):
            checkpoint.load(tmp_path)


def test_messages_stay_one_line_of_text():
    file = io.StringIO("\x1b[31mred\x07\u202egnp.exe\ud800\x9b")
    text = str(InputError(f"{file.read()}\n does not exist"))
    assert text == "\\x1b[31mred\\x07\\u202egnp.exe\\ud800\\x9b does not exist"
    assert text.isascii()
