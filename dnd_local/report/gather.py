"""What a report shows of a whole run at once: exemplars' pictures, histograms, ranges of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dnd_local.core.cards import Card
from dnd_local.core.digest import seed
from dnd_local.core.records import BlobId, LayerTriage, Neuron
from dnd_local.core.sequences import grouped
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.plan import EXEMPLARS, RESPONSES, responses_of
from dnd_local.pipeline.reading import StoredRun
from dnd_local.pipeline.stage import Asked, Item

BINS: Final = 48
"""Bars of a histogram of responses: fine enough to see a second mode, wide enough to point at."""


@dataclass(frozen=True, slots=True)
class Histogram(Card):
    """How often a neuron's responses over the probe set fall into equal steps of [low, high]."""

    low: float
    high: float
    counts: tuple[int, ...]


QUANTILES: Final = (("top 1 %", 0.01), ("top 5 %", 0.05), ("top 25 %", 0.25), ("median", 0.5))
"""Places in the order of responses, highest first, at which a page shows images."""

AT_EACH: Final = 2
"""Images shown at a place."""

AT_RANDOM: Final = 4
"""Images shown that were drawn at random."""

SAMPLE: Final = 1000
"""Images of the probe set that a range is taken from, so that a report of thousands of neurons
shows thousands of times the same pictures."""


@dataclass(frozen=True, slots=True)
class ImageAt(Card):
    """An image of the probe set and a neuron's response to it."""

    image: int
    response: float


@dataclass(frozen=True, slots=True)
class RangeGroup(Card):
    """Images at one place in the order of a neuron's responses."""

    name: str
    images: tuple[ImageAt, ...]


@dataclass(frozen=True, slots=True)
class ExemplarBlobs(Card):
    """The exemplars' pictures of a run: by neuron, best first, and of whole probe images.

    A crop's page shows the image it was cut from; where that image is kept already as another
    exemplar, it need not be kept again.
    """

    by_neuron: Mapping[Neuron, tuple[BlobId, ...]]
    whole: Mapping[int, BlobId]


def exemplar_blobs(run: StoredRun) -> ExemplarBlobs:
    """Return the exemplars' pictures of every neuron of a run that has any."""
    items = [Item.of_neuron(neuron) for neuron in run.record.wanted()]
    by_neuron: dict[Neuron, tuple[BlobId, ...]] = {}
    whole: dict[int, BlobId] = {}
    for part in EXEMPLARS.read(run.lab, EXEMPLARS.there(run.lab, items)):
        by_neuron[part.neuron] = tuple(e.blob for e in part.exemplars)
        whole.update((e.image, e.blob) for e in part.exemplars if e.box is None)
    return ExemplarBlobs(by_neuron, whole)


def histograms(
    run: StoredRun, neurons: Sequence[Neuron], classes: Mapping[str, LayerTriage]
) -> dict[Neuron, Histogram]:
    """Return the histogram of each neuron's responses, from one pass over its layer's chunks.

    Images that were skipped are left out. A layer whose responses are gone has no histogram.
    """
    counted: dict[Neuron, Histogram] = {}
    for layer, in_layer in grouped(neurons, lambda neuron: neuron.layer).items():
        chunks = RESPONSES.items(run.lab, Asked((layer,)))
        if not RESPONSES.missing(run.lab, chunks):
            counted.update(_layer_histograms(run.lab, layer, in_layer, classes[layer]))
    return counted


def ranges(run: StoredRun, neurons: Sequence[Neuron]) -> dict[Neuron, tuple[RangeGroup, ...]]:
    """Return images from each neuron's highest responses down to none, and some at random.

    They are taken from `SAMPLE` images drawn at random from the probe set, the same for every
    neuron; skipped images are left out, and none is shown twice. A layer whose responses are gone
    has no ranges.
    """
    groups: dict[Neuron, tuple[RangeGroup, ...]] = {}
    for layer, in_layer in grouped(neurons, lambda neuron: neuron.layer).items():
        chunks = RESPONSES.items(run.lab, Asked((layer,)))
        if not RESPONSES.missing(run.lab, chunks):
            images, values = _sampled(run.lab, layer, [neuron.index for neuron in in_layer])
            for column, neuron in enumerate(in_layer):
                generator = np.random.default_rng(seed("range", layer, neuron.index))
                groups[neuron] = _range(images, values[:, column], generator)
    return groups


def _sampled(
    lab: Lab, layer: str, columns: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the sample's images and their responses, (n_images,) and (n_images, n_columns)."""
    generator = np.random.default_rng(seed("sample of images", lab.probe.digest))
    drawn = np.zeros(len(lab.probe), dtype=np.bool_)
    drawn[generator.permutation(len(lab.probe))[:SAMPLE]] = True
    images, rows = [], []
    for chunk in responses_of(lab, layer):
        places = np.flatnonzero(drawn[chunk.first : chunk.first + len(chunk.values)])
        values = chunk.values[places].astype(np.float64)
        usable = ~np.isnan(values).all(axis=1)
        images.append(places[usable] + chunk.first)
        rows.append(np.nan_to_num(values[usable][:, columns], nan=0.0))
    return np.concatenate(images), np.concatenate(rows)


def _range(
    images: NDArray[np.int64], values: NDArray[np.float64], generator: np.random.Generator
) -> tuple[RangeGroup, ...]:
    falling = np.argsort(-values, kind="stable")
    last = len(values) - 1
    orders = [(name, falling[round(share * last) :], AT_EACH) for name, share in QUANTILES]
    orders.append(("nearest 0", np.argsort(np.abs(values), kind="stable"), AT_EACH))
    orders.append(("at random", generator.permutation(len(values)), AT_RANDOM))
    taken: set[int] = set()
    groups = []
    for name, order, count in orders:
        chosen = [int(i) for i in order if int(i) not in taken][:count]
        taken.update(chosen)
        shown = tuple(ImageAt(int(images[i]), float(values[i])) for i in chosen)
        if shown:
            groups.append(RangeGroup(name, shown))
    return tuple(groups)


def _layer_histograms(
    lab: Lab, layer: str, neurons: Sequence[Neuron], classes: LayerTriage
) -> dict[Neuron, Histogram]:
    columns = [neuron.index for neuron in neurons]
    low = np.array([classes.neurons[i].minimum for i in columns])
    high = np.array([classes.neurons[i].maximum for i in columns])
    step = np.where(high > low, (high - low) / BINS, 1.0)
    counts = np.zeros((len(neurons), BINS), dtype=np.int64)
    row = np.arange(len(neurons)) * BINS
    for chunk in responses_of(lab, layer):
        values = chunk.values[:, columns].astype(np.float64)
        values = values[~np.isnan(values).all(axis=1)]
        # As in triage: a neuron that is NaN on some images only counts as silent there.
        places = (np.nan_to_num(values, nan=0.0) - low) / step
        bins = np.clip(places, 0, BINS - 1).astype(np.int64) + row
        counts += np.bincount(bins.ravel(), minlength=counts.size).reshape(counts.shape)
    return {
        neuron: Histogram(float(low[i]), float(high[i]), tuple(counts[i].tolist()))
        for i, neuron in enumerate(neurons)
    }
