"""Top-k choice and the scoring rules (the paper's "Best Concept Selection")."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dnd_local.core.descriptions import Label
from dnd_local.core.ledger import OURS, Ledger, Side
from dnd_local.core.records import Rule, ScoredCandidate

LOWER_IS_BETTER: frozenset[Rule] = frozenset({"mean", "topk-sq-mean"})

RELEASED_COMPARED: Final = 10
"""How many of a neuron's pictures, the highest of all, count for the released code's cosine."""

_Value = TypeVar("_Value", np.float64, np.bool_)
_LARGEST = float(np.finfo(np.float32).max)


def highest(values: ArrayLike, count: int) -> list[int]:
    """Return the indices of the `count` highest values, highest first.

    Ties go to the lower index; NaN is never chosen, so fewer may come back.
    """
    array = np.asarray(values, dtype=np.float64)
    order = np.argsort(-array, kind="stable")
    return [int(i) for i in order[: min(count, len(order))] if not np.isnan(array[i])]


def ranks_from_highest(
    values: ArrayLike, standing_for: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Return each value's rank, 0 = highest; tied values share their average rank.

    NaN counts as lower than every number and ties with other NaN. `standing_for` says how many
    values each one stands for, as though it were there so often; 1 if left out.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0:
        return np.zeros(0)
    filled = np.where(np.isnan(array), -np.inf, array)
    _, group = np.unique(-filled, return_inverse=True)
    many = np.ones(array.shape) if standing_for is None else np.asarray(standing_for, np.float64)
    sizes = np.bincount(group, weights=many)
    ends = np.cumsum(sizes)
    average = (ends - sizes + ends - 1) / 2
    return np.asarray(average[group], dtype=np.float64)


def share_below(values: ArrayLike, natural: ArrayLike) -> float:
    """Return the share of `natural` (c,) that is below the median of `values` (q,), ties one half.

    NaN counts on neither side; NaN comes back where nothing is left of one of them.
    """
    some, other = (np.asarray(each, dtype=np.float64) for each in (values, natural))
    some, other = some[~np.isnan(some)], other[~np.isnan(other)]
    if not some.size or not other.size:
        return float("nan")
    middle = np.median(some)
    return float(np.mean(other < middle) + 0.5 * np.mean(other == middle))


def score_candidates(
    texts: Sequence[str],
    responses: Sequence[Sequence[float]],
    cosines: Sequence[Sequence[float]],
    beta: int,
    ledger: Ledger = OURS,
    whole: int = 0,
) -> tuple[ScoredCandidate, ...]:
    """Return every candidate with its ranks and the score of every rule, in the given order.

    Args:
        texts: the candidates' labels.
        responses: the target's response to each candidate's pictures, at least one a candidate.
        cosines: the mean CLIP cosine of each picture to the neuron's exemplars.
        beta: how many of a candidate's best pictures count.
        ledger: `cosine_over` says which pictures' cosines weigh `topk-compare`.
        whole: how many pictures a candidate would have without a race. A picture of one that has
            n stands for whole / n, so that candidates with few and with all pictures can be
            compared. 0: each picture stands for itself.

    The rules, with r the ranks of a candidate's pictures among all pictures of the neuron:
    `mean` is the mean of r; `topk-sq-mean` the mean of the squares of the beta lowest r;
    `topk-compare` is (1 + number of candidates with a worse topk-sq-mean) x the mean cosine of
    the beta highest-responding pictures; `image-products` the mean of w x cosine, w the response
    scaled to [0, 1] over all pictures of the neuron (the formula is ours: the paper names the
    rule, its code is unreleased).
    """
    if not texts:
        return ()
    flat = np.array([r for row in responses for r in row], dtype=np.float64)
    each = [whole / len(row) if whole else 1.0 for row in responses]
    standing_for = np.repeat(each, list(map(len, responses)))
    ranks = _split(ranks_from_highest(flat, standing_for), responses)
    weights = _split(unit_range(flat), responses)
    neuron = _Neuron(
        ranks=ranks,
        among_highest=_split(_among_highest(flat, RELEASED_COMPARED), responses),
        cosines=[np.asarray(row, dtype=np.float64) for row in cosines],
        counted=[_counted(len(row), many, beta) for row, many in zip(responses, each, strict=True)],
    )
    squares = [
        _mean(np.sort(row)[: len(counted)] ** 2, counted)
        for row, counted in zip(ranks, neuron.counted, strict=True)
    ]
    scored = []
    for i, text in enumerate(texts):
        worse = sum(other > squares[i] for other in squares)
        scored.append(
            ScoredCandidate(
                text=text,
                responses=tuple(float(r) for r in responses[i]),
                ranks=tuple(ranks[i].tolist()),
                cosines=tuple(neuron.cosines[i].tolist()),
                mean=float(np.mean(ranks[i])),
                topk_sq_mean=squares[i],
                topk_compare=float((1 + worse) * _COSINE[ledger.cosine_over](neuron, i)),
                image_products=float(np.mean(weights[i] * neuron.cosines[i])),
            )
        )
    return tuple(scored)


def compared_cosine(candidate: ScoredCandidate, candidates: Sequence[ScoredCandidate]) -> float:
    """Return the cosine that `topk-compare` weighed a candidate with, among all `candidates`."""
    worse = sum(other.topk_sq_mean > candidate.topk_sq_mean for other in candidates)
    return candidate.topk_compare / (1 + worse)


def best_labels(candidates: Sequence[ScoredCandidate], rule: Rule, count: int) -> list[Label]:
    """Return the `count` best labels under `rule`, best first; ties keep the order drawn."""
    return [Label(c.text, c.score(rule)) for c in best_first(candidates, rule)[:count]]


def drop_alike(
    labels: Sequence[Label], vectors: Mapping[str, NDArray[np.float32]], above: float
) -> list[Label]:
    """Return the labels, best first, without those too much like a better one.

    Args:
        labels: best first.
        vectors: the unit vector of each label's text.
        above: a label goes if its cosine to one that stays, and is better, exceeds this.
    """
    kept: list[Label] = []
    for label in labels:
        if all(float(vectors[label.text] @ vectors[better.text]) <= above for better in kept):
            kept.append(label)
    return kept


def best_first(candidates: Sequence[ScoredCandidate], rule: Rule) -> list[ScoredCandidate]:
    """Return the candidates by their score under `rule`, best first; ties keep the order drawn."""
    sign = 1.0 if rule in LOWER_IS_BETTER else -1.0
    return sorted(candidates, key=lambda candidate: sign * candidate.score(rule))


@dataclass(frozen=True, slots=True, eq=False)
class _Neuron:
    """What the cosine of `topk-compare` depends on, an array a candidate, each over its pictures.

    `ranks` are among all pictures of the neuron; `among_highest` is true for the
    `RELEASED_COMPARED` pictures of highest response. `counted` says how many each of the best
    pictures counts for, best first: 1 each for beta of them, where a picture stands for itself.
    """

    ranks: list[NDArray[np.float64]]
    among_highest: list[NDArray[np.bool_]]
    cosines: list[NDArray[np.float64]]
    counted: list[NDArray[np.float64]]


def _cosine_of_best(neuron: _Neuron, i: int) -> float:
    """Return the mean cosine of the candidate's beta pictures of highest response."""
    counted = neuron.counted[i]
    best = np.argsort(neuron.ranks[i], kind="stable")[: len(counted)]
    return _mean(neuron.cosines[i][best], counted)


