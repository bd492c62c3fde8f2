"""Intervals cover what they should; tests agree with closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from dnd_local.core.errors import UserError
from dnd_local.evaluate.intervals import (
    bootstrap,
    bootstrap_mean,
    draw_counts,
    paired_test,
    percentile_interval,
)


def test_a_bootstrap_interval_is_near_the_normal_one() -> None:
    values = np.random.default_rng(0).normal(3, 2, size=400)
    found = bootstrap_mean(values)
    half = 1.96 * values.std(ddof=1) / 20
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.03)
    assert found.high == pytest.approx(values.mean() + half, abs=0.03)
    assert found.n == 400


def test_the_same_seed_gives_the_same_interval_and_another_nearly() -> None:
    values = np.random.default_rng(1).normal(size=50)
    assert bootstrap_mean(values, seed=3) == bootstrap_mean(values, seed=3)
    assert bootstrap_mean(values, seed=3) != bootstrap_mean(values, seed=4)


@pytest.mark.parametrize("values", [[0.5], [2.0, 2.0, 2.0]])
def test_what_does_not_vary_has_no_width(values: list[float]) -> None:
    found = bootstrap_mean(values)
    assert found.low == found.value == found.high


def difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(one.mean() - other.mean())


def test_a_statistic_of_two_samples_has_an_interval_near_the_normal_one() -> None:
    rng = np.random.default_rng(4)
    one, other = rng.normal(2, 1, size=100), rng.normal(1, 1, size=150)
    found = bootstrap(difference, one, other)
    half = 1.96 * np.hypot(one.std(ddof=1) / 10, other.std(ddof=1) / np.sqrt(150))
    assert found.n == 250
    assert found.value == pytest.approx(one.mean() - other.mean())
    assert (found.low, found.high) == pytest.approx(
        (found.value - half, found.value + half), abs=0.05
    )


@pytest.mark.filterwarnings("error")
def test_a_statistic_that_no_resample_moves_has_no_width() -> None:
    found = bootstrap(lambda one, other: float(one.min() > other.max()), [2, 3, 4], [0, 1])
    assert (found.value, found.low, found.high) == (1, 1, 1)


def test_counts_are_resamples_with_replacement() -> None:
    counts = draw_counts(8, 500, np.random.default_rng(5))
    assert counts.shape == (500, 8)
    assert (counts.sum(axis=1) == 8).all()
    assert counts.mean(axis=0) == pytest.approx(np.ones(8), abs=0.15)


def test_a_percentile_interval_leaves_out_what_is_not_finite() -> None:
    assert percentile_interval([*range(101), np.nan, np.inf]) == pytest.approx((2.5, 97.5))
    assert np.isnan(percentile_interval([np.nan])).all()


def test_few_pairs_try_every_sign_flip() -> None:
    # All eight differences positive: only 2 of 256 flips are as far from 0.
    found = paired_test(np.arange(1, 9), np.zeros(8))
    assert found.p_value == pytest.approx(2 / 256)
    assert found.difference.value == pytest.approx(4.5)


def test_many_pairs_agree_with_the_paired_t_test() -> None:
    rng = np.random.default_rng(2)
    left = rng.normal(0.1, 1, size=300)
    right = rng.normal(0, 1, size=300)
    expected = stats.ttest_rel(left, right).pvalue
    assert paired_test(left, right).p_value == pytest.approx(expected, abs=0.03)


def test_equal_sides_are_no_evidence() -> None:
    assert paired_test([1, 2], [1, 2]).p_value == 1.0


def test_rounding_is_no_evidence() -> None:
    left = np.full(8, 0.8)
    found = paired_test(left, np.nextafter(left, 1))
    assert (found.p_value, found.difference.value) == (1.0, 0.0)


def test_what_cannot_be_averaged_is_refused() -> None:
    with pytest.raises(UserError, match="no value to average"):
        bootstrap_mean([])
    with pytest.raises(UserError, match="1 of 2 values are not finite"):
        bootstrap_mean([1.0, float("nan")])
    with pytest.raises(UserError, match="got 2 and 1"):
        paired_test([1, 2], [1])


def test_a_small_p_value_is_of_as_many_flips_as_it_needs() -> None:
    # Twenty differences of one size, all but two of one sign: the binomial says how rare that is.
    differences = np.where(np.arange(20) < 2, -1.0, 1.0)
    exact = 2 * (1 + 20 + 190) / 2**20
    found = [paired_test(differences, np.zeros(20), seed).p_value for seed in range(3)]
    assert found == pytest.approx([exact] * 3, rel=0.5)
    assert len(set(found)) > 1  # not all flips, which would be a million
