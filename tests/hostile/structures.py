"""Files that are well formed outside and wrong inside: taken apart, one to three parts changed, put together.

Of each kind of file, by its suffix. What is changed at random alone dies at the outermost parser.
"""

from __future__ import annotations

import copy
import io
import json
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

SIZES = (-1, 0, 1, 2, 3, 7, 255, 65537, 2**31 - 1, 2**31, 2**40, 2**63 - 1)
NAMES = (
    "",
    "../../../../etc/passwd",
    "/etc/passwd",
    "..\\..\\x",
    "\x1b]0;owned\x07\x1b[31m",
    "[/red]",
    "a\0b",
    "\u202etxt.exe",
    "\ud800",
    "name\nsese: error: another line\r",
    "%s%n{0}{x!r}$(id)`id`",
    "x" * 70_000,
    "__class__",
    "\u0301" * 500,
)
OPERATORS = (
    "Identity", "If", "Loop", "Scan", "Reshape", "Expand", "Tile", "ConstantOfShape", "Range", "Gather",
    "MatMul", "Conv", "GRU", "Einsum", "NonMaxSuppression", "SequenceEmpty", "StringNormalizer",
    "OptionalGetElement", "RandomNormal", "Cast", "Pad", "Resize", "DFT", "Nonsense",
)  # fmt: skip

WRONG = (
    None, True, False, [], {}, [[]], {"": {}}, [1, "a", None], {"a": 1}, [*range(3000)],
    0, -1, 1, 2, 0.5, -0.0, 1e308, 1e-320, float("nan"), float("inf"), float("-inf"),
    2**31, 2**63, -(2**63), 10**30, 2_000_000_000, "1e9", "nan", "12", "auto",
)  # fmt: skip


def structured(suffix: str, data: bytes, rng: np.random.Generator) -> bytes | None:
    """The file with parts changed; None for a kind that is not taken apart."""
    kinds: dict[str, Callable[[bytes, np.random.Generator], bytes]] = {
        ".onnx": _onnx,
        ".json": _json,
        ".jsonl": _json_lines,
        ".yaml": _yaml,
        ".safetensors": _safetensors,
        ".npz": _npz,
        ".npy": _npy,
        ".csv": _csv,
        ".int": _int,
    }
    return kinds[suffix](data, rng) if suffix in kinds else None


def _pick(rng: np.random.Generator, things: Any) -> Any:
    return things[int(rng.integers(len(things)))]


def _wrong(rng: np.random.Generator) -> Any:
    """A value of any type."""
    nested: Any = 0
    for _ in range(int(_pick(rng, (3, 60, 300)))):
        nested = [nested]
    return copy.deepcopy(_pick(rng, (*WRONG, *NAMES, nested)))


