"""Stage 0b: which neurons are worth describing, before any generation.

A neuron that never responds ties on every image, takes arbitrary exemplars and would get a
confident label; a duplicate costs its twin's price again. Both are named as such instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dnd_local.core.config import TriageConfig
from dnd_local.core.ledger import OURS, Ledger, Side
from dnd_local.core.records import LayerTriage, NeuronClass, Responses, Triage


@dataclass(slots=True)
class _Sums:
    """Running sums over the usable images, so that memory does not grow with the probe set."""

    images: int = 0
    skipped: int = 0
    low: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    high: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    active: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    shift: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    total: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    products: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))


@dataclass(frozen=True, slots=True, eq=False)
class _Spread:
    """What a class rests on: largest sizes and deviations (n_neurons,), and how neurons vary."""

    size: NDArray[np.float64]
    deviation: NDArray[np.float64]
    covariance: NDArray[np.float64]


def triage(
    layer: str, chunks: Iterable[Responses], config: TriageConfig, ledger: Ledger = OURS
) -> LayerTriage:
    """Return the class of every neuron of a layer, from one pass over its responses.

    Dead: no response of a size above `dead_below` on any image. Constant: a standard deviation
    below `constant_below` times the largest size. Duplicate: a correlation above
    `duplicate_above` with a live neuron of lower index. The released side of `ledger` sets no
    neuron aside: all count as live, their figures are the same.
    """
    sums = _Sums()
    kept_as = np.dtype(np.float16)
    for chunk in chunks:
        kept_as = max(kept_as, chunk.values.dtype)
        _add(sums, chunk.values.astype(np.float64), config.dead_below)
    n = max(sums.images, 1)
    mean = sums.total / n
    covariance = sums.products / n - np.outer(mean, mean)
    spread = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    mean = mean + sums.shift
    size = np.maximum(np.abs(sums.low), np.abs(sums.high))
    classes = _CLASSES[ledger.triage](_Spread(size, spread, covariance), config)
    neurons = []
    for i, (verdict, twin) in enumerate(classes):
        neurons.append(
            Triage(
                index=i,
                verdict=verdict,
                minimum=float(sums.low[i]),
                mean=float(mean[i]),
                maximum=float(sums.high[i]),
                spread=float(spread[i]),
                active_share=float(sums.active[i] / n),
                twin=twin,
            )
        )
    return LayerTriage(layer, tuple(neurons), sums.images, sums.skipped, kept_as.name)


_Class: TypeAlias = tuple[NeuronClass, int | None]


def _classed(spread: _Spread, config: TriageConfig) -> list[_Class]:
    """Return each neuron's class, and the index that a duplicate repeats."""
    dead = spread.size <= config.dead_below
    constant = ~dead & (spread.deviation <= config.constant_below * spread.size)
    alive = ~(dead | constant)
    twins = _twins(spread.covariance, spread.deviation, alive, config.duplicate_above)
    classes: list[_Class] = []
    for i in range(len(spread.size)):
        if dead[i]:
            classes.append(("dead", None))
        elif constant[i]:
            classes.append(("constant", None))
        elif i in twins:
            classes.append(("duplicate", twins[i]))
        else:
            classes.append(("live", None))
    return classes


def _unclassed(spread: _Spread, config: TriageConfig) -> list[_Class]:
    return [("live", None)] * len(spread.size)


_CLASSES: Final[Mapping[Side, Callable[[_Spread, TriageConfig], list[_Class]]]] = {
    "ours": _classed,
    "released": _unclassed,
}
"""Row 11 of the ledger."""


def _add(sums: _Sums, values: NDArray[np.float64], active_above: float) -> None:
    usable = values[~np.isnan(values).all(axis=1)]
    sums.skipped += len(values) - len(usable)
    if not len(usable):
        return
    # A neuron that is NaN on some images only is broken there: it counts as silent.
    usable = np.nan_to_num(usable, nan=0.0)
    if sums.images == 0:
        width = usable.shape[1]
        sums.low, sums.high = np.full(width, np.inf), np.full(width, -np.inf)
        sums.active, sums.total = np.zeros(width), np.zeros(width)
        sums.products = np.zeros((width, width))
        # Sums of squares about a typical value, not about 0: no cancellation for a large mean.
        sums.shift = usable.mean(axis=0)
    centred = usable - sums.shift
    sums.images += len(usable)
    sums.low = np.minimum(sums.low, usable.min(axis=0))
    sums.high = np.maximum(sums.high, usable.max(axis=0))
    sums.active += (usable > active_above).sum(axis=0)
    sums.total += centred.sum(axis=0)
    sums.products += centred.T @ centred


def _twins(
    covariance: NDArray[np.float64],
    spread: NDArray[np.float64],
    alive: NDArray[np.bool_],
    above: float,
) -> dict[int, int]:
    """Return, for each duplicate, the lowest live index it repeats."""
    twins: dict[int, int] = {}
    kept = np.zeros(len(alive), dtype=np.bool_)
    for i in np.flatnonzero(alive):
        earlier = np.flatnonzero(kept[:i])
        correlation = covariance[i, earlier] / (spread[i] * spread[earlier])
        matches = earlier[correlation > above]
        if len(matches):
            twins[int(i)] = int(matches[0])
        else:
            kept[i] = True
    return twins
