"""Nested settings: merged, flattened, read from TOML, and checked into a `Config`."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from dnd_local.core.config import Config
from dnd_local.core.errors import BadConfig
from dnd_local.core.regular import read_regular


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested mappings merged key by key, later ones winning."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            old = merged.get(name)
            if isinstance(value, Mapping):
                merged[name] = merge(old if isinstance(old, Mapping) else {}, value)
            else:
                merged[name] = value
    return merged


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return settings by their dotted names (``probe.sets``), sections unfolded."""
    unfolded: dict[str, Any] = {}
    for name, value in values.items():
        below = flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else None
        unfolded |= {prefix + name: value} if below is None else below
    return unfolded


def read_config(values: Mapping[str, Any], source: str = "settings") -> Config:
    """Return the checked `Config` of nested `values` over the defaults.

    Raises:
        BadConfig: an unknown key (with its nearest name) or a value out of range.
    """
    _refuse_unknown(values, Config, source)
    try:
        return msgspec.convert(values, Config)
    except (msgspec.ValidationError, OverflowError) as error:
        raise BadConfig(f"{source}: {_plain(str(error))}") from None


def read_toml(path: Path) -> dict[str, Any]:
    """Return the nested settings of a TOML file, not yet checked against `Config`.

    Raises:
        BadConfig: the file is missing or is not TOML.
    """
    try:
        values = msgspec.toml.decode(read_regular(path))
    except OSError as error:
        raise BadConfig(f"cannot read settings file {path}: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadConfig(f"{path} is not valid TOML: {error}") from None
    except RecursionError:
        raise BadConfig(f"{path} is nested too deeply; settings are tables of values") from None
    if not isinstance(values, dict):  # pragma: no cover - a TOML document is always a table
        raise BadConfig(f"{path} is not a table of settings")
    return values


def _refuse_unknown(values: Mapping[str, Any], struct: type[Struct], where: str) -> None:
    known = {field.name: field.type for field in msgspec.structs.fields(struct)}
    for name, value in values.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
            raise BadConfig(f"{where}: unknown key '{name}'; the nearest is '{near[0]}'")
        section = known[name]
        if isinstance(section, type) and issubclass(section, Struct) and isinstance(value, Mapping):
            _refuse_unknown(value, section, f"{where}, [{name}]")


def _plain(message: str) -> str:
    """Return msgspec's message with `$.pictures.steps` written as `pictures.steps`."""
    return message.replace("`$.", "`").replace(" - at ", ": ")