def _places(tree: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value."""
    found = [above]
    if isinstance(tree, dict):
        for key, value in tree.items():
            found += _places(value, (*above, key))
    elif isinstance(tree, list):
        for number, value in enumerate(tree[:50]):
            found += _places(value, (*above, number))
    return found


def changed_tree(tree: Any, rng: np.random.Generator) -> Any:
    """Plain nested values with one to three of them wrong, missing, renamed or added."""
    tree = copy.deepcopy(tree)
    for _ in range(int(rng.integers(1, 4))):
        way = _pick(rng, _places(tree))
        if not way:
            if rng.random() < 0.2:
                return _wrong(rng)
            continue
        node = tree
        for key in way[:-1]:
            node = node[key]
        kind = rng.random()
        if kind < 0.5:
            node[way[-1]] = _wrong(rng)
        elif kind < 0.6 and isinstance(node[way[-1]], int | float):
            node[way[-1]] = _pick(rng, SIZES)
        elif kind < 0.75:
            del node[way[-1]]
        elif isinstance(node, dict):
            value = node.pop(way[-1]) if kind < 0.85 else _wrong(rng)
            node[_pick(rng, (*NAMES, str(way[-1]).upper()))] = value
        else:
            node.insert(way[-1], _wrong(rng))
    return tree


def _json(data: bytes, rng: np.random.Generator) -> bytes:
    if rng.random() < 0.03:
        return b'{"a":' + b"[" * 100_000
    if rng.random() < 0.03:
        return data.replace(b": ", b": 1" + b"0" * 5000, 1)
    try:
        return json.dumps(changed_tree(json.loads(data), rng)).encode()
    except (ValueError, RecursionError):  # what was changed already
        return data


def _json_lines(data: bytes, rng: np.random.Generator) -> bytes:
    lines = data.splitlines()
    at = int(rng.integers(len(lines)))
    lines[at] = _json(lines[at], rng) if lines[at].strip() else b"[" * 3000
    return b"\n".join(lines) + b"\n"


def _yaml(data: bytes, rng: np.random.Generator) -> bytes:
    import yaml

    if b"&a" in data or len(data) > 4000:  # bombs, and what is nested deeply
        return data
    try:
        tree = yaml.load(data, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, ValueError):
        return data
    # JSON is YAML, and is written in a tenth of the time.
    return json.dumps(changed_tree(tree, rng), default=str).encode() if tree else data


def _csv(data: bytes, rng: np.random.Generator) -> bytes:
    rows = [line.split(b",") for line in data.splitlines()]
    for _ in range(int(rng.integers(1, 4))):
        row = _pick(rng, rows)
        at = int(rng.integers(len(row)))
        row[at] = _pick(
            rng,
            (
                b"",
                b'"',
                b"\0",
                b"nan",
                b"1e400",
                b"\xff\xfe",
                b"\x1b[31m",
                b"x" * 200_000,
                b"../../x",
                b'"a\nb"',
                row[at] + b",more",
            ),
        )
    return b"\n".join(b",".join(row) for row in rows) + b"\n"


def _onnx(data: bytes, rng: np.random.Generator) -> bytes:
    import onnx

    proto = onnx.load_from_string(data)
    edits = (
        _node,
        _node,
        _attribute,
        _initializer,
        _external,
        _value,
        _card,
        _card,
        _card,
        _model,
        _function,
    )
    for _ in range(int(rng.integers(1, 3))):
        if proto.graph.node:
            _pick(rng, edits)(proto, rng)
    return proto.SerializeToString()


def _graphs(graph: Any) -> list[Any]:
    """A graph and those within."""
    found = [graph]
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                found += _graphs(attribute.g)
    return found


def _some_node(proto: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    graph = _pick(rng, [graph for graph in _graphs(proto.graph) if graph.node])
    return graph, _pick(rng, graph.node)


def _text(rng: np.random.Generator) -> str:
    return str(_pick(rng, NAMES)).encode("utf-8", "replace").decode()


def _node(proto: Any, rng: np.random.Generator) -> None:
    graph, node = _some_node(proto, rng)
    kind = int(rng.integers(8))
    if kind == 0:
        node.op_type = _pick(rng, OPERATORS)
    elif kind == 1:
        node.domain = _pick(rng, ("com.microsoft", "ai.onnx.ml", "com.example", _text(rng)))
    elif kind == 2 and node.input:
        node.input[int(rng.integers(len(node.input)))] = _pick(rng, ("", _text(rng), _pick(rng, node.input)))
    elif kind == 3 and node.output:
        node.output[0] = _pick(rng, (_text(rng), _pick(rng, graph.node).output[0]))
    elif kind == 4:
        graph.node.remove(node)
    elif kind == 5:
        graph.node.add().CopyFrom(node)
    elif kind == 6:
        node.name = _text(rng)
    else:
        del node.input[:]


def _attribute(proto: Any, rng: np.random.Generator) -> None:
    for _ in range(20):
        _, node = _some_node(proto, rng)
        if node.attribute:
            break
    else:
        return
    attribute = _pick(rng, node.attribute)
    kind = int(rng.integers(6))
    if kind == 0:
        attribute.i = _pick(rng, SIZES)
    elif kind == 1:
        attribute.ints[:] = [_pick(rng, SIZES) for _ in range(int(rng.integers(0, 9)))]
    elif kind == 2:
        attribute.type = int(rng.integers(0, 15))
    elif kind == 3:
        node.attribute.remove(attribute)
    elif kind == 4:
        attribute.name = _text(rng)
    elif attribute.HasField("t"):
        attribute.t.dims[:] = [_pick(rng, SIZES)]
    else:
        attribute.f = float(_pick(rng, (np.nan, np.inf, -1.0, 1e38)))


def _initializer(proto: Any, rng: np.random.Generator) -> None:
    if not proto.graph.initializer:
        return
    tensor = _pick(rng, proto.graph.initializer)
    kind = int(rng.integers(7))
    if kind == 0:
        tensor.dims[:] = [_pick(rng, SIZES) for _ in range(int(rng.integers(0, 5)))]
    elif kind == 1:
        tensor.data_type = int(rng.integers(0, 25))
    elif kind == 2:
        tensor.raw_data = tensor.raw_data[: int(rng.integers(0, len(tensor.raw_data) + 1))]
    elif kind == 3:
        tensor.name = _pick(rng, (_text(rng), _pick(rng, proto.graph.initializer).name))
    elif kind == 4:
        proto.graph.initializer.remove(tensor)
    elif kind == 5:
        tensor.float_data[:] = [np.nan] * 5
    else:
        count = len(tensor.raw_data) // 4
        tensor.raw_data = np.full(count, _pick(rng, (np.nan, np.inf, 1e38, -1e38)), np.float32).tobytes()


def _external(proto: Any, rng: np.random.Generator) -> None:
    if not proto.graph.initializer:
        return
    tensor = _pick(rng, proto.graph.initializer)
    length = len(tensor.raw_data)
    if rng.random() < 0.8:
        tensor.ClearField("raw_data")
    tensor.data_location = 1
    places = (
        "model.onnx",
        "/etc/passwd",
        "../bystander",
        "/dev/zero",
        "/proc/self/mem",
        ".",
        "*/_ORT_MEM_ADDR_/*",
    )
    location = _pick(rng, (*places, _text(rng)))
    for key, value in (("location", location), ("offset", _pick(rng, SIZES)), ("length", length)):
        if rng.random() < 0.9:
            tensor.external_data.add(key=key, value=str(value))


def _value(proto: Any, rng: np.random.Generator) -> None:
    values = _pick(rng, (proto.graph.input, proto.graph.output))
    if not values:
        return
    value = _pick(rng, values)
    kind = int(rng.integers(7))
    shape = value.type.tensor_type.shape
    if kind == 0 and shape.dim:
        _pick(rng, shape.dim).dim_value = _pick(rng, SIZES)
    elif kind == 1:
        value.name = _pick(rng, (_text(rng), "state." + _text(rng), _pick(rng, values).name))
    elif kind == 2:
        value.type.tensor_type.elem_type = int(rng.integers(0, 25))
    elif kind == 3:
        values.remove(value)
    elif kind == 4:
        values.add().CopyFrom(value)
    elif kind == 5:
        shape.dim.add().dim_param = _text(rng)
    else:
        value.type.sequence_type.elem_type.tensor_type.elem_type = 1


def _card(proto: Any, rng: np.random.Generator) -> None:
    for entry in proto.metadata_props:
        if entry.key == "sese":
            text = _json(entry.value.encode(), rng)
            entry.value = text.decode("utf-8", "replace")
            if rng.random() < 0.05:
                entry.key = _text(rng)


def _model(proto: Any, rng: np.random.Generator) -> None:
    kind = int(rng.integers(6))
    if kind == 0:
        proto.ir_version = _pick(rng, SIZES)
    elif kind == 1:
        _pick(rng, proto.opset_import).version = _pick(rng, SIZES)
    elif kind == 2:
        _pick(rng, proto.opset_import).domain = _text(rng)
    elif kind == 3:
        proto.graph.name = proto.producer_name = _text(rng)
    elif kind == 4:
        del proto.metadata_props[:]
    else:
        proto.graph.CopyFrom(type(proto.graph)())


def _function(proto: Any, rng: np.random.Generator) -> None:
    """A function that a node calls, and that may call itself."""
    _, node = _some_node(proto, rng)
    function = proto.functions.add(name="f", domain="local")
    function.input[:], function.output[:] = ["x"], ["y"]
    inner = function.node.add(op_type=_pick(rng, ("f", "Identity", "Loop")), input=["x"], output=["y"])
    inner.domain = "local" if inner.op_type == "f" else ""
    function.opset_import.add(domain="", version=18)
    proto.opset_import.add(domain="local", version=1)
    node.op_type, node.domain = "f", "local"


def _safetensors(data: bytes, rng: np.random.Generator) -> bytes:
    end = 8 + int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8:end]), data[end:]
    tensors = [name for name in header if name != "__metadata__"]
    name = _pick(rng, tensors)
    entry, kind = header[name], int(rng.integers(11))
    if kind == 0:
        entry["dtype"] = _pick(rng, ("F64", "I8", "BF16", "BOOL", "F8_E4M3", "", "F32 "))
    elif kind == 1:
        entry["shape"] = [_pick(rng, SIZES) for _ in range(int(rng.integers(0, 5)))]
    elif kind == 2:
        entry["data_offsets"] = [_pick(rng, SIZES), _pick(rng, (*SIZES, len(body)))]
    elif kind == 3:
        entry["data_offsets"] = header[_pick(rng, tensors)]["data_offsets"]
    elif kind == 4:
        header[_pick(rng, NAMES)] = header.pop(name)
    elif kind == 5:
        header[_pick(rng, NAMES)] = {"dtype": "F32", "shape": [0], "data_offsets": [len(body)] * 2}
    elif kind == 6:  # what was there last is left out, and its bytes with it
        last = max(tensors, key=lambda each: header[each]["data_offsets"])
        body = body[: header.pop(last)["data_offsets"][0]]
    elif kind == 7:
        first, after = entry["data_offsets"]
        body = body[:first] + np.full((after - first) // 4, np.nan, np.float32).tobytes() + body[after:]
    elif kind == 8:
        entry["shape"] = entry["shape"][::-1] if len(entry["shape"]) > 1 else [1, *entry["shape"]]
    else:
        header = changed_tree(header, rng)
    text = json.dumps(header).encode()
    length = _pick(rng, SIZES[1:]) if kind == 9 and rng.random() < 0.5 else len(text)
    return int(length).to_bytes(8, "little", signed=True) + text + body


def _npy(data: bytes, rng: np.random.Generator) -> bytes:
    """An array with another header, type or shape."""
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
    except ValueError:
        return data
    kind = int(rng.integers(9))
    made = io.BytesIO()
    if kind == 0:
        shape = tuple(_pick(rng, SIZES) for _ in range(int(rng.integers(0, 4))))
        np.lib.format.write_array_header_1_0(
            made, {"shape": shape, "fortran_order": False, "descr": array.dtype.str}
        )
        return made.getvalue() + data[-array.nbytes :]
    if kind == 1:
        kinds = (
            np.float16,
            np.float64,
            np.int8,
            np.uint16,
            np.int64,
            np.uint64,
            np.complex64,
            bool,
            "S3",
            "U2",
        )
        array = array.astype(_pick(rng, kinds)) if array.dtype.kind in "fiub" else np.zeros(3)
    elif kind == 2:
        array = array.reshape(-1)[: int(rng.integers(0, array.size + 1))]
    elif kind == 3:
        array = array[None]
    elif kind == 4:
        array = array.T
    elif kind == 5 and array.dtype.kind in "iufb":
        low, high = (
            (np.iinfo(array.dtype).min, np.iinfo(array.dtype).max)
            if array.dtype.kind in "iu"
            else (np.nan, np.inf)
        )
        array = np.full_like(array, _pick(rng, (low, high)))
    elif kind == 6:
        array = np.empty(0, array.dtype)
    elif kind == 7:
        array = np.array([{"a": 1}], object)  # which NumPy pickles
    else:
        array = np.concatenate([array.reshape(-1)] * 2)
    np.save(made, array, allow_pickle=True)
    return made.getvalue()


def _facts(data: bytes, rng: np.random.Generator) -> bytes:
    """JSON in an array, as text or as bytes."""
    held = np.load(io.BytesIO(data))
    text = held.tobytes() if held.dtype == np.uint8 else str(held).encode()
    changed = _json(text, rng)
    made = io.BytesIO()
    np.save(made, np.frombuffer(changed, np.uint8) if held.dtype == np.uint8 else np.array(changed.decode()))
    return made.getvalue()


def _npz(data: bytes, rng: np.random.Generator) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    at = int(rng.integers(len(members)))
    name, content = members[at]
    kind = int(rng.integers(12))
    method = zipfile.ZIP_DEFLATED
    if kind <= 3:
        at, (name, content) = next(each for each in enumerate(members) if each[1][0] == "facts.npy")
        members[at] = name, _facts(content, rng)
    elif kind <= 6:
        members[at] = name, _npy(content, rng)
    elif kind == 7:
        members[at] = _pick(rng, ("../../../x.npy", "/tmp/x.npy", "C:x.npy", "facts", "\x1b.npy")), content
    elif kind == 8:
        members.append((name, _npy(content, rng)))
    elif kind == 9:
        del members[at]
    elif kind == 10:  # 64 MB of zeros in 64 kB
        members[at] = name, np.lib.format.magic(1, 0) + content[8:128] + bytes(64 << 20)
    else:
        method = _pick(rng, (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, zipfile.ZIP_STORED))
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for each, part in members:
            archive.writestr(zipfile.ZipInfo(each), part, method)
    out = bytearray(made.getvalue())
    first = out.rfind(b"PK\x01\x02")
    if kind == 11 and rng.random() < 0.7:
        place, value = _pick(rng, ((8, 1), (10, 99), (24, 2**32 - 2), (20, 2**32 - 2), (42, 2**31), (24, 1)))
        struct.pack_into("<H" if place < 20 else "<I", out, first + place, value)
    return bytes(out)


def _int(data: bytes, rng: np.random.Generator) -> bytes:
    """Change the header of a file of `sese compress`: eight bytes, its length, the header, the weights."""
    end = 12 + int.from_bytes(data[8:12], "little")
    text = json.dumps(changed_tree(json.loads(data[12:end]), rng)).encode()
    return data[:8] + len(text).to_bytes(4, "little") + text + data[end:]
