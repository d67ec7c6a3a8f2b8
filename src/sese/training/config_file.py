"""Configuration files: YAML that builds on a base, dotted overrides, and dataclasses built from plain values.

A dataclass checks its own values. Here every key must be one of its fields, with the annotated type.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml

from sese.core.errors import InputError, brief, did_you_mean
from sese.training import renamed

WHOLE = ("losses",)
"""Sections that are replaced as one value: a term of the base must not stay unseen."""

CONFIGS = Path(__file__).parents[1] / "configs"
"""Folder of the configurations that come with the package."""

LARGEST = 2**31 - 1
"""Largest whole number that a configuration may hold."""


def find_config(path: Path, folder: Path = Path()) -> Path:
    """Return the file of a configuration that is given by its path or, as `sese_2/base`, by its name.

    Args:
        path: Path of a file, or the name of a configuration that comes with the package. A file goes first.
        folder: Where a relative path begins.

    Returns:
        The path of the file; `folder / path` where neither is a file.
    """
    file = folder / path
    try:
        named = CONFIGS / f"{str(path).removesuffix('.yaml')}.yaml"
        return named if not file.is_file() and named.is_file() else file
    except (OSError, ValueError):  # no name that a file can have
        return file


def read_values(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Return the plain nested values of a configuration file with overrides.

    Args:
        path: YAML file.
        overrides: Changes as `key.path=value`.

    Raises:
        InputError: missing file, bad YAML, or an override without a key and a value.
    """
    return changed(_read_yaml(find_config(path)), overrides)


