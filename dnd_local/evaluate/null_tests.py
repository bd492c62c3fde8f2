"""A verdict for every neuron: supported, weak, or no better than the null.

A label is judged by how well it predicts responses (`response_measures`), against two nulls: labels
that are not its own (`null_labels`), and one constant word. A measure *clears* the nulls when the
lower end of its bootstrap interval is above the mean of the others and above the constant word, and
its value is above the 95th percentile of the others (above all of them where they are fewer than
twenty). Supported: every deciding measure clears, and the label is among the discoveries of its
layer at a false discovery rate of `FALSE_DISCOVERIES` (Benjamini and Hochberg, 1995). Weak: at
least one clears. Otherwise the label is no better than the null, and the describer should have
abstained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from dnd_local.core.errors import UserError
from dnd_local.core.ranking import share_below
from dnd_local.evaluate.intervals import draw_counts, percentile_interval
from dnd_local.evaluate.null_labels import null_labels, plain
from dnd_local.evaluate.response_measures import (
    PICTURED,
    SIMULATED,
    Array,
    Pictured,
    fires,
    pictured_figure,
    simulated_figure,
    weighted_pictured,
    weighted_simulated,
)
from dnd_local.evaluate.verdicts import DECIDING, Judged, Ruling, Verdict

RESAMPLES: Final = 1000
"""Bootstrap resamples of the images."""

FEWEST: Final = 20
"""So many wrong labels each picture measure is compared with; where pictures of so many were not
painted, as many random draws of control images stand in for the rest."""

FALSE_DISCOVERIES: Final = 0.05
"""The share of supported labels of a layer that may owe it to chance."""

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
    fits: Mapping[str, Array] | None = None,
    pool: Sequence[str] = (),
    word: str = CONSTANT_WORD,
    seed: int = 0,
) -> tuple[Verdict, ...]:
    """Return a verdict for every label, all of one layer.

    Args:
        keys: layer and index of each neuron; its column in the evidence is its place here.
        labels: the label of each neuron, in the same order. To see whether a verdict can tell,
            give the same labels in another order.
        probe: evidence from held-out images, where there are any.
        pictures: evidence from fresh pictures, where there are any.
        fits: how well each text fits each held-out image, (n_images,), to keep near-synonyms out
            of the null; by default what `probe` simulates.
        pool: further texts for the null, beside the labels; `probe` must simulate them.
        word: the constant word; its null is left out where the evidence has not got it.

    Raises:
        UserError: no evidence, or none but held-out images and nothing to compare a label with.
    """
    if probe is None and pictures is None:
        raise UserError("nothing to judge by: the run has no holdout; give --probe")
    if pictures is None and not pool and len(set(map(plain, labels))) < 2:
        raise UserError("the null needs the labels of other neurons: two different labels at least")
    rng = np.random.default_rng(seed)
    draws = None if probe is None else draw_counts(len(probe.real), RESAMPLES, rng)
    control_draws = None if pictures is None else draw_counts(len(pictures.control), RESAMPLES, rng)
    if fits is None:
        fits = {} if probe is None else probe.simulated
    judged: list[tuple[list[Judged], float]] = []
    for column, label in enumerate(labels):
        others = null_labels(label, labels, fits, pool, rng)
        measures: list[Judged] = []
        reach = float("nan")
        if probe is not None and draws is not None:
            measures += judge_on_probe(probe, column, label, others, word, draws)
            reach = share_below(
                probe.real[fires(probe.simulated[label]), column], probe.real[:, column]
            )
        if pictures is not None and control_draws is not None:
            picture_draws = draw_counts(len(pictures.pictured[label]), RESAMPLES, rng)
            both = (picture_draws, control_draws)
            measures += judge_on_pictures(pictures, column, label, others, word, both, rng)
            reach = share_below(pictures.pictured[label][:, column], pictures.control[:, column])
        judged.append((measures, reach))
    supported = discoveries([measures for measures, _ in judged])
    return tuple(
        _verdict(layer, neuron, label, measures, reach, discovered)
        for (layer, neuron), label, (measures, reach), discovered in zip(
            keys, labels, judged, supported, strict=True
        )
    )


def discoveries(measured: Sequence[Sequence[Judged]]) -> list[bool]:
    """Return which labels of a layer are discoveries at the rate of `FALSE_DISCOVERIES`.

    A label is as likely to owe its figures to chance as the weakest of its deciding measures.
    """
    chances = [
        max((measure.chance for measure in measures if measure.measure in DECIDING), default=1.0)
        for measures in measured
    ]
    adjusted = stats.false_discovery_control(chances) if chances else np.zeros(0)
    return [bool(value <= FALSE_DISCOVERIES) for value in adjusted]


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
    rng: np.random.Generator,
) -> list[Judged]:
    """Return AUC and MAD of one label's fresh pictures against the control images.

    `draws` says how often each resample takes each picture, and each control image. Of `others`
    those count that were painted; `rng` draws control images in place of the rest of `FEWEST`.
    """
    control = evidence.control[:, column].astype(np.float64)
    pictured = evidence.pictured[label][:, column].astype(np.float64)
    wrong = [evidence.pictured[o][:, column] for o in others if o in evidence.pictured]
    while len(wrong) < FEWEST:
        wrong.append(rng.choice(control, size=pictured.size))
    judged = []
    for name in PICTURED:
        null = [_pictured_once(name, pictures, control) for pictures in wrong]
        at_word = (
            pictured_figure(name, evidence.pictured[word][:, column], control)
            if word in evidence.pictured
            else float("nan")
        )
        value = pictured_figure(name, pictured, control)
        spread = weighted_pictured(name, pictured, control, *draws)
        judged.append(_judged(name, value, spread, null, at_word))
    return judged


def _pictured_once(name: Pictured, pictures: ArrayLike, control: Array) -> float:
    """Return a measure of pictures as they are, by the form that is fast."""
    pictured = np.asarray(pictures, dtype=np.float64)
    once = (np.ones((1, pictured.size)), np.ones((1, control.size)))
    return float(weighted_pictured(name, pictured, control, *once)[0])


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


def _verdict(
    layer: str,
    neuron: int,
    label: str,
    measures: Sequence[Judged],
    reach: float,
    discovered: bool,
) -> Verdict:
    deciding = [judged for judged in measures if judged.measure in DECIDING]
    cleared = sum(judged.clears for judged in deciding)
    ruling: Ruling = "no better than the null"
    if cleared:
        ruling = "supported" if cleared == len(deciding) and discovered else "weak"
    support = float(np.mean([judged.percentile for judged in deciding]))
    return Verdict(layer, neuron, label, ruling, support, tuple(measures), reach)
