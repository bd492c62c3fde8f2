"""The hard bench's truth: does the set of pictures that a label describes predict the neuron?

A planted neuron's meaning is a formula over attributes of pictures. A label is read as formulas
too (`pocket.labels`), and both are worked out on pictures of the world whose every attribute is
known. What counts is their correlation over these pictures, in units of the highest that any set
of pictures can reach: right from `RIGHT` on, partly right from `PARTLY` on, otherwise wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from dnd_local.core.errors import UnknownName
from dnd_local.core.formulas import value_of
from dnd_local.evaluate.planted_truth import HARD
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.opening import POCKET_TARGETS
from dnd_local.pocket import world
from dnd_local.pocket.labels import readings, true_attributes

Array: TypeAlias = NDArray[np.float64]
Outcome: TypeAlias = Literal["right", "partly", "wrong", "none"]

DEVELOPING, FROZEN = "developing", "frozen"

RIGHT: Final = 0.9
PARTLY: Final = 0.25
PICTURES: Final = 2000
"""Held-out pictures of the world on which formulas and labels are compared."""

FAKES: Final = ("noise", "sparse noise", "shuffled")
"""The kinds of neurons that mean nothing."""
RANDOM: Final = "random network"
"""Channels of a network with random weights: what they mean is what they respond to."""


class PlantedNeuron(msgspec.Struct, frozen=True):
    """What was planted in one neuron: its kind and its formula, None where it has none."""

    kind: str
    noise: float
    sign: int = 1
    formula: Any = None

    @property
    def fake(self) -> bool:
        """Whether no label can be right."""
        return self.kind in FAKES


@dataclass(frozen=True, slots=True)
class Graded:
    """How a label fares: its outcome, and its correlation in units of the best possible."""

    outcome: Outcome
    fit: float


def planted_neurons(lab: Lab, layer: str) -> tuple[PlantedNeuron, ...]:
    """Return what was planted in the neurons of a half of the hard bench.

    Raises:
        MissingWeights: the target is not there.
        UnknownName: no such half.
    """
    path = lab.weights.folder(POCKET_TARGETS[HARD]) / "config.json"
    layers = msgspec.json.decode(path.read_bytes(), type=dict[str, msgspec.Raw])["layers"]
    halves = msgspec.json.decode(layers, type=dict[str, tuple[PlantedNeuron, ...]])
    if layer not in halves:
        raise UnknownName("half", layer, halves, f"There are {' and '.join(halves)}.")
    return halves[layer]


class HardTruth:
    """The pictures of known attributes, and what labels and neurons are on them.

    Args:
        responses: of neurons without a formula that are not fake, by index, to the pictures.
        neurons: what was planted.
        count: how many of `shown_pictures` to compare on.
    """

    def __init__(
        self,
        neurons: Sequence[PlantedNeuron],
        responses: Mapping[int, Array] | None = None,
        count: int = PICTURES,
    ) -> None:
        self._neurons, self._responses, self._count = neurons, responses or {}, count
        self._sets: dict[str, list[Array]] = {}

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """What is true of every picture, by attribute, shape (n,)."""
        shown = [world.picture(world.HELD_OUT_SEED, index) for index in range(self._count)]
        pixels = np.stack([np.asarray(image, dtype=np.uint8) for image, _ in shown])
        return true_attributes([drawn for _, drawn in shown], pixels)

    def grade(self, neuron: int, label: str) -> Graded:
        """Return how a label fares; without a label the outcome is none."""
        if not label:
            return Graded("none", 0.0)
        planted = self._neurons[neuron]
        if planted.fake:
            return Graded("wrong", 0.0)
        values = self._values(neuron)
        fits = [correlation(described, values) for described in self._described(label)]
        fit = max(fits, default=0.0) / best_correlation(values)
        outcome: Outcome = "right" if fit >= RIGHT else "partly" if fit >= PARTLY else "wrong"
        return Graded(outcome, fit)

    def _values(self, neuron: int) -> Array:
        """Return what the neuron would be without noise, on every picture."""
        if neuron in self._responses:
            return np.asarray(self._responses[neuron], dtype=np.float64)
        planted = self._neurons[neuron]
        values = planted.sign * value_of(planted.formula, self.attributes)
        return np.asarray(values, dtype=np.float64)

    def _described(self, label: str) -> list[Array]:
        """Return the set of pictures that a label describes, one for each reading."""
        if label not in self._sets:
            self._sets[label] = [value_of(reading, self.attributes) for reading in readings(label)]
        return self._sets[label]


def correlation(one: Array, other: Array) -> float:
    """Return Pearson's correlation of two (n,); 0 where one of them is constant."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


def best_correlation(values: Array) -> float:
    """Return the highest correlation that a set of images can have with values (n,).

    The best set of any size holds the highest values; 1 where the values are two numbers only.
    """
    falling = np.sort(values)[::-1] - values.mean()
    n = len(falling)
    sizes = np.arange(1, n)
    covariances = np.cumsum(falling)[:-1] / n
    spreads = np.sqrt(sizes / n * (1 - sizes / n)) * values.std()
    return float(np.max(covariances / spreads)) if values.std() > 0 else 1.0
