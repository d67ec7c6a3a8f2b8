"""Imports of the package: rooms import downward only, and no two modules import each other, even lazily."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "src" / "sese"

ROOMS = (  # from the lowest; a room may import itself and the rooms above it in this list
    "core",  # errors, files, locks, caches
    "audio",
    "bits",
    "predictor",
    "runtime",
    "sese",  # the package itself: sese.load, sese.enhance
    "folders",
    "live",
    "integrations",
    "demo",
    "pretrained",
    "evaluation",  # the last room without PyTorch
    "nn",
    "data",
    "training",
    "labels",
    "speakers",
    "export",
    "adaptation",
    "quality",
    "above",
    "compression",
    "cli",
    "__main__",
)


def modules() -> dict[str, Path]:
    """Return the file of each module of the package."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = ("sese", *path.relative_to(PACKAGE).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def statements(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield the imports below a node, those inside functions too, but not those for types alone."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        yield from statements(child)


def imported(path: Path, known: dict[str, Path]) -> set[str]:
    """Return the modules of the package that a file imports."""
    found = set()
    for statement in statements(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(statement, ast.Import):
            found |= {alias.name for alias in statement.names if alias.name in known}
        elif statement.module in known:
            for alias in statement.names:
                name = f"{statement.module}.{alias.name}"
                found.add(name if name in known else statement.module)
    return found


def graph() -> dict[str, set[str]]:
    """Return for each module the modules it imports."""
    known = modules()
    return {name: imported(path, known) - {name} for name, path in known.items()}


def circles(edges: dict[str, set[str]]) -> set[frozenset[str]]:
    """Return the sets of modules that reach each other."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = list(edges[start])
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                waiting += edges[name]
        return seen

    reach = {name: reached(name) for name in edges}
    return {
        frozenset(other for other in reach[name] if name in reach[other])
        for name in edges
        if name in reach[name]
    }


def room(module: str) -> str:
    """Return the room of a module: the folder below the package, or the package itself."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def test_every_room_has_its_place_in_the_order() -> None:
    assert {room(module) for module in modules()} == set(ROOMS)


def test_no_modules_import_each_other() -> None:
    assert not circles(graph())


def test_rooms_import_downward() -> None:
    upward = {
        (module, other)
        for module, others in graph().items()
        for other in others
        if ROOMS.index(room(other)) > ROOMS.index(room(module))
    }
    assert not upward


def test_circles_are_found() -> None:
    edges = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}
    assert circles(edges) == {frozenset("abc")}
