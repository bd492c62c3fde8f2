"""How long a language model's server is waited for, and when it counts as hung."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

AT_ONCE_OURS: Final = 256
"""Requests under way at each copy of the model that our own server holds: vLLM computes them
together (docs/performance.md)."""

AT_ONCE_THEIRS: Final = 8
"""Requests under way at a server that someone else started, and perhaps others use."""

MANY: Final = 3
"""When so many requests in a row stay without an answer, the server is asked something short."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long and how often one request is tried, and how many are under way at once.

    `timeout_s` counts from when a request is sent: the wait for its turn here is no part of it.
    Once a request stayed without an answer, the others wait `in_doubt_s` at most, until there is
    one again; `short_s` is the limit of the short question that decides. With these, a server
    that hangs ends a run within two minutes of the first request that timed out.
    """

    timeout_s: float = 300.0
    tries: int = 4
    backoff_s: float = 0.5
    at_once: int = AT_ONCE_OURS
    in_doubt_s: float = 40.0
    short_s: float = 15.0


USUAL: Final = Patience()


class Silence:
    """Counts the requests that stayed without an answer since the server last gave one."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._count = 0

    @property
    def limit_s(self) -> float:
        """How long the next request may take."""
        usual = self._patience.timeout_s
        return min(usual, self._patience.in_doubt_s) if self._count else usual

    def broken(self) -> None:
        """Note an answer, whatever it was."""
        self._count = 0

    def lasts(self) -> bool:
        """Note a request without an answer; return whether it is time to ask something short."""
        self._count += 1
        return self._count == MANY
