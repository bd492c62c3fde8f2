"""Racing: a few pictures for each candidate, and more only for those that may still win.

After a round, every candidate's pictures are resampled with replacement (the bootstrap: Efron,
Annals of Statistics 7, 1979), and the rule picks a winner each time. The share of resamplings that
a candidate wins is how likely it is to be the best, as far as these pictures tell. Candidates that
win far less often than the one that wins most leave the race, as in Hoeffding races (Maron and
Moore, NIPS 1993), which bound each contender's score apart; the rules here rank pictures of all
candidates together, so that no score stands alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dnd_local.core.digest import seed
from dnd_local.core.ranking import LOWER_IS_BETTER, ranks_from_highest, unit_range
from dnd_local.core.records import RaceRound, Rule, ScoredCandidate, Scores

BLOCK: Final = 2
"""Pictures of one concept in one part, and those that a round of a race adds."""

RESAMPLINGS: Final = 200
"""Resamplings of a neuron's pictures after each round."""

HOPELESS: Final = 1 / 20
"""A candidate is dropped if it wins less often than this times the wins of the one that wins most:
the usual level of 5 %, which leaves the leader in however many candidates there are."""


def pictures_by_round(first: int, whole: int) -> tuple[int, ...]:
    """Return how many pictures a candidate has after each round, the last of them `whole`.

    Args:
        first: pictures in the first round; 0: no race, all at once.
        whole: pictures of a candidate that stays to the end.
    """
    return (*range(first, whole, BLOCK), whole) if first else (whole,)


def goes_on(texts: Sequence[str], rounds: Sequence[RaceRound]) -> bool:
    """Return whether more than one of the candidates `texts` is in the race after `rounds`."""
    return len(rounds[-1].running if rounds else texts) > 1


def pictures_of_each(
    texts: Sequence[str], rounds: Sequence[RaceRound], by_round: Sequence[int]
) -> dict[str, int]:
    """Return how many pictures each candidate has or is to get next.

    Args:
        texts: the candidates.
        rounds: the rounds that are over, in order.
        by_round: see `pictures_by_round`.

    A lone candidate has won before it starts, and keeps the pictures of the first round.
    """
    counts = dict.fromkeys(texts, by_round[0])
    for after, count in zip(rounds, by_round[1:], strict=False):
        if len(after.running) > 1:
            counts |= dict.fromkeys(after.running, count)
    return counts


def judge_round(
    scores: Scores, running: Sequence[str], rule: Rule, beta: int, whole: int, run_seed: int
) -> RaceRound:
    """Return which of the candidates that are `running` stay in the race.

    Args:
        scores: of all candidates; those that left earlier count as opponents.
        running: candidates that are left, each with as many pictures as the others.
        rule: which score decides.
        beta: see `score_candidates`.
        whole: see `score_candidates`.
        run_seed: of the run; the resamplings depend on it, on the neuron and on the round alone.
    """
    neuron, candidates = scores.neuron, scores.candidates
    places = [i for i, candidate in enumerate(candidates) if candidate.text in running]
    pictures = len(candidates[places[0]].responses)
    rng = np.random.default_rng(seed(run_seed, "race", neuron.layer, neuron.index, pictures))
    drawn = np.hstack([
        rng.multinomial(size, np.full(size, 1 / size), RESAMPLINGS)
        for size in (len(candidate.responses) for candidate in candidates)
    ])  # fmt: skip
    resampled = resampled_scores(candidates, drawn, rule, beta, whole)[:, places]
    lower = rule in LOWER_IS_BETTER
    first = np.argmin(resampled, axis=1) if lower else np.argmax(resampled, axis=1)
    wins = np.bincount(first, minlength=len(places))
    shares = [(candidates[i].text, float(won)) for i, won in zip(places, wins, strict=True)]
    return RaceRound(
        neuron,
        pictures,
        tuple(text for text, won in shares if won >= HOPELESS * wins.max()),
        tuple((text, won / RESAMPLINGS) for text, won in shares),
    )


def resampled_scores(
    candidates: Sequence[ScoredCandidate],
    drawn: NDArray[np.int64],
    rule: Rule,
    beta: int,
    whole: int,
) -> NDArray[np.float64]:
    """Return what `score_candidates` gives for every resampling, (resamplings, candidates).

    Args:
        candidates: with their pictures.
        drawn: how often each picture is drawn, (resamplings, pictures), the candidates' pictures
            one after the other; each candidate's add up to their number.
        rule: whose score is returned.
        beta: see `score_candidates`.
        whole: see `score_candidates`.

    No picture is new in a resampling, so that pictures are put in order once for all.
    """
    sizes = [len(candidate.responses) for candidate in candidates]
    responses = np.concatenate([candidate.responses for candidate in candidates])
    cosines = np.concatenate([candidate.cosines for candidate in candidates])
    many = drawn * np.repeat([whole / size for size in sizes], sizes)
    _, group = np.unique(ranks_from_highest(responses), return_inverse=True)
    in_group = np.stack([many[:, group == g].sum(axis=1) for g in range(group.max() + 1)], axis=1)
    ends = np.cumsum(in_group, axis=1)
    ranks = ((2 * ends - in_group - 1) / 2)[:, group]
    spans = np.split(np.arange(len(responses)), np.cumsum(sizes)[:-1])
    best = [span[np.argsort(group[span], kind="stable")] for span in spans]
    counted = np.zeros(many.shape)
    for order in best:
        before = np.cumsum(many[:, order], axis=1) - many[:, order]
        counted[:, order] = np.clip(beta - before, 0, many[:, order])
    squares = _means(ranks**2, counted, spans)
    as_drawn = np.broadcast_to(cosines, many.shape)
    worse = (squares[:, None, :] > squares[:, :, None]).sum(axis=2)
    by_rule: dict[Rule, Callable[[], NDArray[np.float64]]] = {
        "mean": lambda: _means(ranks, many, spans),
        "topk-sq-mean": lambda: squares,
        "topk-compare": lambda: (1 + worse) * _means(as_drawn, counted, spans),
        "image-products": lambda: _means(_unit_ranges(responses, drawn > 0) * cosines, many, spans),
    }
    return by_rule[rule]()


def _means(
    values: NDArray[np.float64], many: NDArray[np.float64], spans: Sequence[NDArray[np.int64]]
) -> NDArray[np.float64]:
    """Return the mean of each candidate's values, each counted as `many` times."""
    return np.stack(
        [(values[:, i] * many[:, i]).sum(axis=1) / many[:, i].sum(axis=1) for i in spans], axis=1
    )


def _unit_ranges(responses: NDArray[np.float64], there: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return responses scaled to [0, 1] over those that are `there`, a row a resampling."""
    return np.stack([
        unit_range(np.where(row, responses, np.nan)) for row in there
    ])  # fmt: skip
