"""The prompt files: role-marked text with strict `$variables`.

A file is a list of turns, each opened by a line ``--- system``, ``--- user`` or ``--- assistant``.
Worked examples are earlier turns of the conversation. The same bytes go to every model. Blanks and
empty lines around a turn do not count, unless its line says ``--- user verbatim``.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

from dnd_local.core.conversations import Message, Speaker
from dnd_local.core.digest import sha256
from dnd_local.core.errors import BadConfig
from dnd_local.core.regular import read_regular
from dnd_local.store.resources import shipped

VARIABLES: Final = {
    "simplify": frozenset({"caption"}),
    "summarise": frozenset({"phrases"}),
    "merge": frozenset({"label"}),
    "picture": frozenset({"label"}),
    "contrast": frozenset({"phrases", "others"}),
    "refine": frozenset({"phrases", "middling", "others", "tried"}),
}
"""Every prompt file and the variables it must use, each at least once."""

OPTIONAL: Final = frozenset({"contrast", "refine"})
"""Prompts that only an option uses; a folder without them leaves the shipped ones in place."""

VERBATIM: Final = "verbatim"
_MARKER = re.compile(rf"^--- (\S+)(?: ({VERBATIM}))?[ \t]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class PromptFile:
    """One prompt: its turns as templates, and the digest of the file's bytes."""

    name: str
    digest: str
    turns: tuple[Message, ...]

    def fill(self, **variables: str) -> tuple[Message, ...]:
        """Return the turns with their variables filled in; a value is never read as a template."""
        return tuple(
            Message(turn.role, string.Template(turn.text).substitute(variables))
            for turn in self.turns
        )


class PromptFolder:
    """The prompt files of a folder, read and checked at once.

    Raises:
        BadConfig: a file is missing, is not UTF-8, has no turn, an unknown role, or uses other
            variables than it must.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._files = {name: read_prompt(_path(folder, name)) for name in VARIABLES}

    def messages(self, name: str, **variables: str) -> tuple[Message, ...]:
        """Return the turns of a prompt with its variables filled in."""
        return self._files[name].fill(**variables)

    def digest(self, name: str) -> str:
        """Return the SHA-256 of a prompt file's bytes."""
        return self._files[name].digest


def _path(folder: Path | None, name: str) -> Path:
    path = (folder or shipped("prompts")) / f"{name}.txt"
    return path if name not in OPTIONAL or path.exists() else shipped("prompts") / path.name


def read_prompt(path: Path) -> PromptFile:
    """Return the checked prompt of a file named like one of `VARIABLES`.

    Raises:
        BadConfig: see `PromptFolder`.
    """
    try:
        data = read_regular(path)
        text = data.decode("utf-8")
    except OSError as error:
        raise BadConfig(f"cannot read prompt {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise BadConfig(f"prompt {path} is not UTF-8 at byte {error.start}") from None
    turns = _turns(text.replace("\r\n", "\n"), path)
    _check_variables(path, turns)
    return PromptFile(path.stem, sha256(data), turns)


def _turns(text: str, path: Path) -> tuple[Message, ...]:
    pieces = _MARKER.split(text)
    if pieces[0].strip() or len(pieces) == 1:
        raise BadConfig(f"prompt {path} must open with a line '--- system' or '--- user'")
    roles = get_args(Speaker)
    turns = []
    for role, kept, body in zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True):
        if role not in roles:
            raise BadConfig(f"prompt {path}: unknown role '{role}'; use {', '.join(roles)}")
        # A turn begins after its marker's line break and ends before that of the next marker.
        whole = body.removeprefix("\n").removesuffix("\n") if kept else body.strip()
        turns.append(Message(role, whole))  # type: ignore[arg-type]  # checked above
    if turns[-1].role != "user":
        raise BadConfig(f"prompt {path} must close with a '--- user' turn, for the model to answer")
    return tuple(turns)


def _check_variables(path: Path, turns: tuple[Message, ...]) -> None:
    template = string.Template("\n".join(turn.text for turn in turns))
    if not template.is_valid():
        raise BadConfig(f"prompt {path} has a stray '$'; write '$$' for a dollar sign")
    used, wanted = set(template.get_identifiers()), VARIABLES[path.stem]
    if used != wanted:
        raise BadConfig(
            f"prompt {path} uses variables {sorted(used) or 'none'}; "
            f"it must use exactly {sorted(wanted)}"
        )
