"""Measure what each neuron of a target stands for, from the pictures' exact attributes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from shared import Pictures

from dnd_local.pocket.words import vocabulary

KNOWN_AUC = 0.9
TOP = 10
TOP_SHARE = 0.9


def auc(values: npt.NDArray[np.float32], labels: npt.NDArray[np.float32]) -> float:
    """Return the area under the ROC curve, ties counted half; 0.5 if one class is empty."""
    positive = int(labels.sum())
    negative = len(labels) - positive
    if not positive or not negative:
        return 0.5
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    total = float(ranks[labels > 0].sum())
    return (total - positive * (positive + 1) / 2) / (positive * negative)


def hidden_truth(
    values: npt.NDArray[np.float32], labels: npt.NDArray[np.float32]
) -> list[dict[str, Any]]:
    """Find the best concept of every neuron.

    Args:
        values: Responses, shape (pictures, neurons).
        labels: 1 where a concept holds, shape (pictures, concepts).

    Returns:
        One entry a neuron: ``best`` and its ``auc`` and ``top`` (share of the ten pictures of
        highest response that have it), and ``concept``, which is None unless both are high.
    """
    concepts = vocabulary().concepts()
    table = []
    for neuron in range(values.shape[1]):
        column = values[:, neuron]
        areas = [auc(column, labels[:, place]) for place in range(len(concepts))]
        best = int(np.argmax(areas))
        highest = np.argsort(-column, kind="stable")[:TOP]
        top = float(labels[highest, best].mean())
        known = areas[best] >= KNOWN_AUC and top >= TOP_SHARE
        table.append(
            {
                "neuron": neuron,
                "best": concepts[best].name,
                "kind": concepts[best].kind,
                "auc": round(areas[best], 4),
                "top": round(top, 2),
                "concept": concepts[best].name if known else None,
            }
        )
    return table


def truth_table(hidden: npt.NDArray[np.float32], data: Pictures) -> dict[str, Any]:
    """Return the content of a target's ``truth.json``; `hidden` is (pictures, neurons)."""
    concepts = vocabulary().concepts()
    return {
        "pictures": len(data.attributes),
        "known_auc": KNOWN_AUC,
        "known_top_share": TOP_SHARE,
        "fc": [
            {"neuron": place, "concept": concept.name, "kind": concept.kind}
            for place, concept in enumerate(concepts)
        ],
        "layer4": hidden_truth(hidden, data.labels(concepts)),
    }
