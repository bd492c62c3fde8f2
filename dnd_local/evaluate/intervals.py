"""How sure a mean is: bootstrap and exact intervals, paired tests, from scipy.

What is drawn is seeded by its argument, so the same figures give the same interval.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
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
    """A figure over `n` values, mostly a mean, and the ends of its 95 % bootstrap interval."""

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
    """Return the mean of `values` (n,) with its bootstrap interval; see `bootstrap`."""
    return bootstrap(np.mean, values, seed=seed)


def share(values: Sequence[bool]) -> Interval:
    """Return the share of true `values` with its exact 95 % interval (Clopper and Pearson 1934).

    A bootstrap of values that are all equal has no width: two of two are no proof of all.
    """
    result = stats.binomtest(sum(values), len(values)).proportion_ci(LEVEL)
    return Interval(float(np.mean(values)), float(result.low), float(result.high), len(values))


def bootstrap(statistic: Callable[..., object], *samples: ArrayLike, seed: int = 0) -> Interval:
    """Return a statistic of independent samples, each (n,), with its BCa bootstrap interval.

    BCa is bias-corrected and accelerated (Efron 1987). The interval has no width where every
    resample gives the same figure, as equal values do. NaN is refused: what a missing figure
    means must be decided before.

    Raises:
        UserError: a sample has no value, or one that is not finite.
    """
    arrays = [_finite(values) for values in samples]
    size = sum(array.size for array in arrays)
    value = float(statistic(*arrays))  # type: ignore[arg-type]
    if all(array.size == 1 or np.ptp(array) == 0 for array in arrays):
        return Interval(value, value, value, size)
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        result = stats.bootstrap(
            arrays,
            statistic,
            n_resamples=RESAMPLES,
            confidence_level=LEVEL,
            method="BCa",
            batch=max(1, 10_000_000 // size),
            rng=np.random.default_rng(seed),
        )
    low, high = (value if np.isnan(end) else float(end) for end in result.confidence_interval)
    return Interval(value, low, high, size)


def draw_counts(size: int, resamples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return how often each of `size` values is drawn in each resample, (resamples, size).

    For figures that many neurons take from the same resamples, as weights of the values.
    """
    return rng.multinomial(size, np.full(size, 1 / size), size=resamples).astype(np.float64)


def percentile_interval(drawn: ArrayLike) -> tuple[float, float]:
    """Return the ends of the 95 % interval of a figure's finite resamples, NaN where none is."""
    array = np.asarray(drawn, dtype=np.float64)
    array = array[np.isfinite(array)]
    if not array.size:
        return float("nan"), float("nan")
    low, high = np.quantile(array, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


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
