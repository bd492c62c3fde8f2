"""A language model that says what a test tells it to, and remembers what it was asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dnd_local.core.conversations import Reply, Request


class Scripted:
    """Answers each request in turn; after the last reply it repeats that one."""

    def __init__(self, *replies: str | Reply) -> None:
        self.replies = [r if isinstance(r, Reply) else Reply(r) for r in replies]
        self.rounds: list[tuple[Request, ...]] = []

    @property
    def asked(self) -> list[Request]:
        return [request for one in self.rounds for request in one]

    def reply(self, requests: Sequence[Request]) -> list[Reply]:
        start = len(self.asked)
        self.rounds.append(tuple(requests))
        last = len(self.replies) - 1
        return [self.replies[min(start + i, last)] for i in range(len(requests))]


class Answering(Scripted):
    """Answers by a function of the request."""

    def __init__(self, answer: Callable[[Request], str]) -> None:
        super().__init__("")
        self.answer = answer

    def reply(self, requests: Sequence[Request]) -> list[Reply]:
        self.rounds.append(tuple(requests))
        return [Reply(self.answer(request)) for request in requests]
