"""Where bars, marks and ticks lie."""

from __future__ import annotations

import math

import pytest

from dnd_local.report import plots


def test_bars_stand_on_the_axis_and_grow_with_the_count() -> None:
    found = plots.histogram([100, 0, 10, 1], 0.0, 4.0)
    assert [round(bar.y + bar.height, 1) for bar in found.bars] == [plots.HEIGHT] * 3
    heights = [bar.height for bar in found.bars]
    assert heights == sorted(heights, reverse=True)
    assert heights[0] == plots.HEIGHT
    assert found.bars[0].text == "0 to 1: 100"


def test_the_axis_reaches_as_far_as_the_marks() -> None:
    found = plots.histogram([1, 1], 0.0, 1.0, [2.0, float("nan")])
    assert found.marks == (plots.WIDTH - plots.MARGIN,)
    assert found.bars[-1].x + found.bars[-1].width < plots.WIDTH / 2 + 1


def test_ticks_are_round_and_inside() -> None:
    found = plots.histogram([1] * 10, -0.3, 0.94)
    assert [tick.text for tick in found.ticks] == ["0", "0.5"]
    assert all(0 <= tick.x <= plots.WIDTH for tick in found.ticks)


def test_values_that_are_all_alike_or_none() -> None:
    assert len(plots.value_histogram([2.0, 2.0]).bars) == 1
    assert plots.value_histogram([math.nan]) == plots.Bars((), ())
    assert plots.histogram([0, 0], 1.0, 1.0).bars == ()


def test_every_value_is_counted_once() -> None:
    found = plots.value_histogram([0.0, 0.1, 0.5, 1.0, math.inf], bins=4)
    assert sum(int(bar.text.rpartition(" ")[2]) for bar in found.bars) == 4


def test_an_axis_that_is_given_stays_when_all_values_are_equal() -> None:
    found = plots.value_histogram([1.0, 1.0], bins=20, within=(0.0, 1.0))
    assert len(found.bars) == 1
    assert [found.ticks[0].text, found.ticks[-1].text] == ["0", "1"]


def test_a_strip_runs_from_the_best_rank_to_the_worst() -> None:
    assert plots.strip([0, 4.5, 9], 10, 108) == (4.0, 54.0, 104.0)
    assert plots.strip([0], 1, 108) == (4.0,)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (4.9583, "4.96"), (12345.6, "12,346"), (0.00123, "0.00123"), (100.0, "100"),
        (1e-7, "1.00e-07"), (-2.5, "-2.5"), (float("inf"), "?"), (2e6, "2.00e+06"), (0.1, "0.1"),
    ],
)  # fmt: skip
def test_numbers_read_easily(value: float, text: str) -> None:
    assert plots.number(value) == text
