"""Asking a language model and not trusting the answer.

Every reply is checked against the form that was asked for. A bad one is asked for once more with
another seed, then recorded with its reason. A rejected reply is a value, never an exception.

Rows 9 and 18 of the ledger are here, in `WORDINGS`: how often a question is asked, what is read
from a reply, what makes a label a list, which candidates it makes, and how phrases are joined into
a question.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dnd_local.core.config import LlmConfig
from dnd_local.core.conversations import Exchange, Message, Purpose, Reply, Request
from dnd_local.core.digest import seed
from dnd_local.core.ledger import OURS, Ledger, Side
from dnd_local.core.protocols import LanguageModel
from dnd_local.core.sequences import distinct
from dnd_local.stages.letter import (
    BACKGROUND_ENDINGS,
    THINKING,
    enter_letter,
    join_by_commas,
    read_letter,
)
from dnd_local.stages.refusals import NEVER_STOPPED, has_markup, no_answer, unlisted, unquoted


@dataclass(frozen=True, slots=True)
class Question:
    """One thing to ask; `about` makes its seed its own, `max_words` bounds a label (0: none)."""

    purpose: Purpose
    messages: tuple[Message, ...]
    about: tuple[str | int, ...]
    draw: int = 0
    max_words: int = 0


@dataclass(frozen=True, slots=True)
class Wording:
    """One side of rows 9 and 18.

    Attributes:
        attempts: how often a question is asked at most.
        max_characters: the longest reply; 0 leaves length and lines free.
        read: called with a reply, the most words of a label (0 for a phrase) and the most
            characters; returns the text and what is wrong with it ("" if nothing is).
        is_list: whether a label names several things, so that it is sent back to be merged.
        merged: what is wrong with a label that came back from merging ("" if nothing is).
        join: several phrases as the one text that stands in a question.
        enter: the candidates that a label makes, the label itself first.
    """

    attempts: int
    max_characters: int
    read: Callable[[Reply, int, int], tuple[str, str]]
    is_list: Callable[[str], bool]
    merged: Callable[[str], str]
    join: Callable[[Sequence[str]], str]
    enter: Callable[[str], tuple[str, ...]]


def ask(
    questions: Sequence[Question],
    language_model: LanguageModel,
    llm: LlmConfig,
    run_seed: int,
    ledger: Ledger = OURS,
) -> list[tuple[Exchange, ...]]:
    """Return, for each question, its exchanges; the last one is usable if its `problem` is empty.

    All questions go out together, then all retries; a request that several share goes out once.
    """
    wording = WORDINGS[ledger.wording]
    exchanges: list[tuple[Exchange, ...]] = [() for _ in questions]
    for attempt in range(wording.attempts):
        open_ones = [i for i, tries in enumerate(exchanges) if not tries or tries[-1].problem]
        requests = [_request(questions[i], attempt, llm, run_seed, ledger) for i in open_ones]
        asked = distinct(requests)
        replies = dict(zip(asked, language_model.reply(asked) if asked else [], strict=True))
        for i, request in zip(open_ones, requests, strict=True):
            question, reply = questions[i], replies[request]
            text, problem = wording.read(reply, question.max_words, request.max_characters)
            if _only_thought(request, reply):
                text, problem = "", NEVER_STOPPED
            exchanges[i] += (
                Exchange(question.purpose, question.draw, attempt, request, reply, text, problem),
            )
    return exchanges


def check(reply: Reply, max_words: int, max_characters: int) -> tuple[str, str]:
    """Return the reply's text on its own, and what is wrong with it ("" if nothing is).

    A finished thinking block, a pair of quotation marks around the whole, and the bullet or number
    of a list's first line are taken off. With `max_words`, a reply that lists several (`is_list`)
    passes: it is merged, not rejected.
    """
    if problem := no_answer(reply):
        return "", problem
    text = _bare(reply)
    problem = ""
    if reply.finish == "length":
        problem = "cut off at the token limit"
    elif "\n" in text:
        problem = "more than one line"
    elif not text.isprintable():
        problem = "has control characters"
    else:
        problem = _unusable(text, max_characters) or ("has markup" if has_markup(text) else "")
    if not problem and max_words and not is_list(text):
        problem = _label_problem(text, max_words)
    return text, problem


def is_list(text: str) -> bool:
    """Return whether a label names several things instead of one: a comma or semicolon says so."""
    return "," in text or ";" in text


def _bare(reply: Reply) -> str:
    return unquoted(unlisted(unquoted(THINKING.sub("", reply.text).strip())))


def _unusable(text: str, max_characters: int) -> str:
    if not text:
        return "empty"
    if len(text) > max_characters:
        return f"longer than {max_characters} characters"
    if not any(c.isalnum() for c in text):
        return "has no letter or digit"
    return ""


def _still_a_list(text: str) -> str:
    return "still a list after merging" if is_list(text) else ""


def clean(label: str) -> str:
    """Return a label in lower case, single-spaced, without a trailing period."""
    return " ".join(label.lower().split()).rstrip(".").rstrip()


def _enter_clean(text: str) -> tuple[str, ...]:
    label = clean(text)
    twin = label.split()[-1] in BACKGROUND_ENDINGS
    return (label, f"{label} background") if twin else (label,)


WORDINGS: Final[Mapping[Side, Wording]] = {
    "ours": Wording(
        attempts=2, max_characters=200, read=check, is_list=is_list, merged=_still_a_list,
        join="\n".join, enter=_enter_clean,
    ),
    "released": Wording(
        attempts=1, max_characters=0, read=read_letter, is_list=lambda text: "," in text,
        merged=lambda text: "", join=join_by_commas, enter=enter_letter,
    ),
}  # fmt: skip
"""Rows 9 and 18 of the ledger."""

_MAX_TOKENS: Final[Mapping[Side, int]] = {"ours": 40, "released": 0}
"""Row 19 of the ledger: the longest reply where the user sets no limit; 0 is the context's."""


def _only_thought(request: Request, reply: Reply) -> bool:
    """Return whether a reply was cut off in a thought whose first tag its template wrote."""
    return bool(request.thinking) and reply.finish == "length" and "</think>" not in reply.text


def _label_problem(text: str, max_words: int) -> str:
    words = len(text.split())
    if words > max_words:
        return f"{words} words, more than {max_words}"
    if ":" in text or "<" in text:
        return "is not a bare label"
    return ""


def _request(
    question: Question, attempt: int, llm: LlmConfig, run_seed: int, ledger: Ledger
) -> Request:
    return Request(
        messages=question.messages,
        temperature=llm.temperature,
        seed=seed(run_seed, question.purpose, *question.about, question.draw, attempt),
        max_tokens=llm.max_tokens or _MAX_TOKENS[ledger.draws],
        max_characters=WORDINGS[ledger.wording].max_characters,
        thinking=llm.thinking,
    )
