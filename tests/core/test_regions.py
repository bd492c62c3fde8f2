"""Attention boxes, crops and padding against pixel counting, an exact Otsu and flood fill."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dnd_local.core.records import Box
from dnd_local.core.regions import (
    Resize,
    attention_boxes,
    bilinear,
    crop,
    iou,
    keep_apart,
    pad_to_framing,
    pillow_bicubic,
    squash,
    to_eight_bit,
    wrap_to_eight_bit,
)
from tests import oracles
from tests.golden import golden

ALL = {"count": 100, "crop_iou": 1.0, "whole_iou": 2.0}
"""Settings under which no box is dropped."""


@st.composite
def boxes(draw: st.DrawFn, side: int = 12) -> Box:
    left, top = draw(st.integers(0, side - 1)), draw(st.integers(0, side - 1))
    return Box(left, top, draw(st.integers(left, side)), draw(st.integers(top, side)))


@st.composite
def grids(draw: st.DrawFn) -> NDArray[np.uint8]:
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    value = draw(st.sampled_from([st.sampled_from([0, 255]), st.integers(0, 255)]))
    cells = draw(st.lists(value, min_size=height * width, max_size=height * width))
    return np.array(cells, dtype=np.uint8).reshape(height, width)


def float_map(*rows: tuple[float, ...]) -> NDArray[np.float32]:
    return np.array(rows, dtype=np.float32)


# ---- to 8 bit -----------------------------------------------------------------------------------


def test_a_map_is_stretched_from_its_minimum_to_its_maximum() -> None:
    assert to_eight_bit(float_map((-1.0, 0.0), (1.0, 3.0))).tolist() == [[0, 64], [128, 255]]


@pytest.mark.parametrize("value", [0.0, -3.0, math.nan, math.inf])
def test_a_flat_map_is_black(value: float) -> None:
    assert to_eight_bit(float_map((value, value))).tolist() == [[0, 0]]


def test_broken_values_take_the_ends_of_the_range() -> None:
    found = to_eight_bit(float_map((math.nan, math.inf, -math.inf, 0.0, 10.0)))
    assert found.tolist() == [[0, 255, 0, 0, 255]]


@given(st.lists(st.floats(width=32), min_size=1, max_size=20))
def test_any_map_becomes_8_bit_in_the_same_order(values: list[float]) -> None:
    found = to_eight_bit(float_map(tuple(values)))[0]
    known = [
        (value, int(bit)) for value, bit in zip(values, found, strict=True) if math.isfinite(value)
    ]
    assert found.dtype == np.uint8
    bits = [bit for _, bit in sorted(known)]
    assert bits == sorted(bits)
    if len({value for value, _ in known}) > 1:
        assert (bits[0], bits[-1]) == (0, 255)


def test_the_released_cast_wraps() -> None:
    # x255, cut off: 127, 255, 256 -> 0, 382 -> 126, 510 -> 254, -127 -> 129.
    found = wrap_to_eight_bit(float_map((0.5, 1.0, 1.0040, 1.5, 2.0, -0.5)))
    assert found.tolist() == [[127, 255, 0, 126, 254, 129]]


def test_the_released_cast_takes_broken_values_for_nothing() -> None:
    assert wrap_to_eight_bit(float_map((math.nan, math.inf, -math.inf))).tolist() == [[0, 0, 0]]


# ---- IoU and the choice of boxes ----------------------------------------------------------------


@given(boxes(), boxes())
def test_iou_agrees_with_counting_pixels(one: Box, other: Box) -> None:
    assert iou(one, other) == pytest.approx(oracles.iou(one, other))
    assert iou(one, other) == iou(other, one)


def test_touching_boxes_share_nothing() -> None:
    assert iou(Box(0, 0, 5, 5), Box(5, 0, 9, 5)) == 0.0


SHARES = st.sampled_from([0.0, 0.25, 0.5, 0.8, 1.0])


@given(st.lists(boxes(), max_size=8), st.integers(0, 5), SHARES, SHARES)
def test_keep_apart_agrees_with_brute_force(
    given_boxes: list[Box], count: int, crop_iou: float, whole_iou: float
) -> None:
    whole = Box(0, 0, 12, 12)
    fast = keep_apart(given_boxes, whole, count=count, crop_iou=crop_iou, whole_iou=whole_iou)
    assert list(fast) == oracles.keep_apart(given_boxes, whole, count, crop_iou, whole_iou)


def test_both_limits_stand_where_the_method_puts_them() -> None:
    whole = Box(0, 0, 10, 10)
    limits = {"count": 4, "crop_iou": 0.5, "whole_iou": 0.8}
    # IoU with the whole of exactly 0.8 is dropped, just below is kept.
    assert keep_apart([Box(0, 0, 10, 8)], whole, **limits) == ()
    assert keep_apart([Box(0, 0, 10, 7)], whole, **limits) == (Box(0, 0, 10, 7),)
    # IoU with a kept one of exactly 0.5 is kept, above is dropped.
    large, half, most = Box(0, 0, 6, 6), Box(0, 0, 6, 3), Box(0, 0, 6, 4)
    assert keep_apart([half, large], whole, **limits) == (large, half)
    assert keep_apart([most, large], whole, **limits) == (large,)


def test_equal_areas_go_to_the_upper_then_the_left() -> None:
    whole = Box(0, 0, 100, 100)
    low, right, left = Box(0, 50, 5, 55), Box(50, 0, 55, 5), Box(10, 0, 15, 5)
    found = keep_apart([low, right, left], whole, count=2, crop_iou=0.5, whole_iou=0.8)
    assert found == (left, right)


# ---- attention boxes ----------------------------------------------------------------------------


@settings(max_examples=25)  # the exact Otsu is slow
@given(grids())
def test_boxes_agree_with_an_exact_otsu_and_flood_fill(grid: NDArray[np.uint8]) -> None:
    height, width = grid.shape
    seen = Box(0, 0, width, height)
    fast = attention_boxes(grid, seen, height, width, **ALL)
    whole = Box(0, 0, width, height)
    possible = [()] if grid.min() == grid.max() else []
    for threshold in oracles.otsu_thresholds(grid.tolist()):
        found = oracles.outer_boxes((grid > threshold).tolist())
        possible.append(tuple(oracles.keep_apart(found, whole, **ALL)))
    assert fast in possible


def test_an_area_in_the_hole_of_another_is_not_outer() -> None:
    ring = np.full((7, 7), 255, dtype=np.uint8)
    ring[1:6, 1:6] = 0
    ring[3, 3] = 255
    found = attention_boxes(ring, Box(0, 0, 7, 7), 7, 7, **ALL)
    assert found == (Box(0, 0, 7, 7),)
    assert oracles.outer_boxes((ring > 0).tolist()) == list(found)


@pytest.mark.parametrize("row", [0, 1])
@pytest.mark.parametrize("column", [0, 1])
def test_a_lit_quarter_of_the_map_is_the_quarter_of_what_was_seen(row: int, column: int) -> None:
    eight_bit = np.zeros((8, 8), dtype=np.uint8)
    eight_bit[row * 4 : row * 4 + 4, column * 4 : column * 4 + 4] = 255
    seen = Box(40, 10, 120, 90)
    (box,) = attention_boxes(eight_bit, seen, 100, 160, **ALL)
    left, top = 40 + 40 * column, 10 + 40 * row
    expected = np.array([left, top, left + 40, top + 40])
    assert np.abs(np.array([box.left, box.top, box.right, box.bottom]) - expected).max() <= 2


def test_largest_first_and_no_more_than_asked_for() -> None:
    eight_bit = np.zeros((20, 20), dtype=np.uint8)
    eight_bit[1:3, 1:3] = eight_bit[5:9, 5:9] = eight_bit[12:15, 12:15] = 255
    arguments = {"crop_iou": 0.5, "whole_iou": 0.8}
    seen = Box(0, 0, 20, 20)
    found = attention_boxes(eight_bit, seen, 20, 20, count=2, **arguments)
    assert found == (Box(5, 5, 9, 9), Box(12, 12, 15, 15))
    assert attention_boxes(eight_bit, seen, 20, 20, count=0, **arguments) == ()


def test_a_box_has_a_least_side_and_is_held_against_what_was_seen() -> None:
    eight_bit = np.zeros((20, 20), dtype=np.uint8)
    eight_bit[1:3, 1:19] = eight_bit[6:18, 4:16] = 255
    arguments = {"count": 4, "crop_iou": 0.5, "whole_iou": 0.8}
    seen = Box(10, 0, 30, 20)
    wide, square = Box(11, 1, 29, 3), Box(14, 6, 26, 18)
    assert attention_boxes(eight_bit, seen, 20, 40, **arguments) == (square, wide)
    assert attention_boxes(eight_bit, seen, 20, 40, min_side=3, **arguments) == (square,)
    lit = np.full((20, 20), 255, dtype=np.uint8)
    lit[0] = 0
    # Nearly all that was seen, and under half of the picture.
    assert attention_boxes(lit, seen, 20, 40, **arguments) == (Box(10, 1, 30, 20),)
    assert attention_boxes(lit, seen, 20, 40, whole=seen, **arguments) == ()


def test_a_map_lit_all_over_the_picture_gives_no_crop() -> None:
    eight_bit = np.full((10, 10), 200, dtype=np.uint8)
    eight_bit[0, 0] = 0
    assert attention_boxes(
        eight_bit, Box(0, 0, 10, 10), 10, 10, count=4, crop_iou=0.5, whole_iou=0.8
    ) == ()  # fmt: skip


def test_a_flat_map_gives_no_crop() -> None:
    eight_bit = np.full((7, 7), 90, dtype=np.uint8)
    assert attention_boxes(eight_bit, Box(4, 0, 20, 16), 16, 40, **ALL) == ()


def test_a_map_that_becomes_flat_on_a_small_picture_gives_no_crop() -> None:
    eight_bit = np.full((64, 64), 50, dtype=np.uint8)
    eight_bit[0, 0] = 255  # lost when the map is made smaller
    assert attention_boxes(eight_bit, Box(4, 0, 20, 16), 16, 40, **ALL) == ()


# ---- the released boxes -------------------------------------------------------------------------


def released_boxes(
    values: NDArray[np.float32], side: int, resize: Resize = pillow_bicubic
) -> tuple[Box, ...]:
    return attention_boxes(
        wrap_to_eight_bit(values), Box(0, 0, side, side), side, side,
        count=4, crop_iou=0.5, whole_iou=0.8, resize=resize,
    )  # fmt: skip


def test_every_golden_line_agrees() -> None:
    lines = golden("boxes")
    assert {len(line["map"]) for line in lines} == {7, 14, 28}
    assert sum(np.max(line["map"]) > 1 for line in lines) == 74
    for line in lines:
        found = released_boxes(np.array(line["map"], dtype=np.float32), line["size"])
        assert [[b.left, b.top, b.right, b.bottom] for b in found] == line["boxes"]


def test_few_golden_lines_agree_with_another_resize() -> None:
    agreeing = 0
    for line in golden("boxes"):
        found = released_boxes(np.array(line["map"], dtype=np.float32), line["size"], bilinear)
        agreeing += [[b.left, b.top, b.right, b.bottom] for b in found] == line["boxes"]
    assert agreeing == 4


def test_the_released_boxes_agree_with_the_method_written_out_on_1000_maps() -> None:
    random = np.random.default_rng(21)
    with_boxes = 0
    for i in range(1000):
        shape = random.integers(1, 8, size=2)
        values = random.gamma(0.5, (0.3, 1.5)[i % 2], size=shape).astype(np.float32)
        side = int(random.integers(6, 13))
        found = released_boxes(values, side)
        assert list(found) in oracles.released_boxes(values.tolist(), side)
        with_boxes += bool(found)
    assert with_boxes > 500


@given(grids(), st.integers(1, 30), st.integers(1, 30))
def test_the_released_resize_agrees_with_the_cubic_written_out(
    grid: NDArray[np.uint8], width: int, height: int
) -> None:
    found = pillow_bicubic(grid, width, height)
    assert found.tolist() == oracles.pillow_bicubic(grid.tolist(), width, height)


# ---- crops --------------------------------------------------------------------------------------


def test_a_crop_is_a_copy_of_the_pixels_inside() -> None:
    picture = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    cut = crop(picture, Box(1, 2, 4, 4))
    assert cut.shape == (2, 3, 3)
    assert cut[0, 0].tolist() == picture[2, 1].tolist()
    assert cut[-1, -1].tolist() == picture[3, 3].tolist()
    cut[:] = 0
    assert picture[2, 1].any()


SEEN_SHARES = st.sampled_from([0.875, 224 / 232, 224 / 235, 1.0, 0.5, 299 / 342])


@given(st.integers(1, 60), st.integers(1, 60), SEEN_SHARES)
def test_the_networks_own_crop_cuts_nothing_off(height: int, width: int, share: float) -> None:
    picture = np.zeros((height, width, 3), dtype=np.uint8)
    picture[:] = 10
    picture[0, :] = picture[-1, :] = picture[:, 0] = picture[:, -1] = 255
    padded = pad_to_framing(picture, share)
    side = padded.shape[0]
    assert padded.shape == (side, side, 3)
    # Where the crop lies: the only place where all its pixels agree with its own.
    top, left = (side - height) // 2, (side - width) // 2
    assert (padded[top : top + height, left : left + width] == picture).all()
    margin = side * (1 - share) / 2
    assert left >= margin - 1e-9
    assert top >= margin - 1e-9
    assert left + width <= side - margin + 1e-9
    assert top + height <= side - margin + 1e-9
    # And no larger than needed: parity and rounding up cost less than two pixels.
    assert side < max(height, width) / share + 2


def test_the_margin_is_the_crops_mean_colour() -> None:
    picture = np.zeros((2, 2, 3), dtype=np.uint8)
    picture[0] = (10, 20, 30)
    assert pad_to_framing(picture, 0.5)[0, 0].tolist() == [5, 10, 15]


def test_squash_ignores_the_aspect() -> None:
    picture = np.zeros((10, 40, 3), dtype=np.uint8)
    picture[:, 20:] = 200
    squashed = squash(picture, 8)
    assert squashed.shape == (8, 8, 3)
    assert squashed[:, :3].max() <= 2
    assert squashed[:, 5:].min() >= 198
    assert squashed[..., 0].tolist() == oracles.pillow_bicubic(picture[..., 0].tolist(), 8, 8)
