"""Stage 0b: which neurons are worth describing, before any generation.

A neuron that never responds ties on every image, takes arbitrary exemplars and would get a
confident label; a duplicate costs its twin's price again. Both are named as such instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dnd_local.core.config import TriageConfig
from dnd_local.core.ledger import OURS, Ledger, Side
from dnd_local.core.records import LayerTriage, NeuronClass, Responses, Triage

WIDE: Final = 4096
"""Neurons of a layer whose products are all held at once: 128 MiB."""

BLOCK: Final = 1024
"""Neurons of a wider layer whose products with those before them are held at once."""


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
    squares: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))


@dataclass(frozen=True, slots=True, eq=False)
class _Spread:
    """What a class rests on: largest sizes and deviations (n_neurons,), and how neurons vary.

    `covariances` yields blocks of the covariance in order: the first neuron of the block, then
    (neurons of the block, neurons up to its last).
    """

    size: NDArray[np.float64]
    deviation: NDArray[np.float64]
    covariances: Callable[[], Iterator[tuple[int, NDArray[np.float64]]]]


def triage(
    layer: str,
    chunks: Callable[[], Iterable[Responses]],
    config: TriageConfig,
    ledger: Ledger = OURS,
) -> LayerTriage:
    """Return the class of every neuron of a layer.

    One pass over its responses; for a layer of more than `WIDE` neurons one more for each
    `BLOCK` of them, so that memory grows with their number and not with its square.

    Dead: no response of a size above `dead_below` on any image. Constant: a standard deviation
    below `constant_below` times the largest size. Duplicate: a correlation above
    `duplicate_above` with a live neuron of lower index. The released side of `ledger` sets no
    neuron aside: all count as live, their figures are the same.

    Args:
        layer: its path.
        chunks: what yields its responses, each time from the first.
        config: the thresholds.
        ledger: the side of each choice.
    """
    sums = _Sums()
    kept_as = np.dtype(np.float16)
    for chunk in chunks():
        kept_as = max(kept_as, chunk.values.dtype)
        _add(sums, chunk.values.astype(np.float64), config.dead_below)
    n = max(sums.images, 1)
    mean = sums.total / n
    squares = np.diag(sums.products) if sums.products.size else sums.squares
    spread = np.sqrt(np.maximum(squares / n - mean * mean, 0.0))
    size = np.maximum(np.abs(sums.low), np.abs(sums.high))
    covariances = partial(_covariances, sums, chunks)
    classes = _CLASSES[ledger.triage](_Spread(size, spread, covariances), config)
    mean = mean + sums.shift
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


def _covariances(
    sums: _Sums, chunks: Callable[[], Iterable[Responses]]
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Yield the blocks of a layer's covariance, see `_Spread`."""
    n, width = max(sums.images, 1), len(sums.total)
    mean = sums.total / n
    if sums.products.size:
        yield 0, sums.products / n - np.outer(mean, mean)
        return
    for first in range(0, width, BLOCK):
        end = min(first + BLOCK, width)
        products = np.zeros((end - first, end))
        for chunk in chunks():
            centred = (
                _usable(chunk.values[:, :end].astype(np.float64), chunk.values) - sums.shift[:end]
            )
            products += centred[:, first:].T @ centred
        yield first, products / n - np.outer(mean[first:end], mean[:end])


_Class: TypeAlias = tuple[NeuronClass, int | None]


def _classed(spread: _Spread, config: TriageConfig) -> list[_Class]:
    """Return each neuron's class, and the index that a duplicate repeats."""
    dead = spread.size <= config.dead_below
    constant = ~dead & (spread.deviation <= config.constant_below * spread.size)
    alive = ~(dead | constant)
    twins = _twins(spread, alive, config.duplicate_above)
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
    usable = _usable(values, values)
    sums.skipped += len(values) - len(usable)
    if not len(usable):
        return
    width = usable.shape[1]
    if sums.images == 0:
        sums.low, sums.high = np.full(width, np.inf), np.full(width, -np.inf)
        sums.active, sums.total = np.zeros(width), np.zeros(width)
        if width <= WIDE:
            sums.products = np.zeros((width, width))
        else:
            sums.squares = np.zeros(width)
        # Sums of squares about a typical value, not about 0: no cancellation for a large mean.
        sums.shift = usable.mean(axis=0)
    centred = usable - sums.shift
    sums.images += len(usable)
    sums.low = np.minimum(sums.low, usable.min(axis=0))
    sums.high = np.maximum(sums.high, usable.max(axis=0))
    sums.active += (usable > active_above).sum(axis=0)
    sums.total += centred.sum(axis=0)
    if width <= WIDE:
        sums.products += centred.T @ centred
    else:
        sums.squares += (centred * centred).sum(axis=0)


def _usable(values: NDArray[np.float64], whole: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return the rows of images that could be read.

    A neuron that is NaN on some images only is broken there: it counts as silent.

    Args:
        values: responses of some neurons (n_images, n_some).
        whole: responses of all neurons to the same images.
    """
    usable: NDArray[np.float64] = np.nan_to_num(values[~np.isnan(whole).all(axis=1)], nan=0.0)
    return usable


def _twins(spread: _Spread, alive: NDArray[np.bool_], above: float) -> dict[int, int]:
    """Return, for each duplicate, the lowest live index it repeats."""
    twins: dict[int, int] = {}
    kept = np.zeros(len(alive), dtype=np.bool_)
    deviation = spread.deviation
    for first, covariance in spread.covariances():
        for i in np.flatnonzero(alive[first : first + len(covariance)]) + first:
            earlier = np.flatnonzero(kept[:i])
            correlation = covariance[i - first, earlier] / (deviation[i] * deviation[earlier])
            matches = earlier[correlation > above]
            if len(matches):
                twins[int(i)] = int(matches[0])
            else:
                kept[i] = True
    return twins
