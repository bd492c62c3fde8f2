"""What set of pictures a label describes."""

from __future__ import annotations

import numpy as np
import pytest

from dnd_local.core.formulas import value_of
from dnd_local.pocket import world
from dnd_local.pocket.labels import readings, true_attributes
from dnd_local.pocket.words import vocabulary

PICTURES = [world.picture(world.HELD_OUT_SEED, index) for index in range(40)]
ATTRIBUTES = [own for _, own in PICTURES]
TRUE = true_attributes(ATTRIBUTES, np.stack([np.asarray(image) for image, _ in PICTURES]))


@pytest.mark.parametrize(
    ("label", "formula"),
    [
        ("dog", "dog"),
        ("Puppies" if "puppies" in str(vocabulary()) else "dogs", "dog"),
        ("red background", "red"),
        ("striped red background", ["and", "striped", "red"]),
        ("dog on a red background", ["and", "dog", "red"]),
        ("red or green background", ["or", "red", "green"]),
        ("dog, cat or ship", ["or", "dog", "cat", "ship"]),
        ("not red", ["not", "red"]),
        ("animals without dogs", ["and", "animal", ["not", "dog"]]),
        ("animals except dogs and cats", ["and", "animal", ["not", ["and", "dog", "cat"]]]),
        ("two objects", "two"),
        ("a large dog", ["and", "large", "dog"]),
        ("small object", ["and", "object", ["not", "large"]]),
        ("bright left half", "bright left"),
        ("dark top", ["not", "bright top"]),
        ("red green background", ["or", "red", "green"]),
    ],
)
def test_a_label_has_the_reading_that_people_give_it(label: str, formula: object) -> None:
    wanted = value_of(formula, TRUE)
    assert any(np.array_equal(value_of(own, TRUE), wanted) for own in readings(label)), readings(
        label
    )


def test_and_is_read_both_ways() -> None:
    assert readings("dogs and cats") == (["and", "dog", "cat"], ["or", "dog", "cat"])


@pytest.mark.parametrize("label", ["", "guitar", "a picture", "and or not"])
def test_a_label_without_a_word_of_the_world_describes_nothing(label: str) -> None:
    assert readings(label) == ()


def test_attributes_are_what_was_drawn() -> None:
    for row, own in enumerate(ATTRIBUTES):
        for concept in vocabulary().concepts():
            assert TRUE[concept.name][row] == (concept in own.concepts())
        assert TRUE["object"][row] == (len(own.objects) > 0)
        assert TRUE["two"][row] == (len(own.objects) == 2)
        if len(own.boxes) == 1:
            x0, y0, x1, y1 = own.boxes[0]
            assert TRUE["left"][row] == (x0 + x1 < world.SIZE)
            assert TRUE["bottom"][row] == (y0 + y1 > world.SIZE)
            assert TRUE["large"][row] == (x1 - x0 > 0.72 * world.SIZE)
