"""Asking a language model and not trusting the answer.

Every reply is checked against the form that was asked for. A bad one is asked for once more with
another seed, then recorded with its reason. A rejected reply is a value, never an exception.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from dnd_local.core.config import LlmConfig
from dnd_local.core.digest import seed
from dnd_local.core.protocols import Summariser
from dnd_local.core.records import Exchange, Message, Purpose, Reply, Request

ATTEMPTS = 2
_THINKING = re.compile(r"^.*</think>", re.DOTALL)
"""The opening tag may be missing: some chat templates write it themselves."""

_QUOTES = "\"'`“”‘’*"


@dataclass(frozen=True, slots=True)
class Question:
    """One thing to ask; `about` makes its seed its own, `max_words` bounds a label (0: none)."""

    purpose: Purpose
    messages: tuple[Message, ...]
    about: tuple[str | int, ...]
    draw: int = 0
    max_words: int = 0


def ask(
    questions: Sequence[Question], summariser: Summariser, llm: LlmConfig, run_seed: int
) -> list[tuple[Exchange, ...]]:
    """Return, for each question, its exchanges; the last one is usable if its `problem` is empty.

    All questions go out together, then all retries; a request that several share goes out once.
    """
    exchanges: list[tuple[Exchange, ...]] = [() for _ in questions]
    for attempt in range(ATTEMPTS):
        open_ones = [i for i, made in enumerate(exchanges) if not made or made[-1].problem]
        requests = [_request(questions[i], attempt, llm, run_seed) for i in open_ones]
        distinct = list(dict.fromkeys(requests))
        replies = dict(zip(distinct, summariser.reply(distinct) if distinct else [], strict=True))
        for i, request in zip(open_ones, requests, strict=True):
            question, reply = questions[i], replies[request]
            text, problem = check(reply, question.max_words, request.max_characters)
            exchanges[i] += (
                Exchange(question.purpose, question.draw, attempt, request, reply, text, problem),
            )
    return exchanges


def check(reply: Reply, max_words: int, max_characters: int) -> tuple[str, str]:
    """Return the reply's text on its own, and what is wrong with it ("" if nothing is).

    A finished thinking block, quotation marks and the bullet of a list are taken off. With
    `max_words`, a reply that lists several (`is_list`) passes: it is merged, not rejected.
    """
    if reply.finish.startswith("error"):
        return "", reply.finish
    text = _THINKING.sub("", reply.text).strip()
    text = text.removeprefix("- ").strip().strip(_QUOTES).strip()
    problem = ""
    if reply.finish == "length":
        problem = "cut off at the token limit"
    elif not text:
        problem = "empty"
    elif "\n" in text:
        problem = "more than one line"
    elif not text.isprintable():
        problem = "has control characters"
    elif len(text) > max_characters:
        problem = f"longer than {max_characters} characters"
    elif not any(c.isalnum() for c in text):
        problem = "has no letter or digit"
    elif text.startswith("<think>"):
        problem = "never stopped thinking"
    elif max_words and not is_list(text):
        problem = _label_problem(text, max_words)
    return text, problem


def is_list(text: str) -> bool:
    """Return whether a label names several things instead of one: a comma or semicolon says so."""
    return "," in text or ";" in text


def _label_problem(text: str, max_words: int) -> str:
    words = len(text.split())
    if words > max_words:
        return f"{words} words, more than {max_words}"
    if ":" in text or "<" in text:
        return "is not a bare label"
    return ""


def _request(question: Question, attempt: int, llm: LlmConfig, run_seed: int) -> Request:
    return Request(
        messages=question.messages,
        temperature=llm.temperature,
        seed=seed(run_seed, question.purpose, *question.about, question.draw, attempt),
        max_tokens=llm.max_tokens,
    )
