"""Measure how well the developing half of the hard bench does what its formulas say.

For each kind: the correlation of a neuron's responses with its formula on the true attributes of
held-out pictures of the world. For a channel of a random network: its highest correlation with one
word of the world, either sign. The frozen half is not looked at::

    python scripts/bench/planted_fidelity.py
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np

from dnd_local.core.config import Execution
from dnd_local.core.formulas import value_of
from dnd_local.evaluate.hard_truth import (
    DEVELOPING,
    RANDOM,
    HardTruth,
    correlation,
    planted_neurons,
)
from dnd_local.evaluate.planted_truth import HARD
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.settings import default_data, make_config
from dnd_local.pocket import world
from dnd_local.pocket.words import vocabulary
from dnd_local.store.weights import default_root


def main() -> None:
    """Print the lowest, the median and the highest correlation of each kind."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=1500)
    count = parser.parse_args().pictures
    with tempfile.TemporaryDirectory() as workspace:
        execution = Execution(
            workspace=Path(workspace), weights=default_root(), data=default_data()
        )
        lab = Lab(make_config(HARD), execution)
        try:
            planted = planted_neurons(lab, DEVELOPING)
            shown = [
                np.asarray(world.picture(world.HELD_OUT_SEED, i)[0], dtype=np.uint8)
                for i in range(count)
            ]
            responses = lab.target.responses(shown, [DEVELOPING])[DEVELOPING].astype(np.float64)
        finally:
            lab.close()
    attributes = HardTruth(planted, count=count).attributes
    words = [attributes[concept.name] for concept in vocabulary().concepts()]
    by_kind: dict[str, list[float]] = defaultdict(list)
    for index, neuron in enumerate(planted):
        if neuron.formula is not None:
            wanted = neuron.sign * value_of(neuron.formula, attributes)
            by_kind[neuron.kind].append(correlation(wanted, responses[:, index]))
        elif neuron.kind == RANDOM:
            by_kind[neuron.kind].append(
                max(abs(correlation(word, responses[:, index])) for word in words)
            )
    print("| kind | neurons | lowest | median | highest |\n|---|---|---|---|---|")
    for kind, values in by_kind.items():
        low, middle, high = np.quantile(values, [0, 0.5, 1])
        print(f"| {kind} | {len(values)} | {low:.2f} | {middle:.2f} | {high:.2f} |")


if __name__ == "__main__":
    main()
