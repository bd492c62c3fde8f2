"""Does a description predict its neuron? Six measures of simulated against real responses.

The *simulated* response of a neuron to an image is how well its label fits that image (a CLIP
cosine). Correlation uses the responses as they are; AUPRC asks whether the label finds the
images on which the neuron fires; F1 and IoU compare the two sets of such images. AUC and MAD,
as in CoSy (Kopf et al., 2024), compare responses to pictures of the label with responses to
control images.

Figures come from scipy and scikit-learn. An interval or a null needs them thousands of times,
which those functions are too slow for, so each measure has a second form here that takes one
weight an image and many weightings at once; the tests hold the two forms equal.
"""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from dnd_local.core.libraries import library

Array: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]
Simulated: TypeAlias = Literal["correlation", "auprc", "f1", "iou"]
Pictured: TypeAlias = Literal["auc", "mad"]

SIMULATED: Final[tuple[Simulated, ...]] = ("correlation", "auprc", "f1", "iou")
PICTURED: Final[tuple[Pictured, ...]] = ("auc", "mad")

TOP_SHARE: Final = 0.05
"""The share of images on which a neuron is said to fire; its label is held to the same share."""


def fires(responses: ArrayLike, share: float = TOP_SHARE) -> Mask:
    """Return the images with the highest responses, at most `share` of them, as a mask (n,).

    Images that tie at the border are all left out; where the very highest tie beyond the share,
    they alone are in. If all responses are equal, no image is in.
    """
    values = np.asarray(responses, dtype=np.float64)
    count = max(1, int(values.size * share))
    if values.size <= count or values.max() == values.min():
        return np.zeros(values.shape, dtype=np.bool_)
    border = np.partition(values, -count - 1)[-count - 1]
    above = values > border
    return np.asarray(above if above.any() else values == values.max())


def simulated_figure(name: Simulated, simulated: ArrayLike, real: ArrayLike) -> float:
    """Return one measure of simulated against real responses, both (n,), by scipy or sklearn.

    NaN where it is not defined: a neuron that never fires or a label that fits all alike.
    """
    fit, target = np.asarray(simulated, dtype=np.float64), np.asarray(real, dtype=np.float64)
    if np.ptp(fit) == 0 or np.ptp(target) == 0:
        return float("nan")
    if name == "correlation":
        return float(stats.pearsonr(fit, target).statistic)
    truth = fires(target)
    metrics = sklearn_metrics()
    if name == "auprc":
        return float(metrics.average_precision_score(truth, fit))
    score = metrics.f1_score if name == "f1" else metrics.jaccard_score
    return float(score(truth, fires(fit), zero_division=0.0))


def pictured_figure(name: Pictured, pictures: ArrayLike, control: ArrayLike) -> float:
    """Return AUC or MAD of responses to a label's pictures (q,) against control images (c,).

    AUC is the chance that a picture gets the higher response, ties one half; MAD the difference
    of means in standard deviations of the control responses. NaN where those do not vary (MAD).
    """
    shown, other = np.asarray(pictures, dtype=np.float64), np.asarray(control, dtype=np.float64)
    if name == "auc":
        truth = np.r_[np.ones(shown.size), np.zeros(other.size)]
        return float(sklearn_metrics().roc_auc_score(truth, np.r_[shown, other]))
    spread = float(other.std())
    return float((shown.mean() - other.mean()) / spread) if spread > 0 else float("nan")


def weighted_simulated(
    name: Simulated, simulated: ArrayLike, real: ArrayLike, weights: ArrayLike
) -> Array:
    """Return the measure for every row of `weights` (b, n), how often each image counts.

    Who fires is settled on the whole sample, before weighting.
    """
    fit, target = np.asarray(simulated, dtype=np.float64), np.asarray(real, dtype=np.float64)
    counts = np.asarray(weights, dtype=np.float64)
    if np.ptp(fit) == 0 or np.ptp(target) == 0:
        return np.full(counts.shape[0], np.nan)
    if name == "correlation":
        return _correlations(fit, target, counts)
    truth = fires(target)
    if name == "auprc":
        return _average_precisions(fit, truth, counts)
    return _overlaps(name, fires(fit), truth, counts)


def weighted_pictured(
    name: Pictured,
    pictures: ArrayLike,
    control: ArrayLike,
    picture_weights: ArrayLike,
    control_weights: ArrayLike,
) -> Array:
    """Return AUC or MAD for every pair of rows of weights, (b, q) and (b, c)."""
    shown, other = np.asarray(pictures, dtype=np.float64), np.asarray(control, dtype=np.float64)
    w_shown = np.asarray(picture_weights, dtype=np.float64)
    w_other = np.asarray(control_weights, dtype=np.float64)
    n_shown, n_other = w_shown.sum(axis=1), w_other.sum(axis=1)
    if name == "auc":
        wins = (shown[:, None] > other) + 0.5 * (shown[:, None] == other)
        won = ((w_shown @ wins) * w_other).sum(axis=1)
        return np.asarray(won / (n_shown * n_other))
    mean = w_other @ other / n_other
    spread = np.sqrt(np.maximum(w_other @ other**2 / n_other - mean**2, 0))
    gap = w_shown @ shown / n_shown - mean
    return _divide(gap, np.where(spread > 1e-12 * max(1.0, float(np.abs(other).max())), spread, 0))


def _correlations(fit: Array, target: Array, weights: Array) -> Array:
    total = weights.sum(axis=1)
    # Centred first: the sums of squares below would lose digits on values far from 0.
    x, y = fit - fit.mean(), target - target.mean()
    mean_x, mean_y = weights @ x / total, weights @ y / total
    covariance = weights @ (x * y) / total - mean_x * mean_y
    variances = (weights @ x**2 / total - mean_x**2) * (weights @ y**2 / total - mean_y**2)
    return _divide(covariance, np.sqrt(np.maximum(variances, 0)))


def _average_precisions(fit: Array, truth: Mask, weights: Array) -> Array:
    order = np.argsort(-fit, kind="stable")
    ordered = fit[order]
    ends = np.r_[np.flatnonzero(np.diff(ordered)), fit.size - 1]
    drawn = weights[:, order]
    hits = np.cumsum(drawn * truth[order], axis=1)[:, ends]
    seen = np.cumsum(drawn, axis=1)[:, ends]
    gained = np.diff(hits, axis=1, prepend=0)
    precision = np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)
    return _divide((gained * precision).sum(axis=1), hits[:, -1])


def _overlaps(name: Simulated, chosen: Mask, truth: Mask, weights: Array) -> Array:
    both = weights @ (chosen & truth)
    sizes = weights @ chosen.astype(np.float64) + weights @ truth.astype(np.float64)
    top, bottom = (2 * both, sizes) if name == "f1" else (both, sizes - both)
    return np.asarray(np.divide(top, bottom, out=np.zeros_like(both), where=bottom > 0))


def _divide(top: Array, bottom: Array) -> Array:
    return np.asarray(
        np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom > 0), dtype=np.float64
    )


def sklearn_metrics() -> Any:
    """Return scikit-learn's metrics module, loaded where it is used.

    Raises:
        UserError: it, or what it stands on, is not installed.
    """
    return library("sklearn.metrics")
