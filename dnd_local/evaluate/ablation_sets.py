"""Which neurons a pattern means, and the random sets of neurons that they are held against."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dnd_local.core.cards import Card
from dnd_local.core.descriptions import DescriptionTable
from dnd_local.core.errors import BadConfig, UserError

NEAR: Final = 5
"""A control of the same mean response takes one of so many neurons that are nearest."""


@dataclass(frozen=True, slots=True)
class Matched(Card):
    """The neurons of a layer whose first label matches, with those labels."""

    describer: str
    layer: str
    pattern: str
    neurons: tuple[int, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Controls(Card):
    """Random sets of one kind; `mean_response` is that of all their neurons."""

    kind: str
    sets: tuple[tuple[int, ...], ...]
    mean_response: float


def match_labels(table: DescriptionTable, layer: str, pattern: str) -> Matched:
    """Return the neurons of a layer whose first label has the pattern in it; case is ignored.

    Raises:
        BadConfig: the pattern is no regular expression.
        UserError: no label matches, or all do.
    """
    try:
        sought = re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        raise BadConfig(f"--match '{pattern}' is no regular expression: {error}") from None
    rows = [row for row in table.rows if row.layer == layer and row.labels]
    matching = [row for row in rows if sought.search(row.labels[0])]
    if not matching:
        raise UserError(
            f"no label of {table.describer} on {layer} matches '{pattern}' ({len(rows)} labels); "
            f"`dnd-local show {table.describer}` lists a run's"
        )
    return Matched(
        table.describer,
        layer,
        pattern,
        tuple(row.neuron for row in matching),
        tuple(row.labels[0] for row in matching),
    )


def control_sets(
    matched: Sequence[int],
    responses: NDArray[np.floating],
    count: int,
    seed: int,
    *,
    of_all: bool = False,
) -> tuple[Controls, Controls]:
    """Return random sets of the same size, and of the same size and mean response.

    They are drawn from the other neurons that respond to the pictures at all; from all that
    respond with `of_all`, and where those are too few.

    Args:
        matched: the neurons.
        responses: of every neuron to every picture, (n_pictures, n_neurons).
        count: sets of each kind.
        seed: of the draw.
        of_all: whether a control may hold matched neurons too. It must where a layer is pruned to
            them: sets of all others lack the concept altogether, so any set would beat them.

    Raises:
        UserError: so few neurons respond that no set but this one can be drawn.
    """
    means = responses.mean(axis=0, dtype=np.float64)
    alive = np.flatnonzero(np.ptp(responses, axis=0) > 0)
    others = np.setdiff1d(alive, matched)
    enough = len(others) > len(matched) and not of_all
    pool = others if enough else np.union1d(alive, matched)
    if len(pool) <= len(matched):
        raise UserError(
            f"{len(matched)} of {responses.shape[1]} neurons match and {len(others)} others "
            "respond to these pictures: no other set of that size can be drawn; match fewer"
        )
    random = np.random.default_rng([seed, 0])
    alike = np.random.default_rng([seed, 1])
    drawn = [random.choice(pool, len(matched), replace=False).tolist() for _ in range(count)]
    near = [_alike(matched, pool, means, alike) for _ in range(count)]
    return _controls("same size", drawn, means), _controls("same mean response", near, means)


def _controls(kind: str, sets: Sequence[Sequence[int]], means: NDArray[np.float64]) -> Controls:
    mean = float(np.mean([means[list(neurons)].mean() for neurons in sets]))
    return Controls(kind, tuple(tuple(sorted(neurons)) for neurons in sets), mean)


def _alike(
    matched: Sequence[int],
    pool: NDArray[np.integer],
    means: NDArray[np.float64],
    random: np.random.Generator,
) -> list[int]:
    """Return for each neuron, in random order, one of those left that are nearest to it."""
    left = pool.copy()
    chosen = []
    for neuron in random.permutation(np.asarray(matched)):
        nearest = np.argsort(np.abs(means[left] - means[neuron]), kind="stable")[:NEAR]
        at = random.choice(nearest)
        chosen.append(int(left[at]))
        left = np.delete(left, at)
    return chosen
