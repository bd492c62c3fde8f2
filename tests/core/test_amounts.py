"""Amounts in words, at every place where a unit or a digit changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnd_local.core.amounts import count_text, duration_text, number_text, size_text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (9_949, "9.9 kB"),
        (9_950, "10 kB"),
        (999_499, "999 kB"),
        (999_950, "1.0 MB"),
        (9_793_292, "9.8 MB"),
        (47_000_000, "47 MB"),
        (2.1e9, "2.1 GB"),
        (10**13, "10 TB"),
        (10**16, "10,000 TB"),
    ],
)
def test_sizes(size: float, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.0123, "0.012 s"),
        (0.999, "1.0 s"),
        (12.4, "12 s"),
        (59.4, "59 s"),
        (59.6, "1.0 min"),
        (90, "1.5 min"),
        (3599, "1.0 h"),
        (5400, "1.5 h"),
        (40 * 3600, "40 h"),
        (5_000 * 3600, "5,000 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@given(st.integers(0, 10**15))
def test_no_size_reads_as_a_thousand_of_a_unit_that_has_a_larger_one(size: int) -> None:
    number, unit = size_text(size).split()
    assert float(number.replace(",", "")) < 1000 or unit == "TB"


def test_counts() -> None:
    assert [count_text(n, "request") for n in (0, 1, 2, 1200)] == [
        "0 requests",
        "1 request",
        "2 requests",
        "1,200 requests",
    ]
    assert [count_text(n, "reply", "replies") for n in (1, 2)] == ["1 reply", "2 replies"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (1.41, "1.410"), (-0.25, "-0.250"), (0.0005, "0.001"), (4.06e-5, "4.1e-05"),
     (-2e-9, "-2.0e-09")],
)  # fmt: skip
def test_a_number_that_is_not_zero_does_not_look_like_it(value: float, text: str) -> None:
    assert number_text(value) == text
