"""The labels of neurons: a run's descriptions, and the tables in which describers are compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from dnd_local.core.cards import Card
from dnd_local.core.harmless import html_text
from dnd_local.core.records import Neuron, Rule

Status: TypeAlias = Literal["described", "dead", "constant", "duplicate", "abstained", "failed"]


SAME_CONCEPT: Final = 0.9
"""The cosine from which two labels are taken for one concept, if nothing else is said."""


@dataclass(frozen=True, slots=True)
class Label(Card):
    """One short text and its score under the run's rule."""

    text: str
    score: float


@dataclass(frozen=True, slots=True)
class Description(Card):
    """The labels of a neuron, best first, three at most, with where their evidence lies.

    `keys` names, for each stage, the key of the parts that this description rests on.
    """

    neuron: Neuron
    status: Status
    labels: tuple[Label, ...]
    rule: Rule
    reason: str = ""
    keys: tuple[tuple[str, str], ...] = ()

    @property
    def title(self) -> str:
        """The first label, or why there is none in a word."""
        return self.labels[0].text if self.labels else self.status

    def _repr_html_(self) -> str:
        place = f"{self.neuron.target} · {self.neuron.layer} · neuron {self.neuron.index}"
        labels = " · ".join(f"{label.text} ({label.score:.3g})" for label in self.labels)
        lines = (
            ("opacity: .7; font-size: .85em", place),
            ("font-size: 1.4em; font-weight: 600", self.title),
            ("opacity: .8", labels or self.reason),
        )
        return "".join(
            f"<div style='{style}'><bdi>{html_text(text)}</bdi></div>" for style, text in lines
        )


@dataclass(frozen=True, slots=True)
class DescriptionRow(Card):
    """One neuron's labels as some describer wrote them; the currency of every comparison."""

    describer: str
    target: str
    layer: str
    neuron: int
    labels: tuple[str, ...]
    scores: tuple[float, ...]
    status: Status


@dataclass(frozen=True, slots=True)
class DescriptionTable(Card):
    """What compare, evaluate, report, baselines and imports share: rows of one describer."""

    describer: str
    rows: tuple[DescriptionRow, ...]

    def of_layer(self, layer: str) -> DescriptionTable:
        """Return the rows of one layer."""
        return DescriptionTable(self.describer, tuple(r for r in self.rows if r.layer == layer))
