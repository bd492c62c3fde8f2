"""The kinds of CSV file in which people keep descriptions of neurons, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dnd_local.core.cards import Card


@dataclass(frozen=True, slots=True)
class Format(Card):
    """How one kind of file names its columns (lower case); `first` is the id of neuron 0.

    `labels` and `scores` are read in their order. With `stacked`, a neuron has one row a label
    (three annotators make three rows); otherwise a second row of a neuron is a duplicate.
    """

    name: str
    columns: frozenset[str]
    neuron: str
    labels: tuple[str, ...]
    scores: tuple[str, ...] = ()
    layer: str = ""
    first: int = 0
    stacked: str = ""


_THREE = ("label 1", "label 2", "label 3")
_OWN_LABELS = ("label_1", "label_2", "label_3")
_OWN_SCORES = ("score_1", "score_2", "score_3")

FORMATS: Final = (
    Format(
        "dnd-local",
        frozenset({"describer", "target", "layer", "neuron", "status", *_OWN_LABELS}),
        "neuron",
        _OWN_LABELS,
        _OWN_SCORES,
        "layer",
    ),
    Format("DnD release", frozenset({"neuron id", "label 1"}), "neuron id", _THREE),
    Format("DnD release, last layer", frozenset({"neuron id", "label"}), "neuron id", ("label",)),
    Format(
        "MILANNOTATIONS",
        frozenset({"layer", "unit", "summary"}),
        "unit",
        ("summary",),
        layer="layer",
        stacked="annotations",
    ),
    Format(
        "CLIP-Dissect",
        frozenset({"layer", "unit", "description", "similarity"}),
        "unit",
        ("description",),
        ("similarity",),
        layer="layer",
    ),
    Format(
        "MILAN",
        frozenset({"layer", "unit", "description"}),
        "unit",
        ("description",),
        layer="layer",
    ),
    Format(
        "NetDissect",
        frozenset({"unit", "category", "label", "score"}),
        "unit",
        ("label",),
        ("score",),
        first=1,
    ),
)
"""Every format that is read, the most particular first."""
