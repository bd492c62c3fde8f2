"""Which concepts a label names, and whether that is right."""

from __future__ import annotations

import pytest

from dnd_local.core.concept_words import concept_words
from dnd_local.core.errors import UserError

WORDS = concept_words(
    {"dog": "object", "cat": "object", "ship": "object", "rocket": "object", "red": "colour"},
    {"dog": ["puppy", "dogs"], "rocket": ["rocket ship"]},
)


@pytest.mark.parametrize(
    ("label", "concept", "answer"),
    [
        ("dog", "dog", "right"),
        ("Puppy  on red", "dog", "right"),
        ("dogs and puppies", "dog", "right"),
        ("dog and cat", "dog", "wrong"),
        ("cat", "dog", "wrong"),
        ("a rocket ship", "rocket", "right"),
        ("a rocket ship", "ship", "wrong"),
        ("red things", "dog", "silent"),
        ("hotdogs", "dog", "silent"),
        ("", "dog", "silent"),
        ("a dog", "red", "silent"),
    ],
)
def test_a_label_names_the_planted_concept_or_not(label: str, concept: str, answer: str) -> None:
    assert WORDS.answer(label, concept) == answer


def test_a_concept_that_was_never_planted_and_a_word_of_two_are_refused() -> None:
    with pytest.raises(UserError, match="'bird' is not among the 5"):
        WORDS.answer("dog", "bird")
    with pytest.raises(UserError, match="'pet' names both 'dog' and 'cat'"):
        concept_words({"dog": "object", "cat": "object"}, {"dog": ["pet"], "cat": ["Pet"]})


def test_concepts_come_in_the_order_of_their_first_mention() -> None:
    assert WORDS.named("A  cat, red dogs and a puppy") == ("cat", "red", "dog")
