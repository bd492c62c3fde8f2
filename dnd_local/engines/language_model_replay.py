"""A language model that only repeats what it, or another, said before.

It answers from a book of replies: the exchanges kept in a run's parts (so that a run can be made
again without any model), or replies made elsewhere and imported (so that a model that was never
here can be a describer). What the book lacks is the next round of questions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dnd_local.core.amounts import count_text
from dnd_local.core.conversations import Exchange, Reply, Request
from dnd_local.core.errors import UserError
from dnd_local.store.openai_batch import missing, request_id


class RepliesMissing(UserError):
    """Requests that the book has no reply to; `requests` holds each once, in order."""

    def __init__(self, requests: tuple[Request, ...]) -> None:
        super().__init__(
            f"{count_text(len(requests), 'request')} to the language model "
            f"{'have' if len(requests) != 1 else 'has'} no recorded reply; have them answered with "
            f"'dnd-local prompts export' and 'prompts import', or choose another --llm"
        )
        self.requests = requests

    def __reduce__(self) -> tuple[type[RepliesMissing], tuple[tuple[Request, ...]]]:
        """Cross from a worker process to the one that exports."""
        return type(self), (self.requests,)


class ReplayLanguageModel:
    """A `LanguageModel` that answers from a book of replies by request id."""

    def __init__(self, book: Mapping[str, Reply]) -> None:
        self._book = book

    def reply(self, requests: Sequence[Request]) -> list[Reply]:
        """Return one reply a request.

        Raises:
            RepliesMissing: the book lacks some; they are listed.
        """
        if lacking := missing(requests, self._book.keys()):
            raise RepliesMissing(lacking)
        return [self._book[request_id(request)] for request in requests]


def book_of(exchanges: Iterable[Exchange]) -> dict[str, Reply]:
    """Return the book of what was said in `exchanges`; the first reply to a request counts."""
    book: dict[str, Reply] = {}
    for exchange in exchanges:
        book.setdefault(request_id(exchange.request), exchange.reply)
    return book
