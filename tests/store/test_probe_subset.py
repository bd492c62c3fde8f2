"""Some images of a probe set, by their names and by a seeded draw."""

from __future__ import annotations

import numpy as np
import pytest

from dnd_local.core.errors import UserError
from dnd_local.store.probe_sets import FunctionProbe, JoinedProbe, holdout_mask
from dnd_local.store.probe_subset import parts_of, subset


def drawn(count: int, word: str = "a") -> FunctionProbe:
    return FunctionProbe(
        word * 64, count, lambda index: f"{word}/{index % 2}/{index}",
        lambda index: np.full((2, 2, 3), index, np.uint8),
    )  # fmt: skip


def indices(probe: object) -> list[int]:
    return [int(probe.pixels(i)[0, 0, 0]) for i in range(len(probe))]  # type: ignore[attr-defined]


def test_all_of_a_set_is_the_set_itself() -> None:
    probe = drawn(10)
    assert all(subset(probe, "", sample, 0) is probe for sample in (0, 10, 11))


def test_a_draw_is_of_its_seed_and_a_larger_one_holds_it() -> None:
    probe = drawn(100)
    few, more = subset(probe, "", 10, 3), subset(probe, "", 30, 3)
    assert (len(few), indices(few)) == (10, sorted(indices(few)))
    assert set(indices(few)) < set(indices(more))
    assert indices(subset(probe, "", 10, 3)) == indices(few)
    assert indices(subset(probe, "", 10, 4)) != indices(few)
    assert few.digest == subset(probe, "", 10, 3).digest
    assert (
        len({few.digest, more.digest, probe.digest, subset(drawn(100, "b"), "", 10, 3).digest}) == 4
    )
    # Held out are others than those drawn, not the same places again.
    held = np.flatnonzero(holdout_mask(probe.digest, 100, 0.1, 3))
    assert set(held) != set(indices(few))


def test_names_are_filtered_before_the_draw() -> None:
    probe = JoinedProbe([("one", drawn(10)), ("two", drawn(10, "b"))])
    kept = subset(probe, "two/*/1/*", 0, 0)
    assert [kept.name(i) for i in range(len(kept))] == [f"two/b/1/{i}" for i in (1, 3, 5, 7, 9)]
    assert len(subset(probe, "two/*/1/*", 3, 0)) == 3
    assert {part.digest for part in parts_of(kept)} == {"a" * 64, "b" * 64}
    with pytest.raises(UserError, match=r"no image .* name like 'three'; the first is 'one/a/0/0'"):
        subset(probe, "three", 0, 0)
