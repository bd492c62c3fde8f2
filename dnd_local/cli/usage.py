"""Words that no command has: one line for a mistake in typing, with what was meant."""

from __future__ import annotations

import re
from typing import Any, Final

import typer

UsageError: Final[Any] = typer.BadParameter.__bases__[0]
"""What every mistake in the words of a command is; Typer names only some kinds of it."""

_WORDINGS: Final = (
    (r"Value error, ", ""),
    (r"Input should be a valid integer.*", "it takes a whole number"),
    (r"Input should be a valid number.*", "it takes a number"),
    (
        r"Input should be (greater|less) than( or equal to)? (\S+)",
        r"it takes a number \1 than\2 \3",
    ),
)
"""How the library that reads options puts it, and how we do."""


def usage_line(error: Any) -> str:
    """Return what is wrong with the words of a command, and which help shows the right ones."""
    message = str(error.format_message()).strip().rstrip(".")
    for theirs, ours in _WORDINGS:
        message = re.sub(theirs, ours, message)
    message = message.replace("Possible options: ", "did you mean ")
    end = " See" if message.endswith("?") else "; see"
    return f"{message}{end} {error.ctx.command_path if error.ctx else 'dnd-local'} --help"
