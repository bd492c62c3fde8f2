"""What a look at every image of a probe set finds."""

from __future__ import annotations

import numpy as np

from dnd_local.core.protocols import UnreadableImage
from dnd_local.core.records import Pixels, SkippedImage
from dnd_local.store.probe_sets import FunctionProbe
from dnd_local.store.probe_survey import Survey, survey

SIZES = [(4, 6), None, (2, 2), (100, 1), (5, 5), None]


def sized(index: int) -> Pixels:
    size = SIZES[index]
    if size is None:
        raise UnreadableImage(f"reason {index}")
    return np.zeros((size[1], size[0], 3), dtype=np.uint8)


def test_sizes_and_reasons_are_found_and_progress_told() -> None:
    done: list[int] = []
    found = survey(FunctionProbe("x", 6, lambda i: f"n{i}", sized), 2, done.append)
    assert found == Survey(
        images=6,
        smallest=(2, 2),
        largest=(100, 1),
        skipped=(SkippedImage(1, "n1", "reason 1"), SkippedImage(5, "n5", "reason 5")),
    )
    assert done == [1, 2, 3, 4, 5, 6]


def test_a_set_of_which_nothing_can_be_used() -> None:
    found = survey(FunctionProbe("x", 1, str, lambda i: sized(1)), 1, lambda done: None)
    assert (found.smallest, found.largest, len(found.skipped)) == (None, None, 1)
