"""Measure what a verdict's null is worth, on the developing half of the hard bench.

CLIP-Dissect labels every neuron of the half from the concepts of the world and as many others. Its
labels are judged by held-out images alone: by the null that is shipped, and by one of the other
neurons' labels only, each as often as it is given. Neurons are judged all together, and in layers
of three drawn at random::

    python scripts/bench/verdict_nulls.py
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
from scipy import stats
from sklearn.metrics import roc_auc_score

from dnd_local.core.config import Execution
from dnd_local.core.records import Neuron
from dnd_local.evaluate.hard_bench import HOLDOUT, clip_concepts
from dnd_local.evaluate.hard_truth import (
    DEVELOPING,
    RANDOM,
    HardTruth,
    Outcome,
    PlantedNeuron,
    planted_neurons,
)
from dnd_local.evaluate.held_out import HeldOut
from dnd_local.evaluate.intervals import draw_counts
from dnd_local.evaluate.null_labels import NULL_LABELS, POOL, plain
from dnd_local.evaluate.null_tests import (
    CONSTANT_WORD,
    RESAMPLES,
    ProbeEvidence,
    judge,
    judge_on_probe,
)
from dnd_local.evaluate.planted_truth import HARD
from dnd_local.evaluate.response_measures import Array
from dnd_local.evaluate.verdicts import DECIDING
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.settings import default_data, make_config
from dnd_local.stages.clip_dissect import Similarity, describe
from dnd_local.store.weights import default_root

FEW = 3


@dataclass(frozen=True)
class Half:
    """The developing half: what was planted, the labels of it, and the evidence to judge them by.

    `neurons` has the columns judged; `real` is (n_held_out, n_all_neurons).
    """

    planted: Sequence[PlantedNeuron]
    neurons: Sequence[int]
    labels: dict[Similarity, list[str]]
    real: Array
    fits: dict[str, Array]


@dataclass(frozen=True)
class Ruled:
    """One label of one neuron: whether it is supported, and its support."""

    neuron: int
    supported: bool
    support: float


def read_half(workspace: Path, similarities: Sequence[Similarity]) -> Half:
    """Return the developing half with CLIP-Dissect's labels; no channel of a random network."""
    config = make_config(HARD, options={"probe": {"holdout": HOLDOUT}})
    lab = Lab(config, Execution(workspace=workspace, weights=default_root(), data=default_data()))
    try:
        planted = planted_neurons(lab, DEVELOPING)
        images = [np.asarray(image) for _, image in lab.read_ahead(list(range(len(lab.eligible))))]
        responses = lab.target.responses(images, [DEVELOPING])[DEVELOPING]
        embeddings = lab.embedder.embed_pictures(images)
        concepts, chooses, judges = clip_concepts(), lab.eligible, ~lab.eligible
        texts = lab.embedder.embed_texts(concepts)
        neurons = [Neuron(HARD, DEVELOPING, index) for index in range(len(planted))]
        labels = {
            similarity: [
                row.labels[0]
                for row in describe(
                    neurons, responses[chooses], embeddings[chooses], texts, concepts, similarity
                ).rows
            ]
            for similarity in similarities
        }
        held_out = HeldOut({DEVELOPING: responses[judges]}, embeddings[judges])
        fits = held_out.simulate([*concepts, CONSTANT_WORD, *POOL], lab)
    finally:
        lab.close()
    kept = [index for index, neuron in enumerate(planted) if neuron.kind != RANDOM]
    return Half(planted, kept, labels, responses[judges].astype(np.float64), fits)


def judged_now(half: Half, labels: Sequence[str], layer: Sequence[int]) -> list[Ruled]:
    """Return what the shipped verdicts say of the labels of the neurons of one layer."""
    verdicts = judge(
        [(DEVELOPING, index) for index in layer],
        [labels[index] for index in layer],
        ProbeEvidence(half.real[:, list(layer)], half.fits),
        None,
        pool=POOL,
    )
    return [
        Ruled(verdict.neuron, verdict.ruling == "supported", verdict.support)
        for verdict in verdicts
    ]


def judged_by_others(half: Half, labels: Sequence[str], layer: Sequence[int]) -> list[Ruled]:
    """Return the same by a null of the other neurons' labels; none in a layer of one label."""
    rng = np.random.default_rng(0)
    draws = draw_counts(len(half.real), RESAMPLES, rng)
    evidence = ProbeEvidence(half.real, half.fits)
    ruled = []
    for index in layer:
        others = [labels[other] for other in layer if plain(labels[other]) != plain(labels[index])]
        if len(others) > NULL_LABELS:
            others = list(rng.choice(others, size=NULL_LABELS, replace=False))
        if not others:
            continue
        measures = [
            measure
            for measure in judge_on_probe(
                evidence, index, labels[index], others, CONSTANT_WORD, draws
            )
            if measure.measure in DECIDING
        ]
        support = float(np.mean([measure.percentile for measure in measures]))
        ruled.append(Ruled(index, all(measure.clears for measure in measures), support))
    return ruled


def figures(half: Half, truth: HardTruth, labels: Sequence[str], ruled: Sequence[Ruled]) -> str:
    """Return the cells of one line of the table."""

    def share(chosen: Sequence[Ruled]) -> str:
        hits = sum(one.supported for one in chosen)
        if not chosen:
            return "none"
        ends = stats.binomtest(hits, len(chosen)).proportion_ci()
        return f"{hits} of {len(chosen)} ({100 * ends.low:.1f} to {100 * ends.high:.1f} %)"

    outcomes: list[Outcome] = [truth.grade(one.neuron, labels[one.neuron]).outcome for one in ruled]
    fakes = [one for one in ruled if half.planted[one.neuron].fake]
    right = [one for one, outcome in zip(ruled, outcomes, strict=True) if outcome == "right"]
    single = [one for one in right if half.planted[one.neuron].kind == "single"]
    clear = [
        (outcome == "right", one.support)
        for one, outcome in zip(ruled, outcomes, strict=True)
        if outcome in ("right", "wrong")
    ]
    area = roc_auc_score([hit for hit, _ in clear], [support for _, support in clear])
    return f"{share(fakes)} | {share(single)} | {share(right)} | {area:.3f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=60, help="layers of three neurons")
    parser.add_argument(
        "--similarities",
        nargs="+",
        choices=get_args(Similarity),
        default=["cosine-cubed", "wpmi", "soft-wpmi"],
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as workspace:
        half = read_half(Path(workspace), given.similarities)
    truth = HardTruth(half.planted)
    heads = (
        "labels of", "judged together", "null", "fakes supported",
        "right single concepts supported", "all right labels supported",
        "AUC of support, right over wrong",
    )  # fmt: skip
    print(f"| {' | '.join(heads)} |")
    print("|---|---|---|---|---|---|---|")
    rng = np.random.default_rng(0)
    threes = [rng.choice(half.neurons, FEW, replace=False).tolist() for _ in range(given.layers)]
    for similarity, labels in half.labels.items():
        for layers in ([list(half.neurons)], threes):
            for null, judged in (("other labels", judged_by_others), ("shipped", judged_now)):
                ruled = [one for layer in layers for one in judged(half, labels, layer)]
                cells = figures(half, truth, labels, ruled)
                print(f"| {similarity} | {len(layers[0])} | {null} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
