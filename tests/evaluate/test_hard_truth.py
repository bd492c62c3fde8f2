"""The hard bench's truth: sets of pictures decide, not words."""

from __future__ import annotations

import numpy as np
import pytest

from dnd_local.core.config import Execution
from dnd_local.core.errors import UnknownName
from dnd_local.evaluate.hard_truth import (
    HardTruth,
    PlantedNeuron,
    best_correlation,
    correlation,
    planted_neurons,
)
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.settings import make_config
from dnd_local.store.weights import default_root

NEURONS = (
    PlantedNeuron("single", 0.1, formula="dog"),
    PlantedNeuron("disjunction of two", 0.1, formula=["or", "red", "green"]),
    PlantedNeuron("conjunction", 0.1, formula=["and", "animal", "striped"]),
    PlantedNeuron("negation", 0.1, formula=["not", "black"]),
    PlantedNeuron("noise", 1.0),
    PlantedNeuron("random network", 0.0),
    PlantedNeuron("single", 0.1, sign=-1, formula="dog"),
    PlantedNeuron("position", 0.1, formula=["sum", [1.0, "bright left"], [-0.5, "bright"]]),
)


@pytest.fixture(scope="module")
def truth() -> HardTruth:
    count = 300
    known = HardTruth(NEURONS, {}, count).attributes
    return HardTruth(NEURONS, {5: known["bright"]}, count)


@pytest.mark.parametrize(
    ("neuron", "label", "outcome"),
    [
        (0, "dogs", "right"), (0, "dog or cat", "partly"), (0, "animal", "partly"),
        (0, "ship", "wrong"), (0, "guitar", "wrong"), (0, "", "none"),
        (1, "red or green background", "right"), (1, "red", "partly"), (1, "dog", "wrong"),
        (2, "animal on a striped background", "right"), (2, "striped background", "partly"),
        (3, "not black", "right"), (3, "orange background", "wrong"), (3, "black", "wrong"),
        (4, "dog", "wrong"), (4, "", "none"),
        (5, "white background", "partly"), (5, "black background", "wrong"),
        (6, "dog", "wrong"), (6, "no dog", "right"),
    ],
)  # fmt: skip
def test_outcomes(truth: HardTruth, neuron: int, label: str, outcome: str) -> None:
    assert truth.grade(neuron, label).outcome == outcome, truth.grade(neuron, label)


def test_the_best_set_of_a_two_valued_neuron_is_the_neuron() -> None:
    assert best_correlation(np.array([0.0, 1, 1, 0, 0])) == pytest.approx(1.0)
    assert best_correlation(np.zeros(4)) == 1.0


def test_the_best_set_is_the_best_of_all_sets() -> None:
    values = np.random.default_rng(0).normal(size=9)
    sets = [np.array([(n >> i) & 1 for i in range(9)], dtype=np.float64) for n in range(1, 511)]
    assert best_correlation(values) == pytest.approx(max(correlation(s, values) for s in sets))


def test_the_shipped_neurons_can_be_told_right(tmp_path) -> None:
    lab = Lab(
        make_config("pocket-hard"),
        Execution(workspace=tmp_path, weights=default_root(), data=tmp_path),
    )
    planted = planted_neurons(lab, "developing")
    truth = HardTruth(planted, {}, 60)
    index = next(i for i, own in enumerate(planted) if own.formula == "red")
    assert truth.grade(index, "red").outcome == "right"
    for i, own in enumerate(planted):
        if own.formula is not None:
            assert truth.grade(i, "guitar").outcome == "wrong", own
    with pytest.raises(UnknownName, match="developing"):
        planted_neurons(lab, "both")
