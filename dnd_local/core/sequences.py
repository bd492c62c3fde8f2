"""Sequences in the order they come in: each value once, or put together by what they share."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
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
