"""The fast forms against scipy and scikit-learn on resampled data, and known cases by hand."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from dnd_local.core.errors import UserError
from dnd_local.evaluate.response_measures import (
    PICTURED,
    SIMULATED,
    Pictured,
    Simulated,
    fires,
    pictured_figure,
    simulated_figure,
    weighted_pictured,
    weighted_simulated,
)

metrics = pytest.importorskip("sklearn.metrics")


def sample(n: int = 200) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    real = rng.gamma(1, size=n).round(1)
    return (real + rng.gamma(1, size=n)).round(1), real


def test_fires_is_the_top_share() -> None:
    values = np.arange(100.0)
    assert np.flatnonzero(fires(values)).tolist() == [95, 96, 97, 98, 99]


def test_ties_at_the_border_are_left_out_and_ties_at_the_top_stay() -> None:
    border = np.r_[np.zeros(90), np.ones(8), 2, 3]
    assert np.flatnonzero(fires(border)).tolist() == [98, 99]
    top = np.r_[np.zeros(90), np.ones(10)]
    assert np.flatnonzero(fires(top)).tolist() == list(range(90, 100))


@pytest.mark.parametrize("values", [[], [1.0], [2.0] * 50])
def test_nothing_fires_where_nothing_stands_out(values: list[float]) -> None:
    assert not fires(values).any()


@pytest.mark.parametrize("name", SIMULATED)
def test_unit_weights_give_the_librarys_figure(name: Simulated) -> None:
    simulated, real = sample()
    fast = weighted_simulated(name, simulated, real, np.ones((1, real.size)))[0]
    assert fast == pytest.approx(simulated_figure(name, simulated, real), abs=1e-12)


@pytest.mark.parametrize("name", SIMULATED)
def test_weights_are_repetitions(name: Simulated) -> None:
    simulated, real = sample()
    counts = np.random.default_rng(1).multinomial(200, np.full(200, 1 / 200), size=3)
    fast = weighted_simulated(name, simulated, real, counts)
    truth, own = fires(real), fires(simulated)
    library = {
        "correlation": lambda i: np.corrcoef(simulated[i], real[i])[0, 1],
        "auprc": lambda i: metrics.average_precision_score(truth[i], simulated[i]),
        "f1": lambda i: metrics.f1_score(truth[i], own[i]),
        "iou": lambda i: metrics.jaccard_score(truth[i], own[i]),
    }[name]
    slow = [library(np.repeat(np.arange(200), row)) for row in counts]
    np.testing.assert_allclose(fast, slow, atol=1e-12)


@pytest.mark.parametrize("name", PICTURED)
def test_picture_weights_are_repetitions(name: Pictured) -> None:
    rng = np.random.default_rng(2)
    own, control = rng.normal(1, 1, 10).round(1), rng.normal(0, 1, 40).round(1)
    w_own = rng.multinomial(10, np.full(10, 0.1), size=4)
    w_control = rng.multinomial(40, np.full(40, 1 / 40), size=4)
    fast = weighted_pictured(name, own, control, w_own, w_control)
    slow = [
        pictured_figure(name, np.repeat(own, a), np.repeat(control, b))
        for a, b in zip(w_own, w_control, strict=True)
    ]
    np.testing.assert_allclose(fast, slow, atol=1e-12)


def test_auc_is_the_chance_to_win_and_mad_counts_deviations() -> None:
    assert pictured_figure("auc", [2.0, 3.0], [1.0, 2.0]) == pytest.approx(3.5 / 4)
    assert pictured_figure("mad", [5.0], [1.0, 3.0]) == pytest.approx(3.0)
    assert np.isnan(pictured_figure("mad", [5.0], [1.0, 1.0]))
    once = np.ones((1, 1)), np.ones((1, 2))
    assert np.isnan(weighted_pictured("mad", [5.0], [0.1, 0.1], *once)[0])


@pytest.mark.parametrize("name", SIMULATED)
def test_a_neuron_or_a_label_that_does_not_vary_has_no_figure(name: Simulated) -> None:
    _, real = sample()
    flat = np.zeros(200)
    for simulated, target in ((flat, real), (real, flat)):
        assert np.isnan(simulated_figure(name, simulated, target))
        assert np.isnan(weighted_simulated(name, simulated, target, np.ones((2, 200)))).all()


def test_a_missing_library_is_one_line_with_the_way_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
    with pytest.raises(UserError, match="'sklearn' is not installed; run: pip install dnd-local"):
        pictured_figure("auc", [1.0], [0.0])
