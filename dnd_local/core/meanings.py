"""Several meanings of one neuron: its exemplars in groups, and the label of each group."""

from __future__ import annotations

from dataclasses import dataclass

from dnd_local.core.cards import Card
from dnd_local.core.descriptions import Label
from dnd_local.core.ranking import LOWER_IS_BETTER
from dnd_local.core.records import Neuron, Rule


@dataclass(frozen=True, slots=True)
class ExemplarGroups(Card):
    """A neuron's exemplars in groups that look alike, by their places among the exemplars.

    The largest group comes first. `silhouette` is the mean silhouette coefficient of the grouping;
    0 where there is one group.
    """

    neuron: Neuron
    groups: tuple[tuple[int, ...], ...]
    silhouette: float = 0.0

    @property
    def several(self) -> bool:
        """Whether there is more than one group."""
        return len(self.groups) > 1


@dataclass(frozen=True, slots=True)
class Meaning(Card):
    """One meaning of a neuron: its label, the label's score, the places of its exemplars."""

    text: str
    score: float
    exemplars: tuple[int, ...]

    def __str__(self) -> str:
        places = ", ".join(str(place + 1) for place in self.exemplars)
        return f"{self.text} (exemplars {places})"


@dataclass(frozen=True, slots=True)
class Meanings(Card):
    """A neuron's meanings, best first; one or none where its groups mean the same."""

    neuron: Neuron
    meanings: tuple[Meaning, ...]

    def before(self, labels: list[Label], rule: Rule, count: int) -> list[Label]:
        """Return at most `count` labels: one that names every meaning, then those of the neuron.

        Its score is the worst of its parts'. Without several meanings the labels stay as they are.
        """
        if len(self.meanings) < 2:
            return labels
        scores = [meaning.score for meaning in self.meanings]
        worst = max(scores) if rule in LOWER_IS_BETTER else min(scores)
        joined = Label(" or ".join(meaning.text for meaning in self.meanings), worst)
        return [joined, *labels][:count]
