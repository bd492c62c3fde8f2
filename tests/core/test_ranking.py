"""Top-k choice, ranks and the four rules against obvious re-implementations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from dnd_local.core.descriptions import Label
from dnd_local.core.ledger import OURS, RELEASED, Ledger
from dnd_local.core.ranking import (
    LOWER_IS_BETTER,
    best_labels,
    compared_cosine,
    drop_alike,
    highest,
    ranks_from_highest,
    score_candidates,
)
from dnd_local.core.records import RULES, ScoredCandidate
from tests import oracles
from tests.golden import golden

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


def test_a_label_much_like_a_better_one_that_stays_is_dropped() -> None:
    angles = {"dog": 0, "puppy": 30, "wolf": 60, "sky": 90}
    vectors = {
        text: np.array([np.cos(np.radians(a)), np.sin(np.radians(a))], np.float32)
        for text, a in angles.items()
    }
    labels = [Label(text, 1.0) for text in angles]

    def kept(above: float) -> list[str]:
        return [label.text for label in drop_alike(labels, vectors, above)]

    assert kept(0.81) == ["dog", "wolf"]  # the wolf is like the puppy, which is gone; sky like it
    assert kept(0.87) == ["dog", "puppy", "wolf", "sky"]
    assert kept(0.45) == ["dog", "sky"]
    assert [label.text for label in drop_alike(labels[::-1], vectors, 0.81)] == ["sky", "puppy"]
    assert drop_alike([], vectors, 0.5) == []


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


# Dog ranks 0 to 5, cat 6 to 9 and last; owl and fox take turns in between, outside the ten.
RESPONSES = [
    [30.0, 29.0, 28.0, 27.0, 26.0, 25.0],
    [24.0, 23.0, 22.0, 21.0, 1.0, 0.0],
    [20.0, 18.0, 16.0, 14.0, 12.0, 10.0],
    [19.0, 17.0, 15.0, 13.0, 11.0, 9.0],
]
COSINES = [[0.5] * 6, [0.25] * 4 + [1.0] * 2, [0.75] * 6, [0.75] * 6]
ANIMALS = ("dog", "cat", "owl", "fox")


def compared(ledger: Ledger, beta: int) -> dict[str, float]:
    found = score_candidates(ANIMALS, RESPONSES, COSINES, beta, ledger)
    return {own.text: own.topk_compare for own in found}


def test_a_better_ranked_loser_sorts_last() -> None:
    # Squares of the best rank are 0, 36, 100 and 121, so 3, 2, 1 and 0 candidates are worse.
    assert compared(OURS, 1) == {"dog": 4 * 0.5, "cat": 3 * 0.25, "owl": 2 * 0.75, "fox": 0.75}
    # Only four of cat's count, whatever beta is; owl is ranked before fox and falls behind it.
    for beta in (1, 6):
        assert compared(Ledger(cosine_over="released"), beta) == {
            "dog": 4 * 0.5, "cat": 3 * 0.25, "owl": 2 * -1.0, "fox": -1.0,
        }  # fmt: skip


def test_the_side_changes_no_squares_no_means_and_no_products() -> None:
    ours = score_candidates(ANIMALS, RESPONSES, COSINES, 5)
    official = score_candidates(ANIMALS, RESPONSES, COSINES, 5, RELEASED)
    for one, other in zip(ours, official, strict=True):
        assert (one.ranks, one.topk_sq_mean) == (other.ranks, other.topk_sq_mean)
        assert (one.mean, one.image_products) == (other.mean, other.image_products)


def test_squares_are_over_all_pictures_on_both_sides() -> None:
    # Dog has the highest picture and then the ranks 10 to 18, cat the ranks 1 to 9 and 19.
    dog = [20.0, *(float(20 - rank) for rank in range(10, 19))]
    cat = [*(float(20 - rank) for rank in range(1, 10)), 1.0]
    for ledger in (OURS, RELEASED):
        found = score_candidates(["dog", "cat"], [dog, cat], [[0.5] * 10] * 2, 5, ledger)
        assert [own.topk_sq_mean for own in found] == [pytest.approx(106.8), 11.0]
        assert [own.topk_compare for own in found] == [0.5, 1.0]
        assert best_labels(found, "topk-compare", 1) == [Label("cat", 1.0)]


def test_the_released_rule_whole() -> None:
    # Dog has the ranks 0 to 5, cat 6 to 9, 22 and 23; owl and fox take turns in between.
    found = score_candidates(ANIMALS, RESPONSES, COSINES, 5, RELEASED)
    assert [own.topk_sq_mean for own in found] == [
        (0 + 1 + 4 + 9 + 16) / 5, (36 + 49 + 64 + 81 + 22**2) / 5,
        (10**2 + 12**2 + 14**2 + 16**2 + 18**2) / 5, (11**2 + 13**2 + 15**2 + 17**2 + 19**2) / 5,
    ]  # fmt: skip
    assert compared(RELEASED, 5) == {"dog": 4 * 0.5, "cat": 3 * 0.25, "owl": -2.0, "fox": -1.0}


def test_every_golden_line_agrees() -> None:
    lines = golden("ranking")
    assert len(lines) == 299
    for line in lines:
        texts = [str(i) for i in range(len(line["responses"]))]
        found = score_candidates(texts, line["responses"], line["cosines"], 5, RELEASED)
        assert [own.mean for own in found] == pytest.approx(line["mean"], abs=1e-6)
        assert [own.topk_sq_mean for own in found] == pytest.approx(line["topk_sq_mean"], abs=1e-6)
        assert [own.topk_compare for own in found] == pytest.approx(line["topk_compare"], abs=2e-6)
        order = [int(own.text) for own in best_labels(found, "topk-compare", len(texts))]
        assert order == line["order"]


def test_our_side_names_other_winners_on_some_golden_lines() -> None:
    # What keeps the test above honest: the cosine of row 6 decides often enough to be seen.
    others = 0
    for line in golden("ranking"):
        texts = [str(i) for i in range(len(line["responses"]))]
        found = score_candidates(texts, line["responses"], line["cosines"], 5)
        others += best_labels(found, "topk-compare", 1)[0].text != str(line["order"][0])
    assert others > 0


@pytest.mark.parametrize("levels", [0, 7], ids=["all differ", "many tie"])
def test_the_released_rule_agrees_with_the_method_written_out_on_1000_inputs(levels: int) -> None:
    random = np.random.default_rng(20)
    for _ in range(1000):
        counts = random.integers(1, 13, size=random.integers(1, 8))
        beta = int(random.integers(1, 11))
        responses = [random.normal(size=count) for count in counts]
        if levels:
            responses = [np.round(own * levels / 4) for own in responses]
        responses = [np.where(random.random(own.shape) < 0.02, NAN, own) for own in responses]
        cosines = [random.uniform(-1, 1, size=count) for count in counts]
        given_responses = [own.tolist() for own in responses]
        given_cosines = [own.tolist() for own in cosines]
        texts = [str(i) for i in range(len(counts))]
        found = score_candidates(texts, given_responses, given_cosines, beta, RELEASED)
        expected = oracles.released_compare(given_responses, given_cosines, beta)
        assert [own.topk_compare for own in found] == pytest.approx(expected, abs=1e-12)


def test_a_dead_neuron_ties_and_prefers_what_was_drawn_first() -> None:
    found = score_candidates(
        ["a", "b", "c"], [[0.0] * 10] * 3, [[0.5] * 10] * 3, beta=5, ledger=RELEASED
    )
    # All thirty tie at rank 14.5; the ten that count for the cosine are a's, the first drawn.
    assert [own.topk_sq_mean for own in found] == [14.5**2] * 3
    assert [own.topk_compare for own in found] == [0.5, -1.0, -1.0]
    assert best_labels(found, "topk-compare", 1) == [Label("a", 0.5)]


def test_broken_pictures_are_never_among_the_ten() -> None:
    found = score_candidates(["a", "b"], [[NAN, NAN], [1.0, NAN]], [[0.5] * 2] * 2, 5, RELEASED)
    assert [own.topk_sq_mean for own in found] == [4.0, 2.0]
    assert [own.topk_compare for own in found] == [-1.0, 1.0]
    (only,) = score_candidates(["a"], [[NAN]], [[0.5]], 5, RELEASED)
    assert (only.topk_sq_mean, only.topk_compare) == (0.0, -1.0)


@pytest.mark.parametrize(
    ("ledger", "cosines"),
    [(OURS, [0.5, (4 * 0.25 + 1) / 5, 0.75, 0.75]), (RELEASED, [0.5, 0.25, -1.0, -1.0])],
)
def test_the_cosine_that_was_compared_is_told(ledger: Ledger, cosines: list[float]) -> None:
    found = score_candidates(ANIMALS, RESPONSES, COSINES, 5, ledger)
    assert [compared_cosine(own, found) for own in found] == pytest.approx(cosines)
