"""Formulas over the attributes of pictures: what a planted neuron means, written as data.

A formula is an attribute's name, a number, or a list that begins with an operator: ``["and", A,
B, ...]``, ``["or", A, B, ...]``, ``["not", A]``, ``["sum", [0.5, A], [-1, B], ...]``. Attributes
are numbers in [0, 1], true or false or in between: `and` multiplies, `not` takes from 1, `or` is
what is left when none holds. Values are anything with +, - and *: numpy arrays, torch tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

Formula: TypeAlias = Any
"""An attribute's name, a number, or a list as above."""


def value_of(formula: Formula, attributes: Mapping[str, Any]) -> Any:
    """Return the value of a formula where attributes have these values.

    Raises:
        ValueError: an unknown operator, or an attribute that has no value.
    """
    if isinstance(formula, str):
        if formula not in attributes:
            raise ValueError(f"no attribute '{formula}'")
        return attributes[formula]
    if isinstance(formula, int | float):
        return float(formula)
    operator, *parts = formula
    if operator == "sum":
        return sum(weight * value_of(part, attributes) for weight, part in parts)
    values = [value_of(part, attributes) for part in parts]
    if operator == "not":
        return 1 - values[0]
    if operator == "and":
        return _product(values)
    if operator == "or":
        return 1 - _product([1 - value for value in values])
    raise ValueError(f"unknown operator '{operator}'")


def attributes_of(formula: Formula) -> frozenset[str]:
    """Return the attributes that a formula reads."""
    if isinstance(formula, str):
        return frozenset({formula})
    if isinstance(formula, int | float):
        return frozenset()
    operator, *parts = formula
    inner = [part for _, part in parts] if operator == "sum" else parts
    return frozenset().union(*(attributes_of(part) for part in inner))


def _product(values: list[Any]) -> Any:
    result = values[0]
    for value in values[1:]:
        result = result * value
    return result


def light_attributes(grey: Any) -> dict[str, Any]:
    """Return what is read from the pixels alone: where a picture is bright, how fine its grain.

    Args:
        grey: brightness in [0, 1], numpy or torch, shape (n, height, width).
    """
    height, width = grey.shape[1] // 2, grey.shape[2] // 2
    across = abs(grey[:, :, 2:] - 2 * grey[:, :, 1:-1] + grey[:, :, :-2])
    down = abs(grey[:, 2:] - 2 * grey[:, 1:-1] + grey[:, :-2])
    return {
        "bright": grey.mean((1, 2)),
        "bright left": grey[:, :, :width].mean((1, 2)),
        "bright right": grey[:, :, width:].mean((1, 2)),
        "bright top": grey[:, :height].mean((1, 2)),
        "bright bottom": grey[:, height:].mean((1, 2)),
        "fine grain across": across.mean((1, 2)),
        "fine grain down": down.mean((1, 2)),
    }
