"""The word lists count true synonyms, the longest first, and nothing else."""

from __future__ import annotations

import pytest

from dnd_local.pocket.words import Concept, all_words, category_of, mentions, vocabulary


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a dog on a striped red background", ["dog", "striped", "red"]),
        ("Puppies", ["dog"]),
        ("rocket ship", ["rocket"]),
        ("rocket and ship", ["rocket", "ship"]),
        ("polka dots", ["dotted"]),
        ("a grey chequered floor", ["gray", "checkered"]),
        ("cargo, scarred, carpet", []),
        ("foods and animals", ["food", "animal"]),
        ("dog, dogs and a doggy", ["dog"]),
        ("", []),
    ],
)
def test_mentions(text: str, found: list[str]) -> None:
    assert [concept.name for concept in mentions(text)] == found


def test_no_word_stands_for_two_concepts() -> None:
    words = vocabulary()
    forms: list[str] = []
    for thing in (*words.objects, *words.categories):
        forms += {thing.name, thing.plural, *thing.synonyms}
    for entry in (*words.colours, *words.patterns):
        forms += {entry.name, *entry.synonyms}
    assert len(forms) == len(set(forms))
    assert all(form == form.lower() for form in forms)


@pytest.mark.parametrize(
    ("label", "concept", "answer"),
    [
        ("dog", "dog", "right"),
        ("puppies on a red background", "dog", "right"),
        ("dog and rocket", "dog", "wrong"),
        ("cat", "dog", "wrong"),
        ("animals", "dog", "silent"),
        ("striped red background", "red", "right"),
        ("", "red", "silent"),
    ],
)
def test_naming_another_concept_of_the_kind_is_wrong(label: str, concept: str, answer: str) -> None:
    assert all_words().answer(label, concept) == answer


def test_every_concept_has_words() -> None:
    assert all_words().kinds == {c.name: c.kind for c in vocabulary().concepts()}


def test_every_object_has_a_known_category() -> None:
    words = vocabulary()
    known = {thing.name for thing in words.categories}
    assert {thing.category for thing in words.objects} == known
    assert category_of("umbrella") == "tool"
    with pytest.raises(KeyError):
        category_of("unicorn")


def test_concepts_come_in_the_order_of_the_outputs() -> None:
    words = vocabulary()
    concepts = words.concepts()
    assert concepts[0] == Concept("object", words.objects[0].name)
    assert concepts[-1] == Concept("category", words.categories[-1].name)
    assert len(concepts) == len(set(concepts))
