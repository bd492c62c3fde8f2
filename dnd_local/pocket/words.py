"""The words of the pocket world: its concepts, their categories, plurals and true synonyms.

Everything here is read from ``words.json``, so that the world grows by changing data only.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final, Literal

from dnd_local.core.concept_words import ConceptWords, concept_words

Kind = Literal["object", "category", "colour", "pattern"]

RGB = tuple[int, int, int]

KINDS: Final[tuple[Kind, ...]] = ("object", "colour", "pattern", "category")
"""The kinds of concept, in the order of the target's outputs."""


@dataclass(frozen=True, slots=True, order=True)
class Concept:
    """One thing that a neuron of this world can be about.

    Attributes:
        kind: What sort of concept it is.
        name: Its canonical word, for example ``dog`` or ``striped``.
    """

    kind: Kind
    name: str


@dataclass(frozen=True, slots=True)
class Thing:
    """An object or a category, with its grammatical forms.

    Attributes:
        name: The canonical word.
        category: The category's name; for a category, its own name.
        emoji: The code point of the sprite in hexadecimal; empty for a category.
        phrase: The word with its article, for example ``an apple``.
        plural: The plural.
        synonyms: Other words that mean the same, plural forms included.
    """

    name: str
    category: str
    emoji: str
    phrase: str
    plural: str
    synonyms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Colour:
    """A background colour.

    Attributes:
        name: The canonical word.
        base: The ground colour, RGB in 0..255.
        other: The colour of the pattern drawn on it, of the same hue.
        synonyms: Other words that mean the same.
    """

    name: str
    base: RGB
    other: RGB
    synonyms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pattern:
    """A background pattern.

    Attributes:
        name: The canonical adjective.
        noun: The plural noun, for example ``stripes``; None for the plain ground.
        synonyms: Other words that mean the same.
    """

    name: str
    noun: str | None
    synonyms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """All words of the world.

    Attributes:
        version: Raised whenever pictures or words change; part of every picture's seed.
        categories: The categories, in file order.
        objects: The objects, in file order, which is also the order of the sprite sheet.
        colours: The background colours.
        patterns: The background patterns.
    """

    version: int
    categories: tuple[Thing, ...]
    objects: tuple[Thing, ...]
    colours: tuple[Colour, ...]
    patterns: tuple[Pattern, ...]

    def concepts(self) -> tuple[Concept, ...]:
        """Return every concept, in the order of the target's outputs."""
        return (
            *(Concept("object", thing.name) for thing in self.objects),
            *(Concept("colour", colour.name) for colour in self.colours),
            *(Concept("pattern", pattern.name) for pattern in self.patterns),
            *(Concept("category", thing.name) for thing in self.categories),
        )


def _rgb(value: list[int]) -> RGB:
    red, green, blue = value
    return (red, green, blue)


def _thing(entry: dict[str, Any]) -> Thing:
    return Thing(
        name=entry["name"],
        category=entry.get("category", entry["name"]),
        emoji=entry.get("emoji", ""),
        phrase=entry["phrase"],
        plural=entry["plural"],
        synonyms=tuple(entry["synonyms"]),
    )


@cache
def vocabulary() -> Vocabulary:
    """Read the world's words from ``words.json``."""
    data = json.loads((files(__package__) / "words.json").read_text(encoding="utf-8"))
    return Vocabulary(
        version=data["version"],
        categories=tuple(_thing(entry) for entry in data["categories"]),
        objects=tuple(_thing(entry) for entry in data["objects"]),
        colours=tuple(
            Colour(
                entry["name"], _rgb(entry["base"]), _rgb(entry["other"]), tuple(entry["synonyms"])
            )
            for entry in data["colours"]
        ),
        patterns=tuple(
            Pattern(entry["name"], entry["noun"], tuple(entry["synonyms"]))
            for entry in data["patterns"]
        ),
    )


@cache
def all_words() -> ConceptWords:
    """Return every concept of the world with all words for it: plurals and synonyms too."""
    known = vocabulary()
    things = (*known.objects, *known.categories)
    further = {thing.name: (thing.plural, *thing.synonyms) for thing in things}
    further |= {colour.name: colour.synonyms for colour in known.colours}
    further |= {pattern.name: pattern.synonyms for pattern in known.patterns}
    return concept_words({concept.name: concept.kind for concept in known.concepts()}, further)


def mentions(text: str) -> tuple[Concept, ...]:
    """Find the concepts that a text names, by their words or true synonyms.

    Args:
        text: A caption, a phrase or a label; case does not matter.

    Returns:
        The concepts in the order of their first mention, without repeats.
    """
    by_name = {concept.name: concept for concept in vocabulary().concepts()}
    return tuple(by_name[name] for name in all_words().named(text))


def category_of(name: str) -> str:
    """Return the category of an object.

    Args:
        name: The object's canonical word.

    Raises:
        KeyError: If the world has no such object.
    """
    return {thing.name: thing.category for thing in vocabulary().objects}[name]
