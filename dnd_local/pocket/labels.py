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
    more = {
        k: [w for w in spellings if w not in taken]
        for k, spellings in _FURTHER.items()
        if k not in taken
    }
    return concept_words(kinds, {**further, **more})


def readings(label: str) -> tuple[Formula, ...]:
    """Return every formula that a label can be read as; none where it has no word known here."""
    kept, *gone = _AWAY.split(label.lower())
    wanted, unwanted = _sets(kept), [reading for part in gone for reading in _sets(part)[:1]]
    if not wanted and not unwanted:
        return ()
    away = [["not", reading] for reading in unwanted]
    return tuple(_all([reading, *away]) for reading in wanted) or (_all(away),)


def _sets(text: str) -> list[Formula]:
    """Return the readings of a text without negation."""
    either = [reading for part in _EITHER.split(text) if (reading := _joined(part))]
    if len(either) < 2:
        return either[0] if either else []
    plain = [reading[0] for reading in either]
    return [["or", *plain], _all(plain)]


def _joined(text: str) -> list[Formula]:
    both = [reading for part in _BOTH.split(text) if (reading := _phrase(part)) is not None]
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
    return _all([alike[0] if len(alike) == 1 else ["or", *alike] for alike in by_kind.values()])


def _all(parts: list[Formula]) -> Formula:
    return parts[0] if len(parts) == 1 else ["and", *parts]


def true_attributes(attributes: list[Attributes], pixels: NDArray[np.uint8]) -> dict[str, Any]:
    """Return what is true of pictures, by attribute, shape (n,): what was drawn, not what is seen.

    Args:
        attributes: what each picture shows.
        pixels: the pictures, uint8 (n, height, width, 3), for what is read from light alone.
    """
    values: dict[str, Any] = {}
    shown = [one.concepts() for one in attributes]
    for concept in words.vocabulary().concepts():
        values[concept.name] = np.array(
            [concept in concepts for concepts in shown], dtype=np.float64
        )
    boxes = [np.array(one.boxes, dtype=np.float64).reshape(-1, 4) for one in attributes]
    middle = [
        (corners[:, :2] + corners[:, 2:]).mean(axis=0) / 2 if len(corners) else None
        for corners in boxes
    ]
    half = world.SIZE / 2

    def where(axis: int, sign: int) -> Array:
        return np.array([float(m is not None and sign * (m[axis] - half) > 0) for m in middle])

    values["object"] = np.array([float(len(corners) > 0) for corners in boxes])
    values["two"] = np.array([float(len(corners) > 1) for corners in boxes])
    values["left"], values["right"] = where(0, -1), where(0, 1)
    values["top"], values["bottom"] = where(1, -1), where(1, 1)
    sides = [(corners[:, 2] - corners[:, 0]).max() if len(corners) else 0.0 for corners in boxes]
    values["large"] = np.array([float(side > 0.72 * world.SIZE) for side in sides])
    grey = pixels.astype(np.float64).mean(axis=3) / 255
    return values | light_attributes(grey)
