"""Workers that stay: one a device, each with engines of its own, handed a few batches at a time.

Whoever is idle gets the next order, so a model is loaded once, stages follow each other without a
new start, and nobody waits for a share that turned out longer. Parts are per item: there is
nothing to merge, and who makes which changes nothing.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, Final, Protocol

import msgspec

from dnd_local.core.errors import (
    BadConfig,
    DamagedFile,
    DndError,
    EngineError,
    MissingWeights,
    NoReply,
    Refused,
    UserError,
)
from dnd_local.pipeline.executors import InProcess
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.making import Failure, Made
from dnd_local.pipeline.stage import Item, Stage

_LOGGER: Final = logging.getLogger(__name__)

MOST_BATCHES: Final = 8
"""Batches of an order at most. Within an order reading, computing and writing overlap."""
ORDERS_EACH: Final = 4
"""Orders a worker gets of a stage where there is enough to do: the last ones even out."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """Batches of one stage for one worker."""

    stage: str
    batches: tuple[tuple[Item, ...], ...]
    again: bool = False
    """Whether a worker that was lost may have made some of it."""


class HandLost(EngineError):
    """A worker is gone, and others may go on without it."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an order."""

    parts: int = 0
    failures: tuple[Failure, ...] = ()
    error: str = ""
    message: str = ""


class Hand(Protocol):
    """A worker as the process that hands out orders sees it."""

    def make(self, order: Order, advance: Callable[[int], None]) -> Outcome:
        """Have an order made; `advance` hears of each few parts that are written.

        Raises:
            HandLost: the worker is gone; another may be given the order.
            EngineError: the worker ended, and others would as well.
        """

    def close(self) -> None:
        """End the worker and let go of its device, whatever it is doing."""


class Crew:
    """Makes parts in workers, which are hired when there is first something to compute."""

    def __init__(self, lab: Lab, hire: Callable[[], Sequence[Hand]]) -> None:
        self.lab, self._hire = lab, hire
        self._hands: list[Hand] = []

    def free(self, stage: Stage[Any], items: Sequence[Item]) -> list[Item]:
        """See `Executor`."""
        return list(items)

    def make(
        self, stage: Stage[Any], items: Sequence[Item], advance: Callable[[int], None]
    ) -> Made:
        """See `Executor`. Ctrl-C and errors end every worker; what they wrote stays.

        A stage without an engine is made here. So are the questions to a language model's server,
        which serves all and may want the devices' memory: the workers end before it starts.
        """
        if not stage.roles:
            return InProcess(self.lab).make(stage, items, advance)
        if "language-model" in stage.roles and self.lab.config.llm.engine != "transformers":
            self.close()
            return InProcess(self.lab).make(stage, items, advance)
        # What was opened here for a look at the layers would hold memory that a worker needs.
        self.lab.close()
        self._hands = self._hands or list(self._hire())
        batches = list(stage.batches(self.lab.config, items))
        if self.lab.execution.devices != ("cpu",):
            batches = spread(batches, len(self._hands))
        return self._hand_out(orders_of(stage.name, batches, len(self._hands)), advance)

    def close(self) -> None:
        """End the workers."""
        for hand in self._hands:
            hand.close()
        self._hands = []

    def _hand_out(self, orders: Sequence[Order], advance: Callable[[int], None]) -> Made:
        """Have every order made, by those who are left if workers are lost."""
        waiting, every = deque(orders), Made()
        while waiting:
            lost: list[Hand] = []
            every += self._go_round(waiting, lost, advance)
            self._hands = [hand for hand in self._hands if hand not in lost]
            if waiting and not self._hands:
                raise EngineError(
                    "every worker was lost; what they made is kept: run the same command again"
                )
        return every

    def _go_round(
        self, waiting: deque[Order], lost: list[Hand], advance: Callable[[int], None]
    ) -> Made:
        """Have orders made; what the threads hear is passed on here, in the caller's own."""
        heard = SimpleQueue[int | Future[Made]]()
        with ThreadPoolExecutor(len(self._hands), thread_name_prefix="worker") as pool:
            try:
                tasks = [
                    pool.submit(_serve, hand, waiting, lost, heard.put) for hand in self._hands
                ]
                for task in tasks:
                    task.add_done_callback(heard.put)
                every = Made()
                for _ in tasks:
                    while isinstance(said := heard.get(), int):
                        advance(said)
                    every += said.result()
                return every
            except BaseException:
                waiting.clear()
                self.close()  # a thread that waits for a worker goes on once the worker ended
                raise


def _serve(
    hand: Hand, waiting: deque[Order], lost: list[Hand], advance: Callable[[int], None]
) -> Made:
    """Have `hand` make orders until none is left or it is lost; return what came of them."""
    every, tried = Made(), 0
    while True:
        try:
            order = waiting.popleft()
        except IndexError:
            return every
        try:
            outcome = hand.make(order, advance)
        except HandLost as error:
            _LOGGER.warning("%s; its work goes to another", error)
            waiting.appendleft(msgspec.structs.replace(order, again=True))
            lost.append(hand)
            return every
        if outcome.error:
            raise _ERRORS.get(outcome.error, EngineError)(outcome.message)
        every, tried = every + Made(outcome.parts, outcome.failures), tried + 1
        if tried > 1 and not every.parts:
            raise EngineError(
                f"{order.stage} fails on every item; the first says: {every.failures[0].reason}"
            )


def spread(batches: Sequence[Sequence[Item]], workers: int) -> list[Sequence[Item]]:
    """Return batches, the largest halved until there is one for each worker.

    On devices that would be idle otherwise this costs nothing; on the CPU, where an engine's padded
    batch takes as long half empty, it would.
    """
    split = list(batches)
    while len(split) < workers and max(map(len, split), default=0) > 1:
        widest = max(range(len(split)), key=lambda index: len(split[index]))
        middle = (len(split[widest]) + 1) // 2
        split[widest : widest + 1] = [split[widest][:middle], split[widest][middle:]]
    return split


def orders_of(stage: str, batches: Sequence[Sequence[Item]], workers: int) -> list[Order]:
    """Return the orders that a stage's batches are handed out in."""
    size = min(max(len(batches) // (ORDERS_EACH * workers), 1), MOST_BATCHES)
    return [
        Order(stage=stage, batches=tuple(map(tuple, batches[start : start + size])))
        for start in range(0, len(batches), size)
    ]


_ERRORS: dict[str, type[DndError]] = {
    kind.__name__: kind
    for kind in (UserError, BadConfig, MissingWeights, DamagedFile, Refused, EngineError, NoReply)
}
"""Errors that cross from a worker with their type; any other user error arrives as `UserError`."""


def outcome_of(error: DndError) -> Outcome:
    """Return the outcome that carries `error` from a worker to the process that started it."""
    name = type(error).__name__
    fallback = "UserError" if isinstance(error, UserError) else "EngineError"
    return Outcome(error=name if name in _ERRORS else fallback, message=str(error))
