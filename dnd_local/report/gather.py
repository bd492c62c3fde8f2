"""What a report shows of a whole run at once: the exemplars' pictures and all histograms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from dnd_local.core.cards import Card
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
    found: dict[Neuron, Histogram] = {}
    for layer, in_layer in grouped(neurons, lambda neuron: neuron.layer).items():
        chunks = RESPONSES.items(run.lab, Asked((layer,)))
        if not RESPONSES.missing(run.lab, chunks):
            found.update(_layer_histograms(run.lab, layer, in_layer, classes[layer]))
    return found


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
