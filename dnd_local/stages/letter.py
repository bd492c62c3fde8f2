"""Replies and questions to the letter, as the released code reads and spells them.

The released sides of rows 9, 18 and 19 of the ledger: what is kept of a phrase and of a label,
which candidates a label makes, how several texts are joined.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from dnd_local.core.conversations import Reply
from dnd_local.stages.refusals import no_answer

BACKGROUND_ENDINGS: Final = ("design", "designs", "graphic", "graphics")
"""A label that ends in one of these also enters with "background" added."""

THINKING: Final = re.compile(r"^.*</think>", re.DOTALL)
"""The opening tag may be missing: some chat templates write it themselves."""

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def read_letter(reply: Reply, max_words: int, max_characters: int) -> tuple[str, str]:
    """Return the text that the released code keeps of a reply, and why it cannot be used.

    A phrase is kept whole; of a label with colons the second piece is taken, of any length and
    with every mark and blank. What no later step could read or paint is refused, although the
    release passes it on: nothing at all, control characters, a reply that was cut off, a refusal.

    Args:
        reply: the reply.
        max_words: 0 for a phrase, anything else for a label.
        max_characters: not looked at; both sides share one signature.
    """
    if problem := no_answer(reply):
        return "", problem
    # The release never met a thinking model; a finished thought is no part of its reply.
    text, thoughts = THINKING.subn("", reply.text)
    text = text.lstrip() if thoughts else text
    if max_words and ":" in text:
        text = text.split(":")[1]
    if reply.finish == "length":
        return text, "cut off at the token limit"
    if _CONTROL.search(text):
        return text, "has control characters"
    return text, "" if text.removesuffix(".").strip() else "empty"


def enter_letter(text: str) -> tuple[str, ...]:
    """Return the candidates that a label makes: in lower case, without one trailing period.

    A label that ended in a period gets no twin with a background.
    """
    label = text.lower()
    if label.endswith("."):
        return (label.removesuffix("."),)
    words = label.split()
    if words and words[-1] in BACKGROUND_ENDINGS:
        return label, f"{label} background"
    return (label,)


def join_by_commas(texts: Sequence[str]) -> str:
    """Return texts on one line, as the released code joins them.

    A comma follows every text but those that equal the last one, wherever they stand: x, y, x
    becomes "xy, x".
    """
    return "".join(text if text == texts[-1] else f"{text}, " for text in texts)


def spell_list(label: str) -> str:
    """Return a list as it is sent to be merged: split at its commas and joined again.

    The blanks after its commas stay and others are added; pieces that equal the last one run
    into the next.
    """
    return join_by_commas(label.split(","))
