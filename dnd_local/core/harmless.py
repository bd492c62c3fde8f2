"""Text from models, users and files, as it may be shown: what nobody can see does nothing."""

from __future__ import annotations

import html
import re
from typing import Final

_UNSEEN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters, escape sequences begin with one
    "\u202a-\u202e\u2066-\u2069"  # marks that turn the direction of what follows
    "\ud800-\udfff"  # halves of characters: names of files that are not UTF-8
    "\ufeff\U000e0000-\U000e007f]"  # letters that no font draws, but a language model reads
)
_STANDS_FOR: Final = "\ufffd"

_MARKDOWN: Final = re.compile(r"([\\`*_{}\[\]<>()#+!|~&-])")


def harmless(text: str) -> str:
    """Return text in which each unseen character is replaced by U+FFFD; tabs and lines stay."""
    return _UNSEEN.sub(_STANDS_FOR, text)


def html_text(text: str) -> str:
    """Return text as HTML that shows it as it is, in an element or a quoted attribute."""
    return html.escape(harmless(text))


def markdown(text: str) -> str:
    """Return text as Markdown that shows it as it is, on one line, in a table too."""
    return _MARKDOWN.sub(r"\\\1", " ".join(harmless(text).split()))
