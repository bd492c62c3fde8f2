"""The small grammar of the pocket world: what can be said about a picture.

Full captions name every object, the colour and the pattern. Partial ones say less, as labels
do, so that a painter or an embedder has met every kind of label that can be asked of it.
"""

from __future__ import annotations

import random
from typing import Final

from dnd_local.pocket.words import KINDS, Kind, Thing, mentions, vocabulary
from dnd_local.pocket.world import Attributes

_JOINS: Final = (" and ", " and ", " next to ", " beside ", " with ")
_SCENES: Final = (
    "{what} on {where}",
    "{what} on {where}",
    "{what} in front of {where}",
    "there is {what} on {where}",
    "a picture of {what} on {where}",
    "{what} with {where}",
)
_GROUNDS: Final = ("{where}", "{where}", "there is {where}", "a picture of {where}")
_PICTURE: Final = "one realistic picture of {label}"


def _thing(name: str) -> Thing:
    return next(thing for thing in vocabulary().objects if thing.name == name)


def _article(text: str) -> str:
    return f"{'an' if text[0] in 'aeiou' else 'a'} {text}"


def ground(colour: str, pattern: str) -> str:
    """Return the plainest words for a background, for example ``striped red background``."""
    return f"{pattern} {colour} background"


def _ground_forms(colour: str, pattern: str, rng: random.Random) -> str:
    """Name a background in one of several ways, article included."""
    noun = next(entry.noun for entry in vocabulary().patterns if entry.name == pattern)
    forms = [_article(ground(colour, pattern))] * 4
    forms.append(f"a {pattern} background in {colour}")
    if noun is not None:
        forms.append(f"{_article(colour)} background with {noun}")
    return rng.choice(forms)


def full_caption(attributes: Attributes, rng: random.Random) -> str:
    """Say everything there is to say about a picture.

    Args:
        attributes: What the picture shows.
        rng: Chooses the wording.

    Returns:
        One lower-case sentence without a full stop.
    """
    where = _ground_forms(attributes.colour, attributes.pattern, rng)
    if not attributes.objects:
        return rng.choice(_GROUNDS).format(where=where)
    what = rng.choice(_JOINS).join(_thing(name).phrase for name in attributes.objects)
    return rng.choice(_SCENES).format(what=what, where=where)


def plain_caption(attributes: Attributes) -> str:
    """Return the one wording that a picture gets where variety is not wanted.

    It has five words at least: the method asks a captioner for so many tokens.
    """
    where = _article(ground(attributes.colour, attributes.pattern))
    if not attributes.objects:
        return f"there is {where}"
    return f"{' and '.join(_thing(name).phrase for name in attributes.objects)} on {where}"


def short_phrase(attributes: Attributes) -> str:
    """Return a caption without its filler, for example ``dog, striped red background``."""
    return ", ".join((*attributes.objects, ground(attributes.colour, attributes.pattern)))


def label(attributes: Attributes, rng: random.Random) -> str:
    """Say one true thing about a picture in a few words, as a label would.

    Args:
        attributes: What the picture shows.
        rng: Chooses what to say and how.

    Returns:
        An object, a category, a colour, a pattern, or a colour and a pattern.
    """
    colour, pattern = attributes.colour, attributes.pattern
    noun = next(entry.noun for entry in vocabulary().patterns if entry.name == pattern)
    grounds = {
        "colour": (
            f"{colour} background",
            f"{_article(colour)} background",
            colour,
            f"{colour} backgrounds",
        ),
        "pattern": (
            f"{pattern} background",
            f"a {pattern} background",
            pattern,
            noun or f"{pattern} backgrounds",
            f"{pattern} pattern",
        ),
        "both": (ground(colour, pattern), _article(ground(colour, pattern)), f"{pattern} {colour}"),
    }
    kinds = ["colour", "pattern", "both"]
    if attributes.objects:
        kinds += ["object", "object", "category", "mixed"]
    kind = rng.choice(kinds)
    if kind in grounds:
        return rng.choice(grounds[kind])
    thing = _thing(rng.choice(attributes.objects))
    if kind == "object":
        return rng.choice((thing.name, thing.phrase, thing.name, thing.plural))
    if kind == "category":
        words = vocabulary().categories
        family = next(entry for entry in words if entry.name == thing.category)
        return rng.choice((family.name, family.phrase, family.plural))
    if len(attributes.objects) == 2 and rng.random() < 0.5:
        return " and ".join(attributes.objects)
    behind = rng.choice((f"{colour} background", f"{pattern} background"))
    return f"{thing.name} on {_article(behind)}"


def named_exactly(text: str, attributes: Attributes) -> dict[Kind, bool]:
    """Return, by kind, whether a text names every such concept of a picture and no other."""
    named = set(mentions(text))
    return {
        kind: {c for c in named if c.kind == kind}
        == {c for c in attributes.concepts() if c.kind == kind}
        for kind in KINDS
    }


def prompt(attributes: Attributes, rng: random.Random) -> str:
    """Return what a painter may be asked, of which the picture is a right answer.

    Half of the prompts carry the wording of ``prompts/picture.txt``.
    """
    said = full_caption(attributes, rng) if rng.random() < 0.55 else label(attributes, rng)
    return _PICTURE.format(label=said) if rng.random() < 0.5 else said


def corpus() -> tuple[str, ...]:
    """Return sentences that hold every word of the grammar, for building tokenizers."""
    words = vocabulary()
    rng = random.Random(0)
    said: list[str] = []
    for number in range(4000):
        pair = rng.sample([thing.name for thing in words.objects], 2)[: number % 3]
        boxes = ((0, 0, 1, 1),) * len(pair)
        shown = Attributes(
            tuple(pair), boxes, rng.choice(words.colours).name, rng.choice(words.patterns).name
        )
        said += [prompt(shown, rng), full_caption(shown, rng), label(shown, rng)]
    for thing in (*words.objects, *words.categories):
        said += [thing.name, thing.plural, *thing.synonyms]
    for colour in words.colours:
        said += [colour.name, *colour.synonyms]
    for pattern in words.patterns:
        said += [pattern.name, *pattern.synonyms]
    return tuple(said)
