"""Everything about every neuron of a run, for thousands of them: one listing of parts a stage.

`StoredRun.evidence` asks the disk anew for each neuron, which is right for one and slow for all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from dnd_local.core.cards import Card
from dnd_local.core.descriptions import Description
from dnd_local.core.records import BlobId, Concepts, LayerTriage, Neuron, Pictures
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.plan import (
    CAPTIONS,
    CONCEPTS,
    EXEMPLARS,
    PHRASES,
    PICTURES,
    RESPONSES,
    SCORES,
    TRIAGE,
    responses_of,
)
from dnd_local.pipeline.reading import Evidence, StoredRun
from dnd_local.pipeline.stage import Item, Stage

BINS: Final = 48
"""Bars of a histogram of responses: fine enough to see a second mode, wide enough to point at."""


@dataclass(frozen=True, slots=True)
class Histogram(Card):
    """How often a neuron's responses over the probe set fall into equal steps of [low, high]."""

    low: float
    high: float
    counts: tuple[int, ...]


def triages(run: StoredRun) -> dict[str, LayerTriage]:
    """Return the triage of each layer of a run."""
    layers = list(run.record.neurons)
    found = TRIAGE.read(run.lab, [Item.of_layer(layer) for layer in layers])
    return dict(zip(layers, found, strict=True))


def every_evidence(
    run: StoredRun,
    descriptions: Sequence[Description],
    classes: Mapping[str, LayerTriage],
) -> Iterator[Evidence]:
    """Yield all that is known about each described neuron, in the order of `descriptions`.

    Args:
        run: the run.
        descriptions: the neurons wanted, as `StoredRun.descriptions` gives them.
        classes: their layers' triage, as `triages` gives it.
    """
    items = [Item.of_neuron(own.neuron) for own in descriptions]
    stages = (EXEMPLARS, CAPTIONS, PHRASES, CONCEPTS, SCORES)
    missing = {stage.name: _missing(run.lab, stage, items) for stage in stages}
    painted = _Painted(run.lab)

    def part(stage: Stage[Any], item: Item) -> Any:
        return None if item.name in missing[stage.name] else stage.read(run.lab, [item])[0]

    for description, item in zip(descriptions, items, strict=True):
        neuron = description.neuron
        concepts: Concepts | None = part(CONCEPTS, item)
        yield Evidence(
            neuron=neuron,
            triage=classes[neuron.layer].neurons[neuron.index],
            exemplars=part(EXEMPLARS, item),
            captions=part(CAPTIONS, item),
            phrases=part(PHRASES, item),
            concepts=concepts,
            pictures=painted.of([c.text for c in concepts.candidates] if concepts else []),
            scores=part(SCORES, item),
            description=description,
        )


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
    items = {Item.of_neuron(neuron): neuron for neuron in run.record.wanted()}
    missing = _missing(run.lab, EXEMPLARS, list(items))
    by_neuron: dict[Neuron, tuple[BlobId, ...]] = {}
    whole: dict[int, BlobId] = {}
    for item, neuron in items.items():
        if item.name not in missing:
            exemplars = EXEMPLARS.read(run.lab, [item])[0].exemplars
            by_neuron[neuron] = tuple(e.blob for e in exemplars)
            whole.update((e.image, e.blob) for e in exemplars if e.box is None)
    return ExemplarBlobs(by_neuron, whole)


def histograms(
    run: StoredRun, neurons: Sequence[Neuron], classes: Mapping[str, LayerTriage]
) -> dict[Neuron, Histogram]:
    """Return the histogram of each neuron's responses, from one pass over its layer's chunks.

    Images that were skipped are left out. A layer whose responses are gone has no histogram.
    """
    found: dict[Neuron, Histogram] = {}
    for layer in dict.fromkeys(neuron.layer for neuron in neurons):
        own = [neuron for neuron in neurons if neuron.layer == layer]
        chunks = [Item.of_chunk(layer, i) for i in range(run.lab.chunks)]
        if not _missing(run.lab, RESPONSES, chunks):
            found.update(_layer_histograms(run.lab, layer, own, classes[layer]))
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


class _Painted:
    """The pictures of concepts, listed once and each read once however many neurons share it."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        folder = PICTURES.parts(lab).folder
        self._there = {path.stem for path in folder.iterdir()} if folder.is_dir() else set()

    def of(self, texts: Sequence[str]) -> tuple[Pictures, ...]:
        items = [Item.of_concept(text) for text in texts]
        return tuple(PICTURES.read(self._lab, [i for i in items if i.name in self._there]))


def _missing(lab: Lab, stage: Stage[Any], items: Sequence[Item]) -> set[str]:
    return set(stage.parts(lab).missing([item.name for item in items]))
