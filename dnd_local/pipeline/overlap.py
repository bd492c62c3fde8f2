"""Several batches at once: while one is with an engine, others read from and write to the disk.

Batches run in threads, and every call of an engine is made by the thread that started them, one
after the other. A model is therefore used from one thread only, as its library expects, and Ctrl-C
reaches the call that is under way. A language model behind a server is only asked by that thread,
which does not wait for the replies: questions of several batches are under way together.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from itertools import islice
from queue import SimpleQueue
from threading import Lock
from typing import Any, TypeVar, cast

from dnd_local.core.protocols import Beginning

R = TypeVar("R")
E = TypeVar("E")

_Asked = tuple[Future[Any], Callable[[], Any]]


class EngineCalls:
    """Calls that threads ask for and one thread makes, in the order in which they were asked."""

    def __init__(self) -> None:
        self._asked: SimpleQueue[_Asked] = SimpleQueue()
        self._begun = set[Future[Any]]()
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

    def wait(self, begin: Callable[[], Future[R]]) -> R:
        """Return the result of a future that `begin` returns; another thread calls `begin` alone.

        Raises:
            CancelledError: nobody serves any more.
        """
        begun = self.call(begin)
        with self._lock:
            self._begun.add(begun)
            if self._closed:
                begun.cancel()
        try:
            return begun.result()
        finally:
            self._begun.discard(begun)

    def wake(self) -> None:
        """Let whoever serves look again at what may begin."""
        self._asked.put((Future(), lambda: None))

    def serve(self, until: Future[Any], before: Callable[[], None]) -> None:
        """Make the calls that are asked for, until `until` is done; `before` runs before each."""
        until.add_done_callback(lambda done: self.wake())
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
            for begun in tuple(self._begun):
                begun.cancel()


class _Engine:
    """Stands in for an engine: a method call goes to the thread that serves."""

    def __init__(self, calls: EngineCalls, engine: Any) -> None:
        self._calls, self._engine = calls, engine

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._engine, name)
        if name == "reply" and isinstance(self._engine, Beginning):
            begin = self._engine.begin
            return lambda requests: self._calls.wait(lambda: begin(requests))

        def call(*values: Any, **named: Any) -> Any:
            return self._calls.call(lambda: method(*values, **named))

        return call


def in_order(
    tasks: Iterable[Callable[[], R]], at_once: int, calls: EngineCalls
) -> Generator[R, None, None]:
    """Yield the result of each task in order; `at_once` tasks run in threads, `calls` in this one.

    The next task begins when an engine is called, so that the first has disk and cores for itself,
    or when one is done, however long the tasks before it take.
    An error ends it, as closing the iterator does: engine calls that have not begun are turned
    down, and each task that is running ends with what it can do without them, so that what an
    engine has made already is still written.
    """
    coming = iter(tasks)
    pool = ThreadPoolExecutor(at_once, thread_name_prefix="batch")
    running: deque[Future[R]] = deque()

    def start_one() -> None:
        ended = [task for task in running if task.done()]
        if len(running) - len(ended) == at_once or any(task.exception() for task in ended):
            return
        for task in islice(coming, 1):
            running.append(pool.submit(task))
            running[-1].add_done_callback(lambda done: calls.wake())

    try:
        start_one()
        while running:
            calls.serve(running[0], before=start_one)
            yield running.popleft().result()
            start_one()
    finally:
        calls.close()
        pool.shutdown(cancel_futures=True)
