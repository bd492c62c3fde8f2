"""Top-k choice, ranks and the four rules against obvious re-implementations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from dnd_local.core.ranking import (
    LOWER_IS_BETTER,
    best_labels,
    highest,
    ranks_from_highest,
    score_candidates,
)
from dnd_local.core.records import RULES, Label, ScoredCandidate
from tests import oracles

NAN, INF = math.nan, math.inf

# Few distinct numbers, so that ties are common.
FEW = st.sampled_from([0.0, -0.0, 1.0, -2.5, 3.0, NAN])
ANY = st.floats(width=32)
VALUES = st.lists(st.one_of(FEW, ANY), max_size=30)
FINITE = st.one_of(FEW, st.floats(-1000, 1000, width=32))


@st.composite
def candidates(draw: st.DrawFn) -> tuple[list[list[float]], list[list[float]]]:
    sizes = draw(st.lists(st.integers(1, 8), min_size=1, max_size=6))
    responses = [draw(st.lists(FINITE, min_size=n, max_size=n)) for n in sizes]
    cosine = st.floats(-1, 1, width=32)
    cosines = [draw(st.lists(cosine, min_size=n, max_size=n)) for n in sizes]
    return responses, cosines


@given(VALUES, st.integers(0, 40))
def test_highest_agrees_with_choosing_one_by_one(values: list[float], count: int) -> None:
    assert highest(values, count) == oracles.highest(values, count)


def test_highest_gives_ties_to_the_lower_index_and_never_chooses_nan() -> None:
    assert highest([NAN, 2.0, 3.0, NAN, 3.0, -INF], 10) == [2, 4, 1, 5]
    assert highest([1.0, 1.0, 1.0], 2) == [0, 1]
    assert highest([NAN, NAN], 1) == []
    assert highest([], 3) == []


def test_highest_takes_the_float16_of_stored_responses() -> None:
    assert highest(np.array([1, 65504, NAN, 2], dtype=np.float16), 2) == [1, 3]


@given(VALUES)
def test_ranks_agree_with_counting(values: list[float]) -> None:
    assert ranks_from_highest(values).tolist() == oracles.ranks_from_highest(values)


@given(st.lists(st.one_of(FEW, ANY).filter(lambda value: value == value), max_size=30))
def test_ranks_agree_with_scipy(values: list[float]) -> None:
    expected = rankdata([-value for value in values], method="average") - 1
    assert ranks_from_highest(values).tolist() == expected.tolist()


def test_ranks_by_hand() -> None:
    assert ranks_from_highest([5.0, 7.0, 5.0, 1.0, NAN, NAN]).tolist() == [
        1.5, 0.0, 1.5, 3.0, 4.5, 4.5,
    ]  # fmt: skip
    assert ranks_from_highest([]).tolist() == []


@given(candidates(), st.integers(1, 10))
def test_all_four_scores_agree_with_the_method_written_out(
    given_candidates: tuple[list[list[float]], list[list[float]]], beta: int
) -> None:
    responses, cosines = given_candidates
    texts = [f"label {i}" for i in range(len(responses))]
    fast = score_candidates(texts, responses, cosines, beta)
    slow = oracles.scores(responses, cosines, beta)
    for one, other in zip(fast, slow, strict=True):
        assert one.mean == pytest.approx(other.mean, rel=1e-12, abs=1e-12)
        assert one.topk_sq_mean == pytest.approx(other.topk_sq_mean, rel=1e-12, abs=1e-12)
        assert one.topk_compare == pytest.approx(other.topk_compare, rel=1e-9, abs=1e-12)
        assert one.image_products == pytest.approx(other.image_products, rel=1e-9, abs=1e-12)


@given(candidates(), st.integers(1, 10), st.randoms(use_true_random=False))
def test_the_order_of_candidates_changes_no_score(
    given_candidates: tuple[list[list[float]], list[list[float]]], beta: int, random: object
) -> None:
    responses, cosines = given_candidates
    texts = [f"label {i}" for i in range(len(responses))]
    order = list(range(len(texts)))
    random.shuffle(order)  # type: ignore[attr-defined]
    straight = score_candidates(texts, responses, cosines, beta)
    mixed = score_candidates(
        [texts[i] for i in order], [responses[i] for i in order], [cosines[i] for i in order], beta
    )
    for place, i in enumerate(order):
        one, other = straight[i], mixed[place]
        assert (one.text, one.ranks, one.mean) == (other.text, other.ranks, other.mean)
        assert one.topk_compare == other.topk_compare
        assert one.image_products == other.image_products


def test_the_rules_by_hand() -> None:
    # Responses 9 8 | 7 1 give ranks 0 1 | 2 3; weights run from 0 (response 1) to 1 (response 9).
    first, second = score_candidates(
        ["dog", "cat"], [[9.0, 8.0], [7.0, 1.0]], [[0.5, 0.1], [0.2, 0.9]], beta=1
    )
    assert first.ranks == (0.0, 1.0)
    assert second.ranks == (2.0, 3.0)
    assert (first.mean, second.mean) == (0.5, 2.5)
    assert (first.topk_sq_mean, second.topk_sq_mean) == (0.0, 4.0)
    # One candidate is worse than "dog", none than "cat"; the best picture of each is its first.
    assert (first.topk_compare, second.topk_compare) == (2 * 0.5, 1 * 0.2)
    assert first.image_products == pytest.approx((1.0 * 0.5 + 7 / 8 * 0.1) / 2)
    assert second.image_products == pytest.approx((6 / 8 * 0.2 + 0.0 * 0.9) / 2)


def test_squares_are_of_the_lowest_ranks() -> None:
    (only,) = score_candidates(["x"], [[4.0, 3.0, 2.0, 1.0]], [[1.0] * 4], beta=3)
    assert only.topk_sq_mean == (0 + 1 + 4) / 3


def test_a_dead_neuron_has_equal_ranks_and_no_weight() -> None:
    scored = score_candidates(["a", "b"], [[0.0, 0.0], [0.0, 0.0]], [[0.3, 0.3]] * 2, beta=5)
    assert all(one.ranks == (1.5, 1.5) for one in scored)
    assert all(one.image_products == 0.0 for one in scored)
    assert all(one.topk_compare == pytest.approx(0.3) for one in scored)


def test_a_broken_picture_counts_as_the_worst() -> None:
    (one, other) = score_candidates(["a", "b"], [[NAN], [-5.0]], [[1.0], [1.0]], beta=5)
    assert (one.ranks, other.ranks) == ((1.0,), (0.0,))
    assert one.image_products == 0.0


def test_an_overflow_is_the_strongest_response() -> None:
    (one, other) = score_candidates(["a", "b"], [[INF], [5.0]], [[0.5], [0.5]], beta=5)
    assert one.image_products == 0.5
    assert other.image_products == pytest.approx(0.0)


def test_no_candidates_no_scores() -> None:
    assert score_candidates([], [], [], beta=5) == ()


def scored(text: str, value: float) -> ScoredCandidate:
    return ScoredCandidate(text, (), (), (), value, value, value, value)


@pytest.mark.parametrize("rule", RULES)
def test_best_labels_follow_the_rules_direction(rule: str) -> None:
    drawn = [scored("low", 1.0), scored("high", 3.0), scored("middle", 2.0)]
    expected = ["low", "middle", "high"]
    if rule not in LOWER_IS_BETTER:
        expected.reverse()
    found = best_labels(drawn, rule, 3)  # type: ignore[arg-type]
    assert [label.text for label in found] == expected
    assert best_labels(drawn, rule, 1) == found[:1]  # type: ignore[arg-type]


def test_lower_is_better_for_ranks_only() -> None:
    assert {"mean", "topk-sq-mean"} == LOWER_IS_BETTER


def test_equal_labels_keep_the_order_drawn() -> None:
    drawn = [scored("b", 1.0), scored("a", 1.0), scored("c", 2.0)]
    assert best_labels(drawn, "topk-compare", 3) == [
        Label("c", 2.0),
        Label("b", 1.0),
        Label("a", 1.0),
    ]
    assert [one.text for one in best_labels(drawn, "mean", 3)] == ["b", "a", "c"]
    assert best_labels([], "mean", 3) == []
