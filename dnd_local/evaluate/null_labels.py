"""What a label is compared with: labels of other neurons, and a fixed pool of concepts.

A null must hold labels that are wrong. "Scarlet background" on another neuron is no wrong label of
a neuron for red, so near-synonyms stay out: texts that say the same in other words, and texts that
describe the same images. The pool sees to it that three neurons have enough to be compared with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from dnd_local.core.concept_words import content_words
from dnd_local.evaluate.response_measures import Array

NEAR: Final = 0.7
"""Two texts whose fit to the held-out images correlates this much describe the same images."""

NULL_LABELS: Final = 200
"""Labels that make the null, at most."""

POOL: Final = (
    "dog", "cat", "bird", "fish", "horse", "insect", "snake", "sheep", "elephant", "person",
    "face", "hand", "eye", "crowd", "child", "car", "bus", "bicycle", "airplane", "boat", "train",
    "wheel", "road", "bridge", "building", "house", "door", "window", "staircase", "fence",
    "tower", "room", "kitchen", "bed", "chair", "table", "lamp", "clock", "book", "computer",
    "screen", "keyboard", "telephone", "camera", "bottle", "cup", "plate", "knife", "food",
    "bread", "fruit", "vegetable", "meat", "cake", "tree", "flower", "leaf", "grass", "forest",
    "mountain", "river", "sea", "beach", "snow", "sky", "cloud", "fire", "rock", "sand",
    "shirt", "hat", "shoe", "bag", "jewellery", "ball", "guitar", "toy", "umbrella", "tool",
    "machine", "box", "text", "sign", "flag", "stripes", "dots", "grid", "spiral", "fur",
    "metal", "wood", "water", "glass", "red", "green", "blue", "yellow", "black", "white",
    "darkness",
)  # fmt: skip
"""A hundred things, textures and colours that photographs show."""


def null_labels(
    label: str,
    labels: Sequence[str],
    fits: Mapping[str, Array],
    pool: Sequence[str],
    rng: np.random.Generator,
) -> list[str]:
    """Return the texts of `labels` and `pool` that may stand for a wrong label, each once.

    Args:
        label: the label that is judged.
        labels: those of all neurons of the layer; at most `NULL_LABELS` are drawn.
        fits: how well each text fits each held-out image, shape (n_images,); a text without an
            entry is told apart by its words alone.
        pool: further texts.
        rng: draws where there are too many.
    """
    distinct = {plain(other): other for other in reversed(labels)}
    others = [other for other in reversed(distinct.values()) if not near(label, other, fits)]
    if len(others) > NULL_LABELS:
        chosen = rng.choice(len(others), size=NULL_LABELS, replace=False)
        others = [others[i] for i in sorted(chosen)]
    added = [
        pooled for pooled in pool if plain(pooled) not in distinct and not near(label, pooled, fits)
    ]
    return others + added


def near(one: str, other: str, fits: Mapping[str, Array]) -> bool:
    """Return whether two texts are too close for one to be a wrong label where the other is right.

    They are if the words of one are among the other's, forms of words and filler aside, or if
    their fit to the held-out images correlates by `NEAR` or more.
    """
    words, others = content_words(one), content_words(other)
    if plain(one) == plain(other):
        return True
    if words and others and (words <= others or others <= words):
        return True
    if one not in fits or other not in fits:
        return False
    left, right = fits[one], fits[other]
    if np.ptp(left) == 0 or np.ptp(right) == 0:
        return False
    return bool(np.corrcoef(left, right)[0, 1] >= NEAR)


def plain(label: str) -> str:
    """Return a label in lower case with single blanks."""
    return " ".join(label.lower().split())
