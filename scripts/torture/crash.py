"""Crash sweep: kill -9 at every n-th change of the disk, then the same command again."""

from __future__ import annotations

import random
from collections.abc import Iterator

from calls import Calls, kill
from workplace import Watch, Workplace, in_child, parts


def changes(place: Workplace) -> int:
    """Return how many changes of the disk a whole run makes."""
    workspace = place.fresh("counting")

    def work() -> int:
        calls = Calls(workspace, -1, kill)
        calls.listen()
        place.dissect(workspace)
        return calls.count

    return int(in_child(work).said)


def sweep(place: Workplace, trials: int, seed: int) -> Iterator[str]:
    """Yield a line for every trial that broke a promise, and an empty one for every other."""
    count = changes(place)
    rng = random.Random(seed)
    points = sorted(rng.sample(range(count), min(trials, count)))
    for at in points:
        yield _trial(place, at)


def _trial(place: Workplace, at: int) -> str:
    workspace, watch = place.fresh("crash"), Watch()

    def work() -> None:
        Calls(workspace, at, kill).listen()
        place.dissect(workspace, watch)

    ending = in_child(work)
    if ending.code != -9:
        return f"change {at}: ended with {ending.code} instead of being killed: {ending.said}"
    there, told = parts(workspace), watch.done.value
    if there < told:
        return f"change {at}: {told} parts were said to be done, {there} are there"
    wrong = place.wrong_after_resuming(workspace)
    return f"change {at}: {wrong}" if wrong else ""
