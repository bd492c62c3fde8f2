"""Bad disk: an error of the system at the k-th change of the disk, then the same command again."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

from calls import CODES, Calls, fail
from crash import changes
from workplace import Workplace, in_child


def sweep(place: Workplace, trials: int, seed: int) -> Iterator[str]:
    """Yield a line for every trial that broke a promise, and an empty one for every other."""
    count = changes(place)
    rng = random.Random(seed)
    for at in sorted(rng.sample(range(count), min(trials, count))):
        yield _trial(place, at, rng.choice(CODES))


def _trial(place: Workplace, at: int, code: int) -> str:
    workspace, what = place.fresh("disk"), os.strerror(code)

    def work() -> None:
        Calls(workspace, at, fail(code)).listen()
        place.dissect(workspace)

    ending = in_child(work)
    # Code 0: what failed was the tidying of what an earlier run left, which a run can do without.
    if ending.code not in (0, 2) or "\n" in ending.said:
        return f"change {at}, {what}: ended with {ending.code}: {ending.said}"
    if ending.code and what not in ending.said:
        return f"change {at}: '{what}' is not told: {ending.said}"
    wrong = place.wrong_after_resuming(workspace)
    return f"change {at}, {what}: {wrong}" if wrong else ""
