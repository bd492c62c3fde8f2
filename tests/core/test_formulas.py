"""Formulas over attributes: what every operator gives, and what is read from pixels."""

from __future__ import annotations

import numpy as np
import pytest

from dnd_local.core.formulas import attributes_of, light_attributes, value_of

HELD = {"dog": np.array([1.0, 1.0, 0.0, 0.0]), "red": np.array([1.0, 0.0, 1.0, 0.0])}


@pytest.mark.parametrize(
    ("formula", "values"),
    [
        ("dog", [1, 1, 0, 0]),
        (["and", "dog", "red"], [1, 0, 0, 0]),
        (["or", "dog", "red"], [1, 1, 1, 0]),
        (["not", "dog"], [0, 0, 1, 1]),
        (["and", "dog", ["not", "red"]], [0, 1, 0, 0]),
        (["sum", [1.0, "dog"], [-0.5, "red"]], [0.5, 1, -0.5, 0]),
        (["and", "dog", 0.5], [0.5, 0.5, 0, 0]),
    ],
)
def test_operators(formula: object, values: list[float]) -> None:
    assert value_of(formula, HELD).tolist() == values


def test_half_a_truth_is_half_true() -> None:
    assert value_of(["or", "dog", "red"], {"dog": 0.5, "red": 0.5}) == 0.75


@pytest.mark.parametrize(
    ("formula", "reason"), [("cat", "no attribute 'cat'"), (["xor", "dog"], "operator 'xor'")]
)
def test_what_is_not_known_is_refused(formula: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        value_of(formula, HELD)


def test_attributes_of_a_formula_are_all_that_it_reads() -> None:
    formula = ["sum", [1.0, "a"], [2.0, ["and", "b", ["not", "c"], 0.5]]]
    assert attributes_of(formula) == {"a", "b", "c"}


def test_light_is_read_where_it_falls() -> None:
    grey = np.zeros((1, 4, 4))
    grey[:, :2, :2] = 1.0
    found = light_attributes(grey)
    assert {k: float(v[0]) for k, v in found.items() if k.startswith("bright")} == {
        "bright": 0.25, "bright left": 0.5, "bright right": 0, "bright top": 0.5,
        "bright bottom": 0,
    }  # fmt: skip


def test_grain_is_fine_where_neighbours_differ_in_that_direction() -> None:
    stripes = np.tile([[0.0, 1.0]], (1, 8, 4))
    found = light_attributes(stripes)
    assert found["fine grain across"][0] == 2.0
    assert found["fine grain down"][0] == 0.0
