"""The responses of a chunk: every image in its row, whatever order and groups they come in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dnd_local.core.records import Pixels, SkippedImage
from dnd_local.stages.responses import FLOAT16_MAX, respond
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


@pytest.mark.parametrize(("value", "kept"), [(1e9, FLOAT16_MAX), (-np.inf, -FLOAT16_MAX)])
def test_what_float16_cannot_hold_is_kept_as_its_largest(value: float, kept: float) -> None:
    class Loud(FakeTarget):
        def responses(self, pictures, layers) -> dict[str, NDArray[np.float32]]:
            return {layer: np.full((len(pictures), 1), value, np.float32) for layer in layers}

    (found,) = respond(images([0]), 0, 1, [LAYER], Loud(Calls()), 1)
    assert found.values.tolist() == [[kept]]
