"""Names of a user's own engines: ``path/to/file.py:factory``."""

from __future__ import annotations

import re
from pathlib import Path

from dnd_local.core.errors import UserError

_FACTORY = re.compile(r"^(?P<file>.+\.py):(?P<function>[A-Za-z_]\w*)$")


def is_factory(name: str) -> bool:
    """Return whether a name has the form ``path/to/file.py:factory``."""
    return _FACTORY.match(name) is not None


def own_name(name: str) -> str:
    """Return a model's name, of a factory without the folder of its file."""
    return Path(name).name if is_factory(name) else name


def split_factory(name: str) -> tuple[Path, str]:
    """Return the file and the function of ``path/to/file.py:factory``.

    Raises:
        UserError: the name has another form, or there is no such file.
    """
    match = _FACTORY.match(name)
    if match is None:
        raise UserError(f"'{name}' is not of the form path/to/file.py:factory")
    path = Path(match["file"]).resolve()
    if not path.is_file():
        raise UserError(f"there is no file {path} for '{name}'; give path/to/file.py:factory")
    return path, match["function"]
