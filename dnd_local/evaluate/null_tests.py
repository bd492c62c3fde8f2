"""A verdict for every neuron: supported, weak, or no better than the null.

A label is judged by how well it predicts responses (`response_measures`), against two nulls: the
labels of other neurons, and one constant word. A measure *clears* the nulls when the lower end of
its bootstrap interval is above the mean of the others' labels and above the constant word, and its
value is above the 95th percentile of the others' labels (above all of them where they are fewer
than twenty). Supported: every deciding measure clears. Weak: at least one does. Otherwise the
label is no better than the null, and the describer should have abstained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dnd_local.core.errors import UserError
from dnd_local.evaluate.intervals import draw_counts, percentile_interval
from dnd_local.evaluate.response_measures import (
    PICTURED,
    SIMULATED,
    Array,
    pictured_figure,
    simulated_figure,
    weighted_pictured,
    weighted_simulated,
)
from dnd_local.evaluate.verdicts import DECIDING, Judged, Ruling, Verdict

RESAMPLES: Final = 1000
"""Bootstrap resamples of the images."""

NULL_LABELS: Final = 200
"""Other neurons' labels that make the null, at most."""

CONSTANT_WORD: Final = "object"
"""The constant word: true of nearly everything, so it predicts nearly nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class ProbeEvidence:
    """What CLIP makes of every text on the held-out images.

    `simulated` has, for each text, its cosine to every held-out image, shape (n_images,).
    `real` the responses, shape (n_images, n_neurons).
    """

    real: Array
    simulated: Mapping[str, Array]


@dataclass(frozen=True, slots=True, eq=False)
class PictureEvidence:
    """Responses to fresh pictures of every text, and to control images.

    `pictured` has, for each text, shape (n_pictures, n_neurons); `control` (n_control, n_neurons).
    """

    pictured: Mapping[str, NDArray[np.float32]]
    control: Array


def judge(
    keys: Sequence[tuple[str, int]],
    labels: Sequence[str],
    probe: ProbeEvidence | None,
    pictures: PictureEvidence | None,
    *,
    word: str = CONSTANT_WORD,
    seed: int = 0,
) -> tuple[Verdict, ...]:
    """Return a verdict for every label.

    Args:
        keys: layer and index of each neuron; its column in the evidence is its place here.
        labels: the label of each neuron, in the same order. To see whether a verdict can tell,
            give the same labels in another order.
        probe: evidence from held-out images, where there are any.
        pictures: evidence from fresh pictures, where there are any.
        word: the constant word; its null is left out where the evidence has not got it.

    Raises:
        UserError: no evidence, or fewer than two different labels.
    """
    if probe is None and pictures is None:
        raise UserError("nothing to judge by: the run has no holdout; give --probe")
    if len(set(map(_plain, labels))) < 2:
        raise UserError("the null needs the labels of other neurons: two different labels at least")
    rng = np.random.default_rng(seed)
    draws = None if probe is None else draw_counts(len(probe.real), RESAMPLES, rng)
    control_draws = None if pictures is None else draw_counts(len(pictures.control), RESAMPLES, rng)
    verdicts = []
    for column, ((layer, neuron), label) in enumerate(zip(keys, labels, strict=True)):
        others = _others(label, labels, rng)
        measures: list[Judged] = []
        if probe is not None and draws is not None:
            measures += judge_on_probe(probe, column, label, others, word, draws)
        if pictures is not None and control_draws is not None:
            picture_draws = draw_counts(len(pictures.pictured[label]), RESAMPLES, rng)
            measures += judge_on_pictures(
                pictures, column, label, others, word, (picture_draws, control_draws)
            )
        verdicts.append(_verdict(layer, neuron, label, measures))
    return tuple(verdicts)


def judge_on_probe(
    evidence: ProbeEvidence,
    column: int,
    label: str,
    others: Sequence[str],
    word: str,
    draws: Array,
) -> list[Judged]:
    """Return correlation, AUPRC, F1 and IoU of one label on the held-out images.

    `draws` (resamples, n_images) says how often each resample takes each image; all neurons
    share it.
    """
    real = evidence.real[:, column].astype(np.float64)
    simulated = evidence.simulated[label]
    once = np.ones((1, real.size))
    judged = []
    for name in SIMULATED:
        null = [
            float(weighted_simulated(name, evidence.simulated[other], real, once)[0])
            for other in others
        ]
        at_word = (
            simulated_figure(name, evidence.simulated[word], real)
            if word in evidence.simulated
            else float("nan")
        )
        value = simulated_figure(name, simulated, real)
        spread = weighted_simulated(name, simulated, real, draws)
        judged.append(_judged(name, value, spread, null, at_word))
    return judged


def judge_on_pictures(
    evidence: PictureEvidence,
    column: int,
    label: str,
    others: Sequence[str],
    word: str,
    draws: tuple[Array, Array],
) -> list[Judged]:
    """Return AUC and MAD of one label's fresh pictures against the control images.

    `draws` says how often each resample takes each picture, and each control image.
    """
    control = evidence.control[:, column].astype(np.float64)
    pictured = evidence.pictured[label][:, column].astype(np.float64)
    judged = []
    for name in PICTURED:
        null = [
            float(
                weighted_pictured(
                    name,
                    evidence.pictured[other][:, column],
                    control,
                    np.ones((1, len(evidence.pictured[other]))),
                    np.ones((1, control.size)),
                )[0]
            )
            for other in others
        ]
        at_word = (
            pictured_figure(name, evidence.pictured[word][:, column], control)
            if word in evidence.pictured
            else float("nan")
        )
        value = pictured_figure(name, pictured, control)
        spread = weighted_pictured(name, pictured, control, *draws)
        judged.append(_judged(name, value, spread, null, at_word))
    return judged


def _judged(
    name: str, value: float, spread: ArrayLike, null: Sequence[float], word: float
) -> Judged:
    low, high = percentile_interval(spread)
    known = np.asarray(null, dtype=np.float64)
    known = known[np.isfinite(known)]
    if not known.size:
        known = np.array([np.nan])
    below = np.mean(known < value) + 0.5 * np.mean(known == value)
    return Judged(
        measure=name,
        value=value,
        low=low,
        high=high,
        null_mean=float(known.mean()),
        null_high=float(np.quantile(known, 0.95, method="higher")),
        word=word,
        percentile=float(below) if np.isfinite(value) else 0.0,
    )


def _verdict(layer: str, neuron: int, label: str, measures: Sequence[Judged]) -> Verdict:
    deciding = [judged for judged in measures if judged.measure in DECIDING]
    cleared = sum(judged.clears for judged in deciding)
    ruling: Ruling = "no better than the null"
    if cleared:
        ruling = "supported" if cleared == len(deciding) else "weak"
    support = float(np.mean([judged.percentile for judged in deciding]))
    return Verdict(layer, neuron, label, ruling, support, tuple(measures))


def _others(label: str, labels: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Return the other neurons' labels, repeats included, without those equal to `label`."""
    others = [other for other in labels if _plain(other) != _plain(label)]
    if len(others) > NULL_LABELS:
        chosen = rng.choice(len(others), size=NULL_LABELS, replace=False)
        others = [others[i] for i in sorted(chosen)]
    return others


def _plain(label: str) -> str:
    return " ".join(label.lower().split())
