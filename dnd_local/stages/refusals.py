"""Replies that are no answers, and what stands around an answer without being part of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from dnd_local.core.conversations import Reply

NEVER_STOPPED: Final = "never stopped thinking"
"""What is wrong with a reply that the limit cut off before its thought had ended."""

_PAIRS: Final[Mapping[str, str]] = {'"': '"', "'": "'", "“": "”", "‘": "’", "«": "»", "„": "“"}
"""Quotation marks that open, and those that close them."""

_BEFORE_TEXT: Final = re.compile(r"(?:[-*•–] +|\(?\d{1,2}[.)] +)")
"""The bullet or the number of a list's first line."""

_REFUSAL: Final = re.compile(
    r"""(?:
        (?:i['’]?m | i\ am) \ (?:(?:so|very|really|truly)\ )?
            (?:sorry | afraid | unable | not\ (?:able|sure) | an?\ ai\b)
      | sorry\s*[,.!;:-]
      | (?:but\ |unfortunately,?\ )? i\ (?:can\ ?not | can['’]t | could\ not | couldn['’]t
            | won['’]t | will\ not | do\ not | don['’]t | must\ decline | apologi[sz]e)\b
      | as\ (?:an?|your)\ (?:\w+\ ){0,2} (?:ai | language\ model | assistant | chatbot)\b
      | (?:my|our)\ apologies
      | unfortunately,?\ (?:i | the | there | it | this)\b
    )""",
    re.IGNORECASE | re.VERBOSE,
)
"""How a model begins that does not answer."""

_MARKUP: Final = re.compile(
    r"</?[A-Za-z][^<>]*> | [*`] | (?<!\w)_[^_]+_(?!\w) | ^\#{1,6}\s | \[[^]]*\]\("
    r" | &(?:[a-z]+|\#\d+); | \\[a-z]+\{",
    re.VERBOSE,
)
"""HTML, Markdown and LaTeX."""


def no_answer(reply: Reply) -> str:
    """Return why a reply is no answer at all, as its server or its first words say it."""
    if reply.finish.startswith("error"):
        return reply.finish
    if reply.finish == "content_filter":
        return "stopped by a content filter"
    thought, _, rest = reply.text.rpartition("</think>")
    if not thought and rest.lstrip().startswith("<think>"):
        return NEVER_STOPPED
    if reply.finish == "refusal" or _REFUSAL.match(unquoted(rest.strip())):
        return "refused to answer"
    return ""


def has_markup(text: str) -> bool:
    """Return whether a text is written for a page, not for a person."""
    return bool(_MARKUP.search(text))


def unlisted(text: str) -> str:
    """Return a text without the bullet or number of a list's first line."""
    return _BEFORE_TEXT.sub("", text, count=1) if _BEFORE_TEXT.match(text) else text


def unquoted(text: str) -> str:
    """Return a text without the pair of quotation marks around all of it, if there is one.

    A single mark belongs to a word (`dogs' tails`), and a pair around a part is part of the text
    (`"stop" sign`); so is what begins and ends with two pairs (`"stop" and "go"`).
    """
    if len(text) < 2 or _PAIRS.get(text[0]) != text[-1]:
        return text
    inner = text[1:-1]
    return text if text[0] in inner or text[-1] in inner else inner.strip()
