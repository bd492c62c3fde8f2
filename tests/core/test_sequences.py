"""Each value once, and values by what they share; both keep the order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dnd_local.core.sequences import distinct, grouped


def test_the_first_of_equals_keeps_its_place() -> None:
    assert distinct(iter("abcacb")) == ["a", "b", "c"]


def test_groups_come_in_the_order_of_their_first_value() -> None:
    groups = grouped([5, 2, 3, 8, 1], lambda number: number % 2)
    assert list(groups.items()) == [(1, [5, 3, 1]), (0, [2, 8])]


@given(st.lists(st.integers(0, 5)))
def test_groups_hold_every_value_once_under_its_name(values: list[int]) -> None:
    groups = grouped(values, lambda value: value)
    assert list(groups) == distinct(values)
    assert all(group == [name] * values.count(name) for name, group in groups.items())
