"""How well the support of verdicts tells right labels from wrong ones."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from dnd_local.evaluate.intervals import RESAMPLES, Interval, draw_counts, percentile_interval
from dnd_local.evaluate.response_measures import pictured_figure, weighted_pictured

_Item = TypeVar("_Item")


def auc_figure(good: ArrayLike, bad: ArrayLike, seed: int = 0) -> Interval:
    """Return the chance that a right label has more support than a wrong one, ties one half.

    The 95 % interval is a percentile bootstrap over right and over wrong labels.
    """
    one, other = np.asarray(good, dtype=np.float64), np.asarray(bad, dtype=np.float64)
    rng = np.random.default_rng(seed)
    weights = [draw_counts(values.size, RESAMPLES, rng) for values in (one, other)]
    low, high = percentile_interval(weighted_pictured("auc", one, other, *weights))
    value = pictured_figure("auc", one, other)
    return Interval(value, low, high, one.size + other.size)


def covered(supports: Sequence[float], items: Sequence[_Item], coverage: float) -> list[_Item]:
    """Return the items of highest support, a share `coverage` of all; ties keep their order."""
    order = np.argsort(-np.asarray(supports), kind="stable")
    return [items[i] for i in order[: max(1, round(coverage * len(items)))]]


def risk_coverage(supports: Sequence[float], right: Sequence[bool]) -> list[tuple[float, float]]:
    """Return (coverage, share not right) for every number of labels kept, best supported first."""
    wrong = np.cumsum([not hit for hit in covered(supports, right, 1.0)])
    counts = np.arange(1, len(right) + 1)
    return list(zip((counts / len(right)).tolist(), (wrong / counts).tolist(), strict=True))


def reliability(
    supports: Sequence[float], right: Sequence[bool], edges: Sequence[float]
) -> list[tuple[float, float, int]]:
    """Return (mean support, share right, count) of the labels in each bin of support."""
    values, truth = np.asarray(supports), np.asarray(right, dtype=np.float64)
    rows = []
    for low, high in pairwise(edges):
        inside = (values >= low) & ((values < high) | (high == edges[-1]))
        if inside.any():
            rows.append(
                (float(values[inside].mean()), float(truth[inside].mean()), int(inside.sum()))
            )
    return rows
