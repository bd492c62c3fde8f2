"""Python libraries by name: whether they are here, and one line where one is not."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Final

from dnd_local.core.errors import UserError

_EXTRAS: Final[Mapping[str, str]] = {
    name: f"pip install 'dnd-local[{name}]'" for name in ("vllm", "ray")
}
"""How to get a library that the ordinary installation does not bring."""

_ORDINARY: Final = "pip install dnd-local"
"""Also completes an installation that has lost a library."""


def library(name: str) -> ModuleType:
    """Return a module by its dotted name.

    Raises:
        UserError: it, or a library that it stands on, is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise not_installed(error) from error


def check_libraries(names: Iterable[str]) -> None:
    """Check that libraries are here, by their top names, without loading one.

    Raises:
        UserError: some are not; all of them are named.
    """
    absent = [name for name in dict.fromkeys(names) if importlib.util.find_spec(name) is None]
    if absent:
        raise UserError(_line(absent))


def not_installed(error: ModuleNotFoundError) -> UserError:
    """Return what to tell a user whose Python lacks a library.

    Raises:
        ModuleNotFoundError: it is a module of this package, so the fault is ours.
    """
    missing = (error.name or "").partition(".")[0]
    if missing in ("", "dnd_local"):
        raise error
    return UserError(_line([missing]))


def _line(names: list[str]) -> str:
    how = _EXTRAS.get(names[0], _ORDINARY) if len(names) == 1 else _ORDINARY
    one = len(names) == 1
    libraries = f"the Python {'library' if one else 'libraries'} {', '.join(map(repr, names))}"
    return f"{libraries} {'is' if one else 'are'} not installed; run: {how}"
