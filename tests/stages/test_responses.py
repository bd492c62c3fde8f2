"""The responses of a chunk: every image in its row, whatever order and groups they come in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from dnd_local.core.records import Pixels, SkippedImage
from dnd_local.stages.responses import FLOAT32_MAX, MOVED, NOISE, narrowed, respond
from tests.fakes import LAYER, NEURONS, Calls, FakeTarget
from tests.stages.world import PatchProbe

PROBE = PatchProbe(9)
GONE = SkippedImage(4, "patches-4", "cut off")


def images(order: list[int]) -> list[tuple[int, Pixels | SkippedImage]]:
    return [(i, GONE if i == 4 else PROBE.pixels(i)) for i in order]


def test_each_image_has_its_row_and_a_skipped_one_is_nan() -> None:
    (found,) = respond(images([3, 4, 5, 6]), 3, 4, [LAYER], FakeTarget(Calls()), 2)
    assert (found.layer, found.first, found.skipped) == (LAYER, 3, (GONE,))
    assert found.values.dtype == np.float16
    for index in (3, 5, 6):
        alone = FakeTarget(Calls()).responses([PROBE.pixels(index)], [LAYER])[LAYER][0]
        assert np.array_equal(found.values[index - 3], alone.astype(np.float16))
    assert np.isnan(found.values[1]).all()


@given(order=st.permutations(range(9)), group=st.integers(1, 12))
def test_order_and_groups_change_nothing(order: list[int], group: int) -> None:
    (whole,) = respond(images(list(range(9))), 0, 9, [LAYER], FakeTarget(Calls()), 9)
    (other,) = respond(images(order), 0, 9, [LAYER], FakeTarget(Calls()), group)
    assert other.values.tobytes() == whole.values.tobytes()
    assert other.skipped == whole.skipped


def test_skipped_images_are_listed_in_order() -> None:
    lost = [(i, SkippedImage(i, f"{i}", "bad")) for i in (2, 0, 1)]
    (found,) = respond(lost, 0, 3, [LAYER], FakeTarget(Calls()), 8)
    assert [own.index for own in found.skipped] == [0, 1, 2]
    assert found.values.shape == (3, NEURONS)
    assert np.isnan(found.values).all()


def test_one_pass_serves_every_layer() -> None:
    class Two(FakeTarget):
        def responses(self, pictures, layers) -> dict[str, NDArray[np.float32]]:
            self.calls.asked["target"] += len(pictures)
            return {
                layer: np.full((len(pictures), 2 + i), i + 0.5, dtype=np.float32)
                for i, layer in enumerate(layers)
            }

    target = Two(Calls())
    found = respond(images([0, 1, 2]), 0, 3, ["a", "b"], target, 2)
    assert [(own.layer, own.values.shape) for own in found] == [("a", (3, 2)), ("b", (3, 3))]
    assert target.calls.asked["target"] == 3


class Says(FakeTarget):
    """Answers with rows of its own, the same whatever the pictures."""

    def __init__(self, rows: NDArray[np.float32]) -> None:
        super().__init__(Calls())
        self.rows = rows

    def responses(self, pictures, layers) -> dict[str, NDArray[np.float32]]:
        return dict.fromkeys(layers, self.rows[: len(pictures)])


def kept(rows: NDArray[np.float32]) -> NDArray[Any]:
    """Return what is kept of a target's answers to so many pictures."""
    seen = [(i, PROBE.pixels(i % 9)) for i in range(len(rows))]
    (found,) = respond(seen, 0, len(rows), [LAYER], Says(rows), len(rows))
    return found.values


@pytest.mark.parametrize(
    ("value", "stays"), [(1e9, 1e9), (-np.inf, -FLOAT32_MAX), (70_000, 70_000)]
)
def test_what_float16_cannot_hold_is_kept_in_float32(value: float, stays: float) -> None:
    found = kept(np.full((1, 1), value, np.float32))
    assert found.dtype == np.float32
    assert found.tolist() == [[pytest.approx(stays)]]


def test_small_differences_on_a_large_offset_do_not_tie() -> None:
    small = np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32)
    found = kept(1000 + small)
    assert found.dtype == np.float32
    assert len(np.unique(found[:, 0])) > 490 > 20 > len(np.unique((1000 + small).astype("f2")))
    assert np.array_equal(np.argsort(found, axis=0), np.argsort(1000 + small, axis=0))


@pytest.mark.parametrize("offset", [0, 1, 1000, 60_000])
def test_a_constant_neuron_does_not_widen_its_layer(offset: float) -> None:
    rng = np.random.default_rng(0)
    rows = np.abs(rng.normal(size=(50, 2))).astype(np.float32)
    rows[:, 1] = offset * (1 + 1e-7 * rng.normal(size=50))
    assert kept(rows).dtype == np.float16


def test_skipped_images_and_broken_neurons_decide_nothing() -> None:
    rows = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    rows[:4, 1], rows[:, 2] = np.nan, np.nan
    rows[5] = np.nan
    assert kept(rows).dtype == np.float16
    rows[6:8, 1] = 2000, 2000.25
    rows[8, 1] = 2000.5
    assert narrowed(rows[5:]).dtype == np.float32
    assert narrowed(np.zeros((0, 2), np.float32)).shape == (0, 2)


@given(
    rows=hnp.arrays(
        np.float32, (12, 2), elements=st.floats(-1e6, 1e6, width=32, allow_subnormal=False)
    )
)
def test_responses_that_differ_by_a_share_of_their_spread_keep_their_order(
    rows: NDArray[np.float32],
) -> None:
    found = kept(rows).astype(np.float64)
    exact = rows.astype(np.float64)
    for k in range(2):
        gap = exact[:, None, k] - exact[None, :, k]
        clear = gap > 2.1 * MOVED * exact[:, k].std() + 2 * NOISE * np.abs(exact[:, k]).max()
        kept_gap = found[:, None, k] - found[None, :, k]
        varies = exact[:, k].std() > NOISE * np.abs(exact[:, k]).max()
        assert not varies or (kept_gap[clear] > 0).all()
