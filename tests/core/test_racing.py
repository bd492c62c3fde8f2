"""Racing: pictures by round, who is dropped, and scores of candidates with fewer pictures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnd_local.core.config_reading import read_config
from dnd_local.core.errors import BadConfig
from dnd_local.core.racing import (
    HOPELESS,
    RESAMPLINGS,
    goes_on,
    judge_round,
    pictures_by_round,
    pictures_of_each,
    resampled_scores,
)
from dnd_local.core.ranking import best_labels, ranks_from_highest, score_candidates
from dnd_local.core.records import RULES, Neuron, RaceRound, Rule, ScoredCandidate, Scores

NEURON = Neuron("net", "fc", 3)
TEXTS = ("a", "b", "c")
WHOLE, BETA = 10, 5


def scored(*responses: list[float], whole: int = WHOLE) -> tuple[ScoredCandidate, ...]:
    cosines = [[0.5] * len(row) for row in responses]
    return score_candidates(TEXTS[: len(responses)], responses, cosines, BETA, whole=whole)


def after(*running: str) -> RaceRound:
    return RaceRound(NEURON, 4, running, ())


def judged(*responses: list[float], running: tuple[str, ...] = TEXTS, seed: int = 0) -> RaceRound:
    scores = Scores(NEURON, scored(*responses))
    return judge_round(scores, running, "topk-compare", BETA, WHOLE, seed)


def test_pictures_by_round() -> None:
    assert pictures_by_round(4, 10) == (4, 6, 8, 10)
    assert pictures_by_round(4, 7) == (4, 6, 7)
    assert pictures_by_round(0, 10) == (10,)


def test_only_those_that_are_left_get_more_pictures() -> None:
    by_round = pictures_by_round(4, 10)
    assert pictures_of_each(TEXTS, [], by_round) == {"a": 4, "b": 4, "c": 4}
    assert pictures_of_each(TEXTS, [after("a", "b")], by_round) == {"a": 6, "b": 6, "c": 4}
    assert pictures_of_each(TEXTS, [after("a", "b"), after("b")], by_round) == {
        "a": 6, "b": 6, "c": 4,
    }  # fmt: skip
    every = [after("a", "b")] * 3
    assert pictures_of_each(TEXTS, every, by_round) == {"a": 10, "b": 10, "c": 4}
    assert pictures_of_each(["a"], [], by_round) == {"a": 4}, "a lone candidate has won already"


def test_a_race_goes_on_while_two_are_left() -> None:
    assert goes_on(TEXTS, [])
    assert goes_on(TEXTS, [after("a", "c")])
    assert not goes_on(TEXTS, [after("a", "c"), after("c")])
    assert not goes_on(["a"], [])


def test_who_cannot_win_is_dropped_and_who_may_is_not() -> None:
    close = judged([9, 5, 8, 6], [8.5, 5.5, 7, 6.5], [1, 2, 0, 1])
    assert close.running == ("a", "b")
    assert close.pictures == 4
    assert dict(close.wins)["c"] == 0
    assert sum(share for _, share in close.wins) == pytest.approx(1)
    clear = judged([9, 8, 8, 9], [1, 2, 0, 1], [1, 2, 1, 1])
    assert clear.running == ("a",)


def test_those_dropped_earlier_are_opponents_still_and_never_come_back() -> None:
    two = judged([9, 8, 8, 9], [8, 8, 9, 9, 8, 9], [8, 9, 9, 8, 9, 8], running=("b", "c"))
    assert two.pictures == 6
    assert [text for text, _ in two.wins] == ["b", "c"]


def test_candidates_that_are_equal_stay_however_many() -> None:
    many = 40
    texts = [f"label {i}" for i in range(many)]
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(many, 4)).tolist()
    scores = Scores(NEURON, score_candidates(texts, rows, [[0.5] * 4] * many, BETA, whole=WHOLE))
    result = judge_round(scores, texts, "topk-compare", BETA, WHOLE, 0)
    shares = dict(result.wins)
    assert result.running
    assert max(shares, key=lambda text: shares[text]) in result.running
    assert all(shares[text] >= HOPELESS * max(shares.values()) for text in result.running)


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_can_race(rule: Rule) -> None:
    rows = [[1.0, 2, 0, 1], [9.0, 8, 8, 9], [1.0, 2, 1, 1]]
    result = judge_round(Scores(NEURON, scored(*rows)), TEXTS, rule, BETA, WHOLE, 0)
    assert result.running == ("b",)


def test_the_resamplings_depend_on_seed_neuron_and_round_alone() -> None:
    rows = ([9.0, 5, 8, 6], [8.5, 5.5, 7, 6.5], [8.2, 2, 7, 5])
    assert judged(*rows) == judged(*rows)
    assert judged(*rows) != judged(*rows, seed=1)
    assert all(
        share * RESAMPLINGS == pytest.approx(round(share * RESAMPLINGS))
        for _, share in judged(*rows).wins
    )


@given(st.integers(0, 2**31), st.sampled_from(RULES), st.integers(1, 6))
def test_resampled_scores_are_those_of_the_pictures_drawn(seed: int, rule: Rule, beta: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.choice([1, 2, 3, 6], 3)
    rows = [rng.integers(-3, 4, size).astype(float).tolist() for size in sizes]
    cosines = [rng.random(size).tolist() for size in sizes]
    candidates = score_candidates(TEXTS, rows, cosines, beta, whole=6)
    drawn = [rng.multinomial(size, np.full(size, 1 / size), 4) for size in sizes]
    fast = resampled_scores(candidates, np.hstack(drawn), rule, beta, 6)
    for number in range(4):
        repeated = [np.repeat(np.arange(len(each[number])), each[number]) for each in drawn]
        slow = score_candidates(
            TEXTS,
            [[row[i] for i in chosen] for row, chosen in zip(rows, repeated, strict=True)],
            [[row[i] for i in chosen] for row, chosen in zip(cosines, repeated, strict=True)],
            beta,
            whole=6,
        )
        assert fast[number].tolist() == pytest.approx([each.score(rule) for each in slow])


def test_a_race_knows_every_rule() -> None:
    candidates = scored([1.0, 2], [2.0, 3])
    drawn = np.ones((1, 4), dtype=np.int64)
    for rule in RULES:
        assert resampled_scores(candidates, drawn, rule, BETA, WHOLE).shape == (1, 2)


VALUES = st.floats(-100, 100, width=32)


@given(st.lists(st.lists(VALUES, min_size=4, max_size=4), min_size=1, max_size=3))
def test_where_all_have_all_pictures_a_race_changes_no_score(rows: list[list[float]]) -> None:
    assert scored(*rows, whole=4) == scored(*rows, whole=0)


@given(
    st.lists(VALUES, min_size=2, max_size=2),
    st.lists(VALUES, min_size=4, max_size=4),
    st.integers(1, 4),
)
def test_a_picture_stands_for_its_repetitions(
    few: list[float], all_four: list[float], beta: int
) -> None:
    """Two pictures of four that are asked for count as though each were there twice."""
    cosines = [[0.25, 0.75], [0.5, 0.125, 0.25, 1.0]]
    short = score_candidates(TEXTS[:2], [few, all_four], cosines, beta, whole=4)
    twice = [[few[0], few[0], few[1], few[1]], all_four]
    told = [[0.25, 0.25, 0.75, 0.75], cosines[1]]
    long = score_candidates(TEXTS[:2], twice, told, beta)
    for one, other in zip(short, long, strict=True):
        assert one.mean == pytest.approx(other.mean)
        assert one.topk_sq_mean == pytest.approx(other.topk_sq_mean)
        assert one.topk_compare == pytest.approx(other.topk_compare)
        assert one.image_products == pytest.approx(other.image_products)


def test_ranks_of_values_that_stand_for_several() -> None:
    assert ranks_from_highest([3.0, 2.0, 1.0], [2.5, 1, 2]).tolist() == [0.75, 2.5, 4.0]


def test_a_race_finds_the_winner_of_all_pictures_nearly_always() -> None:
    """300 neurons of five candidates whose responses overlap; the pictures of a race are fewer."""
    rng = np.random.default_rng(1)
    by_round = pictures_by_round(4, WHOLE)
    texts, same, pictures = tuple("abcde"), 0, 0
    for index in range(300):
        rows = rng.normal(size=(5, WHOLE)) + rng.normal(size=(5, 1))
        cosines = 0.5 + 0.05 * rng.normal(size=(5, WHOLE))
        exact = score_candidates(texts, rows.tolist(), cosines.tolist(), BETA)
        rounds: list[RaceRound] = []
        while True:
            counts = pictures_of_each(texts, rounds, by_round)
            short = score_candidates(
                texts,
                [row[: counts[text]].tolist() for text, row in zip(texts, rows, strict=True)],
                [row[: counts[text]].tolist() for text, row in zip(texts, cosines, strict=True)],
                BETA,
                whole=WHOLE,
            )
            if len(rounds) == len(by_round) - 1 or not goes_on(texts, rounds):
                break
            running = rounds[-1].running if rounds else texts
            scores = Scores(Neuron("net", "fc", index), short)
            rounds.append(judge_round(scores, running, "topk-compare", BETA, WHOLE, 0))
        pictures += sum(counts.values())
        winners = [best_labels(each, "topk-compare", 1)[0].text for each in (exact, short)]
        same += winners[0] == winners[1]
    assert same / 300 > 0.9
    assert pictures / (300 * 5 * WHOLE) < 0.75


def test_settings_under_which_a_race_cannot_be() -> None:
    assert read_config({"scores": {"race": 4}}).scores.race == 4
    with pytest.raises(BadConfig, match=r"scores.race is 3; it takes a multiple of 2 from 0 to"):
        read_config({"scores": {"race": 3}})
    with pytest.raises(BadConfig, match=r"scores.race is 10, and pictures.count 10: no pictures"):
        read_config({"scores": {"race": 10}})
    with pytest.raises(BadConfig, match=r"scores.race is 4, and compat 'official' follows"):
        read_config({"scores": {"race": 4}, "compat": "official"})
