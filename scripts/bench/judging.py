"""Measure on the embedded network, whose truth is known: who names it, and what verdicts are worth.

Describes every neuron of known meaning with a quarter of the probe set held out, lets CLIP-Dissect
under each of its similarities choose for the same neurons from the world's words and as many
others, and judges the run's labels and the same labels shuffled::

    python scripts/bench/judging.py --workspace DIR
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import get_args

import numpy as np
from sklearn.metrics import roc_auc_score

from dnd_local.cli.progress import ProgressLines
from dnd_local.core.config import Execution
from dnd_local.core.descriptions import DescriptionTable
from dnd_local.evaluate.baseline import clip_dissect
from dnd_local.evaluate.describers import table_of_run
from dnd_local.evaluate.held_out import judge_run
from dnd_local.evaluate.intervals import bootstrap, bootstrap_mean
from dnd_local.evaluate.planted_truth import Planted, of_pocket, planted_answers, read_truth
from dnd_local.evaluate.pocket_figures import canonical
from dnd_local.evaluate.verdicts import Verdict
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.reading import open_run
from dnd_local.pipeline.runner import dissect_neurons
from dnd_local.pipeline.selection import Selection
from dnd_local.pipeline.settings import default_data, make_config
from dnd_local.pocket.words import vocabulary
from dnd_local.stages.clip_dissect import Similarity
from dnd_local.store.weights import default_root

HOLDOUT = 0.25
OTHERS = (
    "chair", "guitar", "river", "mountain", "bridge", "clock", "shoe", "bottle", "book", "lamp",
    "horse", "fish", "airplane", "bicycle", "train", "bread", "cheese", "cactus", "mushroom",
    "saw", "ladder", "window", "zigzag background", "pink background", "turquoise background",
    "spiral background", "person", "building", "clothing", "furniture",
)  # fmt: skip
"""As many concepts that no picture of the world shows."""
SHUFFLES = 5


def shuffled(table: DescriptionTable, rng: random.Random) -> DescriptionTable:
    """Return the table with its labels dealt out anew among its neurons."""
    dealt = rng.sample([row.labels for row in table.rows], len(table.rows))
    rows = (replace(row, labels=labels) for row, labels in zip(table.rows, dealt, strict=True))
    return DescriptionTable("shuffled", tuple(rows))


def right(table: DescriptionTable, truth: Planted) -> list[float]:
    """Return 1 for each neuron whose first label names what it stands for, else 0."""
    return [float(answer.answer == "right") for answer in planted_answers(table, truth)]


def auc(good: Sequence[float], bad: Sequence[float]) -> float:
    """Return the AUC of support for true over false labels."""
    return float(roc_auc_score([1] * len(good) + [0] * len(bad), [*good, *bad]))


def abstained(verdicts: Sequence[Verdict]) -> list[float]:
    """Return 1 for each label that is no better than the null, else 0."""
    return [float(verdict.word == "abstained") for verdict in verdicts]


def measure(layer: str, execution: Execution, progress: ProgressLines) -> dict[str, object]:
    """Return every figure of a layer of the embedded network by its name."""
    config = make_config("pocket", options={"probe": {"holdout": HOLDOUT}})
    lab = Lab(config, execution)
    facts = read_truth(lab, "pocket")
    truth, known = of_pocket(facts), tuple(facts.known(layer))
    name = f"judging-{layer}"
    dissect_neurons(config, execution, Selection((layer,), known), name, progress)
    run = open_run(name, execution.workspace)
    ours = table_of_run(run)
    words = [canonical(concept) for concept in vocabulary().concepts()] + list(OTHERS)
    theirs = {
        f"clip-dissect.{kind}": clip_dissect(
            config, execution, Selection((layer,), known), words, kind
        )
        for kind in get_args(Similarity)
    }
    rng = random.Random(0)
    figures: dict[str, object] = {"neurons": len(known)}
    for who, table in {"dnd": ours, **theirs}.items():
        mixed = [shuffled(table, rng) for _ in range(SHUFFLES)]
        null = np.mean([right(deal, truth) for deal in mixed], axis=0)
        figures[f"{who}.right"] = bootstrap_mean(right(table, truth))
        figures[f"{who}.null"] = bootstrap_mean(null)
    answers = planted_answers(ours, truth)
    true = {answer.neuron for answer in answers if answer.answer == "right"}
    verdicts = judge_run(run, ours, progress=progress)
    good = [verdict.support for verdict in verdicts if verdict.neuron in true]
    bad: list[float] = []
    lost: list[float] = []
    for _ in range(SHUFFLES):
        table = shuffled(ours, rng)
        said = {answer.neuron: answer.answer for answer in planted_answers(table, truth)}
        judged = judge_run(run, table, progress=progress)
        bad += [verdict.support for verdict in judged if said[verdict.neuron] != "right"]
        lost += abstained(judged)
    figures["verdict.auc"] = bootstrap(auc, good, bad)
    figures["abstained.own"] = bootstrap_mean(abstained(verdicts))
    figures["abstained.shuffled"] = bootstrap_mean(lost)
    return figures


def main() -> None:
    """Print every figure as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--layers", nargs="+", default=["fc", "layer4"])
    given = parser.parse_args()
    execution = Execution(
        workspace=given.workspace, weights=default_root(), data=default_data()
    )  # fmt: skip
    with ProgressLines() as progress:
        figures = {layer: measure(layer, execution, progress) for layer in given.layers}
    print(json.dumps(figures, indent=2, default=asdict))


if __name__ == "__main__":
    main()
