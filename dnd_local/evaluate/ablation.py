"""Does a network need the neurons whose labels match? Right answers a class, before and after.

What zeroing (or keeping) them changes is held against random sets of as many neurons, and of as
many with the same mean response: any set may hurt, and one that responds strongly hurts more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dnd_local.core.cards import Card
from dnd_local.core.errors import UserError
from dnd_local.evaluate.ablation_sets import Controls, Matched, control_sets
from dnd_local.evaluate.class_folders import ClassFolders
from dnd_local.evaluate.intervals import Interval, bootstrap_mean
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.session import Progress
from dnd_local.store.outputs import Cell

Classifier: TypeAlias = Literal["head", "forest"]

GROUP: Final = 64
"""Pictures handed to the network at once; it forms its own padded batches of them."""

TREES: Final = 100
"""Trees of the random forest, as many as scikit-learn's default."""

EVERY: Final = "all classes"


@dataclass(frozen=True, slots=True)
class ControlChange(Card):
    """What random sets of one kind change: mean, 5th and 95th percentile, the most extreme.

    `as_far` counts the sets that change as much: that lose as much where neurons are zeroed, that
    keep as much where all others are.
    """

    kind: str
    mean: float
    low: float
    high: float
    extreme: float
    as_far: int
    sets: int


@dataclass(frozen=True, slots=True)
class ClassChange(Card):
    """The share of right answers for a class's pictures, before and after, with its controls.

    `beyond`: no control of either kind changes as much, and where neurons are zeroed the interval
    of the change lies below 0.
    """

    name: str
    before: Interval
    after: Interval
    change: Interval
    controls: tuple[ControlChange, ...]
    beyond: bool

    def record(self) -> dict[str, Cell]:
        """Return the figures as one flat record."""
        record: dict[str, Cell] = {
            "class": self.name,
            "pictures": self.before.n,
            "before": self.before.value,
            "after": self.after.value,
            "change": self.change.value,
            "change_low": self.change.low,
            "change_high": self.change.high,
        }
        for control in self.controls:
            name = control.kind.rpartition(" ")[2]
            record |= {
                f"{name}_mean": control.mean,
                f"{name}_low": control.low,
                f"{name}_high": control.high,
                f"{name}_extreme": control.extreme,
                f"{name}_as_far": control.as_far,
            }
        return {**record, "beyond": self.beyond}


@dataclass(frozen=True, slots=True)
class Ablation(Card):
    """What zeroing, or keeping, a set of neurons does to each class and to all together."""

    matched: Matched
    keep: bool
    classifier: Classifier
    neurons: int
    mean_response: float
    controls: tuple[Controls, ...]
    changes: tuple[ClassChange, ...]
    unreadable: int

    def records(self) -> list[dict[str, Cell]]:
        """Return one record a class, and one for all together."""
        return [change.record() for change in self.changes]

    def control_records(self) -> list[dict[str, Cell]]:
        """Return one record a random set: its kind and its neurons."""
        return [
            {"kind": controls.kind, "set": number, "neurons": " ".join(map(str, neurons))}
            for controls in self.controls
            for number, neurons in enumerate(controls.sets)
        ]


def ablate(
    lab: Lab,
    matched: Matched,
    data: ClassFolders,
    columns: NDArray[np.intp] | None,
    outputs: int,
    *,
    keep: bool,
    controls: int,
    seed: int,
    progress: Progress,
) -> Ablation:
    """Return what zeroing the matched neurons changes; with `keep`, zeroing all others.

    Args:
        lab: whose network it is.
        matched: the neurons.
        data: pictures by class.
        columns: the output of each class: the network answers with the highest of them. None for
            a random forest on the layer's responses, trained anew on every set's neurons with one
            half of the pictures and asked about the other.
        outputs: how many outputs the network is known to have.
        controls: random sets of each kind.
        seed: of the controls, the intervals and the forest.

    Raises:
        UserError: no picture can be read, or the network has another number of outputs.
    """
    indices, responses = _responses(lab, matched.layer, data, progress)
    of = np.array(data.of)[indices]
    kinds = control_sets(matched.neurons, responses, controls, seed, of_all=keep)
    chosen = [matched.neurons, *(neurons for kind in kinds for neurons in kind.sets)]
    every = range(responses.shape[1])
    silent = [sorted(set(every) - set(neurons)) if keep else list(neurons) for neurons in chosen]
    sets = [[], *silent]
    if columns is None:
        classifier: Classifier = "forest"
        right, of = _right_by_forest(responses, of, sets, seed, progress)
    else:
        classifier = "head"
        right = _right_by_head(lab, matched.layer, data, columns, outputs, sets, progress)
    groups = {name: of == i for i, name in enumerate(data.classes)}
    groups = {name: mask for name, mask in groups.items() if mask.any()}
    changes = tuple(
        _change(name, right[:, mask], kinds, keep, seed)
        for name, mask in {**groups, EVERY: np.ones(len(of), dtype=np.bool_)}.items()
    )
    return Ablation(
        matched, keep, classifier, responses.shape[1],
        float(responses[:, list(matched.neurons)].mean(dtype=np.float64)),
        kinds, changes, len(data.of) - len(indices),
    )  # fmt: skip


