"""Several batches at once: while one is with an engine, others read from and write to the disk.

Batches run in threads, and every call of an engine is made by the thread that started them, one
after the other. A model is therefore used from one thread only, as its library expects, and Ctrl-C
reaches the call that is under way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from itertools import islice
from queue import SimpleQueue
from threading import Lock
from typing import Any, TypeVar, cast

R = TypeVar("R")
E = TypeVar("E")

_Asked = tuple[Future[Any], Callable[[], Any]]


class EngineCalls:
    """Calls that threads ask for and one thread makes, in the order in which they were asked."""

    def __init__(self) -> None:
        self._asked: SimpleQueue[_Asked] = SimpleQueue()
        self._lock, self._closed = Lock(), False

    def through(self, engine: E) -> E:
        """Return an engine whose methods are called by the thread that serves."""
        return cast(E, _Engine(self, engine))

    def call(self, function: Callable[[], R]) -> R:
        """Return what `function` returns, or raise what it raises; another thread calls it.

        Raises:
            CancelledError: nobody serves any more.
        """
        future: Future[R] = Future()
        with self._lock:
            if self._closed:
                raise CancelledError
            self._asked.put((future, function))
        return future.result()

    def serve(self, until: Future[Any], before: Callable[[], None]) -> None:
        """Make the calls that are asked for, until `until` is done; `before` runs before each."""
        until.add_done_callback(lambda done: self._asked.put((Future(), lambda: None)))
        while not until.done():
            future, function = self._asked.get()
            try:
                before()
                future.set_result(function())
            except Exception as error:  # noqa: BLE001  it is raised in the thread that asked
                future.set_exception(error)
            except BaseException:
                future.cancel()
                raise

    def close(self) -> None:
        """Turn down what is asked for from now on, and what nobody has answered yet."""
        with self._lock:
            self._closed = True
            while not self._asked.empty():
                self._asked.get()[0].cancel()


class _Engine:
    """Stands in for an engine: a method call goes to the thread that serves."""

    def __init__(self, calls: EngineCalls, engine: Any) -> None:
        self._calls, self._engine = calls, engine

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._engine, name)

        def call(*values: Any, **named: Any) -> Any:
            return self._calls.call(lambda: method(*values, **named))

        return call


def in_order(
    tasks: Iterable[Callable[[], R]], at_once: int, calls: EngineCalls
) -> Generator[R, None, None]:
    """Yield the result of each task in order; `at_once` tasks run in threads, `calls` in this one.

    The next task begins when an engine is called: so the first has disk and cores for itself.
    An error ends it, as closing the iterator does: engine calls that have not begun are turned
    down, and each task that is running ends with what it can do without them, so that what an
    engine has made already is still written.
    """
    coming = iter(tasks)
    pool = ThreadPoolExecutor(at_once, thread_name_prefix="batch")
    running: deque[Future[R]] = deque()

    def start_one() -> None:
        if len(running) < at_once:
            running.extend(pool.submit(task) for task in islice(coming, 1))

    try:
        start_one()
        while running:
            calls.serve(running[0], before=start_one)
            yield running.popleft().result()
            start_one()
    finally:
        calls.close()
        pool.shutdown(cancel_futures=True)
