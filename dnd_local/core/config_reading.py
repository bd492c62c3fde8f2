"""Nested settings: merged, flattened, read from TOML, and checked into a `Config`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args, get_origin

import msgspec
from msgspec import Struct

from dnd_local.core.config import Config
from dnd_local.core.digest import key
from dnd_local.core.errors import BadConfig
from dnd_local.core.regular import read_regular

_AT: Final = re.compile(r" - at `\$\.([\w.]+)`$")
"""Where msgspec found a value that will not do."""


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
        raise BadConfig(f"{source}: {_plain(str(error), values)}") from None


_ADDED: Final[Mapping[str, Any]] = {
    "concepts.rounds": 0, "concepts.contrast": 0, "concepts.meanings": 1,
    "network.latents": "", "probe.keep": "", "probe.sample": 0, "scores.alike_above": 1,
    "scores.race": 0,
    "pictures.sampler": "auto", "pictures.lora": "", "pictures.quality": 0,
    "exemplars.whole": "picture", "exemplars.min_side": 0, "exemplars.views": 0,
}  # fmt: skip
"""Settings that came later, and the values that mean what was before them."""


def config_digest(config: Config) -> str:
    """Return the SHA-256 of settings; one that came later counts only where it was set."""
    return key({
        name: as_before(name, part) if isinstance(part, Struct) else part
        for name, part in msgspec.structs.asdict(config).items()
    })  # fmt: skip


def as_before(section: str, settings: Struct) -> dict[str, Any]:
    """Return a section of the settings as plain values, without later ones that were not set."""
    values: dict[str, Any] = msgspec.to_builtins(settings)
    return {
        name: value
        for name, value in values.items()
        if (usual := _ADDED.get(f"{section}.{name}")) is None or value != usual
    }


def check_setting(name: str, value: object, kind: Any) -> None:
    """Check one value of a setting of the annotated type `kind`.

    Args:
        name: what the user calls the setting: its option.
        value: the value.
        kind: the setting's type in `Config`.

    Raises:
        BadConfig: the setting does not take it; the message says what it takes.
    """
    try:
        msgspec.convert(value, kind)
    except (msgspec.ValidationError, OverflowError):
        raise BadConfig(f"{name} {value}: it takes {takes(kind)}") from None


def takes(kind: Any) -> str:
    """Return what a setting of an annotated type takes: ``a whole number from 1 to 1000``."""
    metas = [extra for extra in get_args(kind)[1:] if isinstance(extra, msgspec.Meta)]
    meta = metas[0] if get_origin(kind) is Annotated and metas else msgspec.Meta()
    plain = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    if get_origin(plain) is Literal:
        *others, last = map(str, get_args(plain))
        return f"{', '.join(others)} or {last}"
    if plain not in (int, float):
        return meta.description or "text"
    number = "a whole number" if plain is int else "a number"
    number = f"a multiple of {meta.multiple_of}" if meta.multiple_of else number
    low = f"from {meta.ge}" if meta.ge is not None else f"above {meta.gt}"
    return f"{number} {low} to {meta.le}"


def read_toml(path: Path) -> dict[str, Any]:
    """Return the nested settings of a TOML file, not yet checked against `Config`.

    Raises:
        BadConfig: the file is missing or is not TOML.
    """
    try:
        values = msgspec.toml.decode(read_regular(path))
    except OSError as error:
        raise BadConfig(f"cannot read settings file {path}: {error.strerror}") from None
    except ValueError as error:  # no TOML, no UTF-8, or a number of thousands of digits
        raise BadConfig(f"{path} is not valid TOML: {error}") from None
    except RecursionError:
        raise BadConfig(f"{path} is nested too deeply; settings are tables of values") from None
    if not isinstance(values, dict):  # pragma: no cover - a TOML document is always a table
        raise BadConfig(f"{path} is not a table of settings")
    return values


def _refuse_unknown(values: Mapping[str, Any], struct: type[Struct], where: str) -> None:
    known = _types(struct)
    for name, value in values.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
            raise BadConfig(f"{where}: unknown key '{name}'; the nearest is '{near[0]}'")
        section = known[name]
        if isinstance(section, type) and issubclass(section, Struct) and isinstance(value, Mapping):
            _refuse_unknown(value, section, f"{where}, [{name}]")


def _plain(message: str, values: Mapping[str, Any]) -> str:
    """Return what is wrong with a setting, from msgspec's message, which ends in its path.

    A path into a value (``$.probe.sets[0]``) stays msgspec's.
    """
    if place := _AT.search(message):
        value: Any = values
        kind: Any = Config
        for name in place[1].split("."):
            value, kind = value[name], _types(kind)[name]
        if not (isinstance(kind, type) and issubclass(kind, Struct)):
            return f"{place[1]} is {value!r}; it takes {takes(kind)}"
    return message.replace("`$.", "`").replace(" - at ", ": ")


def _types(struct: type[Struct]) -> dict[str, Any]:
    return {field.name: field.type for field in msgspec.structs.fields(struct)}