def _cosine_of_ten(neuron: _Neuron, i: int) -> float:
    """Return the mean cosine of the candidate's pictures among the ten, -1 without any."""
    counted = neuron.among_highest[i]
    return float(np.mean(neuron.cosines[i][counted])) if counted.any() else -1.0


_COSINE: Final[Mapping[Side, Callable[[_Neuron, int], float]]] = {
    "ours": _cosine_of_best,
    "released": _cosine_of_ten,
}
"""Row 6 of the ledger."""


def _counted(pictures: int, standing_for: float, beta: int) -> NDArray[np.float64]:
    """Return how many each of a candidate's best pictures counts for, beta in all."""
    left = beta - standing_for * np.arange(pictures)
    return np.asarray(np.clip(left[left > 0], 0, standing_for), dtype=np.float64)


def _mean(values: NDArray[np.float64], counted: NDArray[np.float64]) -> float:
    return float((values * counted).sum() / counted.sum())


def _among_highest(values: NDArray[np.float64], count: int) -> NDArray[np.bool_]:
    """Return which values are among the `count` highest; the first of equals come first."""
    chosen = np.zeros(values.shape, dtype=np.bool_)
    chosen[highest(values, count)] = True
    return chosen


def unit_range(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return `values` scaled to [0, 1]; all 0 where they are all equal; NaN becomes 0.

    An infinite response counts as the largest number a network can give.
    """
    values = np.clip(values, -_LARGEST, _LARGEST)
    known = values[~np.isnan(values)]
    if known.size == 0 or known.max() == known.min():
        return np.zeros_like(values)
    scaled = (values - known.min()) / (known.max() - known.min())
    return np.asarray(np.nan_to_num(scaled, nan=0.0), dtype=np.float64)


def _split(flat: NDArray[_Value], like: Sequence[Sequence[float]]) -> list[NDArray[_Value]]:
    """Return `flat` cut into one array for each candidate."""
    return np.split(flat, np.cumsum([len(row) for row in like])[:-1])
