"""One worker process: orders come in on standard input, what came of them goes out, a line each.

``python -m dnd_local.pipeline.worker``, started by `hands.ProcessHand`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from queue import SimpleQueue
from threading import Thread
from typing import Any, BinaryIO

import msgspec

from dnd_local.core.config import Config, Execution
from dnd_local.core.errors import DndError, disk_error
from dnd_local.pipeline.crew import Order, Outcome, outcome_of
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.making import make_parts
from dnd_local.pipeline.plan import PLAN
from dnd_local.pipeline.stage import Item
from dnd_local.store.guard import go_offline
from dnd_local.store.in_use import at_work


class Post(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is told first: what can change a result, where, and on which device."""

    config: Config
    execution: Execution
    device: str


def encoded(value: Any) -> bytes:
    """Return a message between a worker and who started it: one line of JSON."""
    return msgspec.json.encode(value, enc_hook=str) + b"\n"


def decoded(line: bytes, kind: Any) -> Any:
    """Return the message of type `kind` in a line."""
    return msgspec.json.decode(line, type=kind, dec_hook=lambda of, text: of(text))


class Worker:
    """Makes orders with engines of its own, open for as long as the stages that follow use them."""

    def __init__(self, post: Post) -> None:
        self._lab = Lab(post.config, post.execution, post.device)

    def make(self, order: Order, advance: Callable[[int], None]) -> Outcome:
        """Return what came of an order; what the user can mend, and a broken engine, are in it."""
        stage = next(stage for stage in PLAN if stage.name == order.stage)
        self._lab.keep(stage.roles)
        try:
            # A worker may outlive the command that started it, for a moment.
            with at_work(self._lab.execution.workspace):
                batches: Sequence[Sequence[Item]] = order.batches
                if order.again:
                    left = [stage.missing(self._lab, batch) for batch in batches]
                    batches = [batch for batch in left if batch]
                result = make_parts(stage, self._lab, batches, advance)
        except DndError as error:
            return outcome_of(error)
        except OSError as error:
            if (refused := disk_error(error)) is None:
                raise
            return outcome_of(refused)
        return Outcome(parts=result.parts, failures=result.failures)

    def close(self) -> None:
        """Let go of every engine."""
        self._lab.close()


def serve(lines: Iterable[bytes], say: Callable[[bytes], object]) -> None:
    """Make the orders in `lines`, the first of which is a `Post`; say counts and outcomes."""
    orders = iter(lines)
    worker = Worker(decoded(next(orders), Post))

    def answer(what: int | Outcome) -> None:
        say(encoded(what))

    try:
        for line in orders:
            answer(worker.make(decoded(line, Order), answer))
    finally:
        worker.close()


def lines_until_gone(stream: BinaryIO, leave: Callable[[], object]) -> Iterator[bytes]:
    """Yield the lines of `stream`; `leave` at its end, even while a line is being worked on.

    The stream ends with the process at its other end, however that ended.
    """
    lines = SimpleQueue[bytes]()

    def read() -> None:
        for line in stream:
            lines.put(line)
        leave()
        lines.put(b"")

    Thread(target=read, daemon=True).start()
    while line := lines.get():
        yield line


def main() -> None:
    """Take orders until there is nobody to give any."""
    # Before any model library is imported: some read their offline switches only once. A worker
    # never asks a language model's server, so no host is allowed here.
    go_offline()
    answers = os.dup(1)
    os.dup2(2, 1)  # what a library prints is no answer
    # Parts are whole or not there, so that a worker can leave at once, whatever it is doing.
    lines = lines_until_gone(sys.stdin.buffer, lambda: os._exit(1))
    serve(lines, lambda line: os.write(answers, line))


if __name__ == "__main__":
    main()
