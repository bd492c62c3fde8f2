"""Sequences in the order they come in: each value once, or put together by what they share."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import TypeVar

_Value = TypeVar("_Value")
_Name = TypeVar("_Name", bound=Hashable)


def distinct(values: Iterable[_Value]) -> list[_Value]:
    """Return each value once, in the order of its first appearance; the values are hashable."""
    return list(dict.fromkeys(values))


def grouped(values: Iterable[_Value], by: Callable[[_Value], _Name]) -> dict[_Name, list[_Value]]:
    """Return the values by what `by` says of them; groups and their values keep their order."""
    groups: dict[_Name, list[_Value]] = {}
    for value in values:
        groups.setdefault(by(value), []).append(value)
    return groups


def sums(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    """Return the sum of two tables of numbers by name, to a thousandth; a missing name is 0."""
    names = distinct([*one, *other])
    return {name: round(one.get(name, 0.0) + other.get(name, 0.0), 3) for name in names}