def changed(values: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return plain nested values with overrides, in place.

    Args:
        values: Sections of a configuration.
        overrides: Changes as `key.path=value`.

    Raises:
        InputError: an override without a key and a value.
    """
    for override in overrides:
        key, sign, text = override.partition("=")
        if not sign:
            raise InputError(f"override '{override}' has no '='; write key.path=value")
        node = values
        *parents, leaf = renamed.key(key).split(".")
        for parent in parents:
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                raise InputError(f"override '{override}': '{parent}' is a value, not a section")
        try:
            value = yaml.safe_load(text)
        except (ValueError, RecursionError, yaml.YAMLError) as error:
            raise InputError(f"override '{override}': {str(error).splitlines()[0]}") from None
        if key == "training" and isinstance(value, dict):
            value = renamed.sections({key: value})[key]
        node[leaf] = renamed.value(".".join((*parents, leaf)), value)
    return values


def dump(config: Any) -> str:
    """Return a configuration (a dataclass) as YAML that reads back."""
    return as_yaml(plain_values(config))


class _Dumper(yaml.SafeDumper):
    """Writes lists in one line."""


_Dumper.add_representer(
    list, lambda dumper, value: dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=True)
)


def as_yaml(values: Mapping[str, Any]) -> str:
    """Return nested values as YAML that reads back, with sections in lines and lists in one line each."""
    text: str = yaml.dump(values, Dumper=_Dumper, sort_keys=False, width=100)
    return text


def plain_values(config: Any) -> dict[str, Any]:
    """Return a configuration (a dataclass) as the nested values that YAML holds."""
    return _plain(dataclasses.asdict(config))


def flat(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return nested values by their dotted names.

    Example:
        >>> flat({"training": {"steps": 10}})
        {'training.steps': 10}
    """
    made: dict[str, Any] = {}
    for key, value in values.items():
        nested = isinstance(value, dict) and key not in WHOLE
        made |= flat(value, f"{above}{key}.") if nested else {f"{above}{key}": value}
    return made


def _read_yaml(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    try:
        place = path.resolve()
    except (OSError, ValueError, RuntimeError):  # links in a circle, and names that no file can have
        raise InputError(f"{path} cannot be a file; give another name") from None
    if place in above:
        raise InputError(f"{path} builds on itself by way of its base; name another base")
    values = renamed.sections(read_sections(path, _wanted(path)))
    base = values.pop("base", None)
    if base is None:
        return values
    if not isinstance(base, str):
        raise InputError(f"{path}: base is {brief(base)}; expected the name of one file")
    return _merge(_read_yaml(find_config(Path(base), path.parent), (*above, place)), values)


def _wanted(path: Path) -> str:
    """Return what to give in place of a configuration that is not there."""
    given = "/".join((*path.parts[-2:-1], path.stem))
    asked = given.replace(*renamed.FAMILY)
    name = asked.rpartition("/")[2]
    files = [file.relative_to(CONFIGS).with_suffix("") for file in CONFIGS.glob("*/*.yaml")]
    names = [file.as_posix() for file in files if file.name != "common"]  # which is no run of its own
    near = [known for known in names if known.split("/")[0] == name or known.replace("/", "_") == name]
    near = near or difflib.get_close_matches(asked, names, n=1)
    now = " its new name," if near == [asked] else ""
    start = f"{', '.join(sorted(near))},{now} " if near else ""
    return f"{start}a configuration file, or a name that `sese configs` lists"


def read_sections(path: Path, wanted: str) -> dict[str, Any]:
    """Return the plain nested values of a YAML file, without its base.

    Args:
        path: YAML file.
        wanted: File to give where there is none, for the error.

    Raises:
        InputError: missing file, bad YAML, or no sections.
    """
    try:
        values = yaml.safe_load(path.read_text()) or {}
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; give {wanted}") from None
    except RecursionError:
        raise InputError(f"{path} is nested too deeply to be read as YAML; write it flat") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{path} cannot be read as YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(values, dict):
        raise InputError(f"{path} holds a {type(values).__name__}, not sections of key: value")
    return values


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        nested = isinstance(value, dict) and isinstance(merged.get(key), dict) and key not in WHOLE
        merged[key] = _merge(merged[key], value) if nested else value
    return merged


def build(kind: Any, values: Mapping[str, Any], where: str) -> Any:
    """Build a dataclass from plain values, with the dataclasses in it.

    Args:
        kind: Class of the dataclass.
        values: Values of its fields.
        where: Dotted name of the section, for errors.

    Raises:
        InputError: unknown key or unusable value.
    """
    hints = typing.get_type_hints(kind)
    known = {f.name for f in dataclasses.fields(kind)}
    if not isinstance(values, Mapping):
        raise InputError(
            f"{where or 'the configuration'} is {brief(values)}; expected a section of key: value"
        )
    unknown = [key for key in values if key not in known]
    if unknown:
        name = ".".join((*filter(None, (where,)), str(unknown[0])[:200]))
        meant = did_you_mean(str(unknown[0]), known, quote="'")
        raise InputError(f"unknown key '{name}'; {meant}known here: {sorted(known)}")
    made = {
        key: _convert(hints[key], value, ".".join(filter(None, (where, key))))
        for key, value in values.items()
    }
    return kind(**made)


def _convert(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return build(hint, value, where)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        items = [value] if isinstance(value, str | int | float) else value
        if not isinstance(items, list | tuple):
            raise InputError(f"{where} is {brief(value)}; expected a list")
        if Ellipsis not in arguments and len(items) != len(arguments):
            raise InputError(f"{where} is {brief(value)}; expected {len(arguments)} values")
        return tuple(_convert(arguments[0], item, where) for item in items)
    if origin is Mapping:
        if not isinstance(value, Mapping):
            raise InputError(f"{where} is {brief(value)}; expected a section of key: value")
        return {key: _convert(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if origin is Literal:
        if value not in arguments:
            raise InputError(f"{where} is {brief(value)}; choose from {list(arguments)}")
        return value
    if hint is float:
        try:
            # YAML 1.1 reads 1e-4 as text.
            number = float(str(value) if isinstance(value, bool) else value)
        except (TypeError, ValueError, OverflowError):
            raise InputError(f"{where} is {brief(value)}; expected a number") from None
        if not math.isfinite(number):
            raise InputError(f"{where} is {number}; expected a finite number")
        return number
    if hint in (int, str, bool) and (
        not isinstance(value, hint) or (hint is int and isinstance(value, bool))
    ):
        raise InputError(f"{where} is {brief(value)}; expected {hint.__name__}")
    if hint is int and not -LARGEST <= value <= LARGEST:
        raise InputError(f"{where} is {brief(value)}; whole numbers go up to {LARGEST}")
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value
