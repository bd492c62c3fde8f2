"""What set of pictures a label describes: its words, read as a formula over attributes.

Words of the pocket world count, with those for place, size, number and light. `or` and commas join
sets; `not`, `without`, `except` and `but` take away what follows. `and` between two things is read
both ways (dogs and cats: pictures with both, or with either), and so is a list of colours: a label
has every reading that its words allow, and is not punished for the poverty of English.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dnd_local.core.concept_words import ConceptWords, concept_words
from dnd_local.core.formulas import Formula, light_attributes
from dnd_local.pocket import words, world
from dnd_local.pocket.world import Attributes

Array = NDArray[np.float64]

_FURTHER: Final[dict[str, tuple[str, ...]]] = {
    "left": ("left side", "left half"),
    "right": ("right side", "right half"),
    "top": ("upper", "upper half", "top half"),
    "bottom": ("lower", "lower half", "bottom half"),
    "large": ("big", "huge"),
    "small": ("tiny", "little"),
    "two": ("pair", "several", "multiple"),
    "object": ("objects", "thing", "things", "item", "items"),
    "bright": ("light", "brightness"),
    "dark": ("darkness", "dim"),
    "fine": ("detailed", "grainy", "texture", "textured", "fine grain"),
}
_MEANS: Final[dict[str, Formula]] = {
    "small": ["and", "object", ["not", "large"]],
    "fine": ["sum", [0.5, "fine grain across"], [0.5, "fine grain down"]],
    "dark": ["not", "bright"],
}
_AWAY: Final = re.compile(
    r"\b(?:not|no|without|except|excluding|but|other than|rather than)\b|\bnon-?(?=\w)"
)
_EITHER: Final = re.compile(r"\bor\b|[,/;]")
_BOTH: Final = re.compile(r"\band\b")


@cache
def _words() -> ConceptWords:
    known = words.all_words()
    further: dict[str, list[str]] = {name: [] for name in known.kinds}
    for word, concept in known.words.items():
        further[concept].append(word)
    kinds = {**known.kinds, **dict.fromkeys(_FURTHER, "further")}
    taken = set(known.words)
    more = {k: [w for w in own if w not in taken] for k, own in _FURTHER.items() if k not in taken}
    return concept_words(kinds, {**further, **more})


def readings(label: str) -> tuple[Formula, ...]:
    """Return every formula that a label can be read as; none where it has no word known here."""
    kept, *gone = _AWAY.split(label.lower())
    wanted, unwanted = _sets(kept), [own for part in gone for own in _sets(part)[:1]]
    if not wanted and not unwanted:
        return ()
    away = [["not", own] for own in unwanted]
    return tuple(_all([own, *away]) for own in wanted) or (_all(away),)


def _sets(text: str) -> list[Formula]:
    """Return the readings of a text without negation."""
    either = [own for part in _EITHER.split(text) if (own := _joined(part))]
    if len(either) < 2:
        return either[0] if either else []
    plain = [own[0] for own in either]
    return [["or", *plain], _all(plain)]


def _joined(text: str) -> list[Formula]:
    both = [own for part in _BOTH.split(text) if (own := _phrase(part)) is not None]
    if not both:
        return []
    return [_all(both), ["or", *both]] if len(both) > 1 else both


def _phrase(text: str) -> Formula | None:
    """Return the set of words side by side: all hold, but colours of one ground are a choice."""
    known = _words()
    names = known.named(text)
    if not names:
        return None
    if "bright" in names or "dark" in names:
        side = next((s for s in ("left", "right", "top", "bottom") if s in names), "")
        names = tuple(name for name in names if name != side)
        light = f"bright {side}".strip()
        shade = {"bright": light, "dark": ["not", light]}
        return _all([shade.get(name, name) for name in names])
    if len(names) > 1:
        names = tuple(name for name in names if name != "object")
    by_kind: dict[str, list[Formula]] = {}
    for name in names:
        alone = known.kinds[name] not in ("colour", "pattern")
        by_kind.setdefault(name if alone else known.kinds[name], []).append(_MEANS.get(name, name))
    return _all([own[0] if len(own) == 1 else ["or", *own] for own in by_kind.values()])


def _all(parts: list[Formula]) -> Formula:
    return parts[0] if len(parts) == 1 else ["and", *parts]


def true_attributes(attributes: list[Attributes], pixels: NDArray[np.uint8]) -> dict[str, Any]:
    """Return what is true of pictures, by attribute, shape (n,): what was drawn, not what is seen.

    Args:
        attributes: what each picture shows.
        pixels: the pictures, uint8 (n, height, width, 3), for what is read from light alone.
    """
    found: dict[str, Any] = {}
    shown = [own.concepts() for own in attributes]
    for concept in words.vocabulary().concepts():
        found[concept.name] = np.array([concept in own for own in shown], dtype=np.float64)
    boxes = [np.array(own.boxes, dtype=np.float64).reshape(-1, 4) for own in attributes]
    middle = [(own[:, :2] + own[:, 2:]).mean(axis=0) / 2 if len(own) else None for own in boxes]
    half = world.SIZE / 2

    def where(axis: int, sign: int) -> Array:
        return np.array([float(m is not None and sign * (m[axis] - half) > 0) for m in middle])

    found["object"] = np.array([float(len(own) > 0) for own in boxes])
    found["two"] = np.array([float(len(own) > 1) for own in boxes])
    found["left"], found["right"] = where(0, -1), where(0, 1)
    found["top"], found["bottom"] = where(1, -1), where(1, 1)
    sides = [(own[:, 2] - own[:, 0]).max() if len(own) else 0.0 for own in boxes]
    found["large"] = np.array([float(side > 0.72 * world.SIZE) for side in sides])
    grey = pixels.astype(np.float64).mean(axis=3) / 255
    return found | light_attributes(grey)
