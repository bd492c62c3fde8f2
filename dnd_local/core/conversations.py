"""What is asked of a language model and what it answers, each exchange kept whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from dnd_local.core.cards import Card

Purpose: TypeAlias = Literal["simplify", "summarise", "merge", "contrast", "refine"]
Speaker: TypeAlias = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message(Card):
    """One turn of a conversation with a language model."""

    role: Speaker
    text: str


@dataclass(frozen=True, slots=True)
class Request(Card):
    """One question to a language model; nothing outside it can change the answer.

    Attributes:
        max_tokens: longest reply in new tokens; 0 for as many as the model's context holds.
        max_characters: longest reply in characters, on one line; 0 leaves length and lines free.
        thinking: tokens that the model may think before it answers, in front of the reply and
            beside its limits; 0 turns thinking off where the model's template can.
    """

    messages: tuple[Message, ...]
    temperature: float
    seed: int
    max_tokens: int
    max_characters: int = 200
    thinking: int = 0


@dataclass(frozen=True, slots=True)
class Reply(Card):
    """What a language model answered: the raw text and why it stopped (`stop`, `length`, …)."""

    text: str
    finish: str = "stop"


@dataclass(frozen=True, slots=True)
class Exchange(Card):
    """A request, its raw reply, what became of it; `problem` is empty where it was usable."""

    purpose: Purpose
    draw: int
    attempt: int
    request: Request
    reply: Reply
    text: str
    problem: str = ""