def _responses(
    lab: Lab, layer: str, data: ClassFolders, progress: Progress
) -> tuple[list[int], NDArray[np.float32]]:
    progress.start("responses", len(data.of), len(data.of))
    indices: list[int] = []
    responses = []
    for part, pictures in data.groups(GROUP):
        responses.append(lab.target.responses(pictures, [layer])[layer])
        indices += part
        progress.advance("responses", len(part))
    progress.finish("responses", 0.0)
    if not indices:
        raise UserError(f"none of the {len(data.of)} pictures could be read")
    return indices, np.concatenate(responses)


def _right_by_head(
    lab: Lab,
    layer: str,
    data: ClassFolders,
    columns: NDArray[np.intp],
    outputs: int,
    sets: Sequence[Sequence[int]],
    progress: Progress,
) -> NDArray[np.bool_]:
    """Return which pictures the network gets right for each set, (n_sets, n_pictures)."""
    progress.start("right answers", len(data.of), len(data.of))
    right = []
    for part, pictures in data.groups(GROUP):
        answers = lab.target.outputs(pictures, layer, sets)
        if answers.shape[2] != outputs:
            raise UserError(
                f"the network has {answers.shape[2]} outputs and {outputs} names for them"
            )
        right.append(answers[:, :, columns].argmax(axis=2) == np.array(data.of)[part])
        progress.advance("right answers", len(part))
    progress.finish("right answers", 0.0)
    return np.concatenate(right, axis=1)


def _right_by_forest(
    responses: NDArray[np.float32],
    of: NDArray[np.intp],
    sets: Sequence[Sequence[int]],
    seed: int,
    progress: Progress,
) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Return which of the pictures asked about a forest gets right for each set, and their class.

    Raises:
        UserError: a class has one picture only.
    """
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import train_test_split

    if (fewest := int(np.unique(of, return_counts=True)[1].min())) < 2:
        raise UserError(f"a class has {fewest} picture; a forest needs one to learn and one to try")
    taught, asked = train_test_split(
        np.arange(len(of)), test_size=0.5, random_state=seed, stratify=of
    )
    progress.start("forests", len(sets), len(sets))
    right = []
    for silent in sets:
        left = np.setdiff1d(np.arange(responses.shape[1]), np.array(silent, dtype=np.intp))
        forest = RandomForestClassifier(TREES, random_state=seed)
        forest.fit(responses[np.ix_(taught, left)], of[taught])
        right.append(forest.predict(responses[np.ix_(asked, left)]) == of[asked])
        progress.advance("forests", 1)
    progress.finish("forests", 0.0)
    return np.stack(right), of[asked]


def _change(
    name: str, right: NDArray[np.bool_], kinds: Sequence[Controls], keep: bool, seed: int
) -> ClassChange:
    """Return a class's figures of its pictures' answers, (1 + 1 + controls, n_pictures)."""
    values = right.astype(np.float64)
    change = bootstrap_mean(values[1] - values[0], seed)
    drawn = values[2:].mean(axis=1) - values[0].mean()
    controls = []
    for kind in kinds:
        changes, drawn = drawn[: len(kind.sets)], drawn[len(kind.sets) :]
        # A mean of shares may round apart from another mean of the same shares.
        far = changes >= change.value - 1e-9 if keep else changes <= change.value + 1e-9
        extreme: Callable[..., float] = np.max if keep else np.min
        low, high = (float(np.percentile(changes, at)) for at in (5, 95))
        controls.append(
            ControlChange(
                kind.kind, float(changes.mean()), low, high, float(extreme(changes)),
                int(far.sum()), len(changes),
            )
        )  # fmt: skip
    none_as_far = not any(control.as_far for control in controls)
    return ClassChange(
        name,
        bootstrap_mean(values[0], seed),
        bootstrap_mean(values[1], seed),
        change,
        tuple(controls),
        none_as_far and (keep or change.high < 0),
    )
