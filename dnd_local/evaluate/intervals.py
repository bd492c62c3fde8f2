"""How sure a mean is: bootstrap intervals and paired tests, from scipy.

Everything is seeded by its argument, so the same figures give the same interval.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from dnd_local.core.cards import Card
from dnd_local.core.errors import UserError

RESAMPLES = 2000
"""Bootstrap resamples: the third digit of an interval's end is steady."""

FLIPS = 2000
"""Random sign flips at first; they settle a p-value that is not small."""

MORE_FLIPS = 100_000
"""Random sign flips where a p-value is small: at p = .001, the smallest one that is printed, fifty
flips are expected on either side, so that it is steady to about a seventh."""

SMALL = 0.02
"""A p-value by `FLIPS` at or below this is computed again by `MORE_FLIPS`."""

LEVEL = 0.95
"""The share of intervals that cover the truth."""


@dataclass(frozen=True, slots=True)
class Interval(Card):
    """A mean over `n` neurons and the ends of its 95 % bootstrap interval."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class PairedTest(Card):
    """A mean difference over pairs with its interval, and how often chance does as much.

    `p_value` is two-sided: the share of random sign flips of the differences whose mean is at
    least as far from 0.
    """

    difference: Interval
    p_value: float


def bootstrap_mean(values: ArrayLike, seed: int = 0) -> Interval:
    """Return the mean of `values` (n,) with its bias-corrected accelerated bootstrap interval.

    One value, or values that are all equal, have an interval of no width. NaN is refused: what
    a missing figure means must be decided before.

    Raises:
        UserError: there is no value, or one is not finite.
    """
    array = _finite(values)
    mean = float(array.mean())
    if array.size == 1 or np.ptp(array) == 0:
        return Interval(mean, mean, mean, array.size)
    result = stats.bootstrap(
        (array,),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=LEVEL,
        method="BCa",
        batch=max(1, 10_000_000 // array.size),
        rng=np.random.default_rng(seed),
    )
    low, high = result.confidence_interval
    return Interval(mean, float(low), float(high), array.size)


def paired_test(left: ArrayLike, right: ArrayLike, seed: int = 0) -> PairedTest:
    """Return the mean of `left` - `right` (n,) with its interval and a sign-flip p-value.

    All flips are tried where there are fewer than `FLIPS`, otherwise as many at random, and
    `MORE_FLIPS` if the p-value by them is `SMALL`.

    Raises:
        UserError: the two differ in length, are empty, or hold a value that is not finite.
    """
    one, other = _finite(left), _finite(right)
    if one.shape != other.shape:
        raise UserError(f"a paired test needs pairs; it got {one.size} and {other.size} values")
    # Two ways to the same mean round apart; left in, that alone would pass for a steady gain.
    differences = np.where(np.isclose(one, other, rtol=1e-9, atol=1e-12), 0.0, one - other)
    interval = bootstrap_mean(differences, seed)
    if not differences.any():
        return PairedTest(interval, 1.0)
    p_value = _flipped(differences, FLIPS, seed)
    if p_value <= SMALL:
        p_value = _flipped(differences, MORE_FLIPS, seed)
    return PairedTest(interval, p_value)


def _flipped(differences: NDArray[np.float64], flips: int, seed: int) -> float:
    """Return the two-sided p-value of a mean by sign flips, all of them if they are no more."""
    result = stats.permutation_test(
        (differences,),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=flips,
        batch=max(1, 10_000_000 // differences.size),
        rng=np.random.default_rng(seed),
    )
    return float(result.pvalue)


def _finite(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64).reshape(-1)
    if array.size == 0:
        raise UserError("no value to average: no neuron has a label on both sides")
    if not np.isfinite(array).all():
        raise UserError(f"{int((~np.isfinite(array)).sum())} of {array.size} values are not finite")
    return array
