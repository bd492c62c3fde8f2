"""What a stored run offers to judge its labels by: held-out images and fresh pictures.

The seam between a run on disk and `faithfulness`, which sees arrays only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dnd_local.core.config import ProbeConfig
from dnd_local.core.descriptions import DescriptionRow, DescriptionTable
from dnd_local.core.errors import EngineError, UserError
from dnd_local.core.protocols import ProbeSet
from dnd_local.core.records import Pictures, Pixels, SkippedImage
from dnd_local.evaluate.faithfulness import PictureEvidence, ProbeEvidence
from dnd_local.pipeline import opening
from dnd_local.pipeline.executors import InProcess
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.plan import PICTURES
from dnd_local.pipeline.reading import StoredRun
from dnd_local.pipeline.runner import Progress, Quiet
from dnd_local.pipeline.stage import Item
from dnd_local.stages.pictures import paint
from dnd_local.store.probe_sets import read_ahead

GROUP: Final = 64
"""Pictures handed to an engine at once; it forms its own padded batches of them."""

JUDGE_PICTURES: Final = replace(
    PICTURES,
    name="judge-pictures",
    settings=lambda c: (c.pictures, c.seed, "judge"),
    run=lambda lab, items: paint(
        [item.text for item in items],
        lab.painter,
        lab.prompts,
        lab.blobs,
        lab.config.pictures.count,
        lab.config.seed,
        "judge",
    ),
)
"""Fresh pictures of labels, from seeds that never selected one; kept like every other part."""


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Images that yielded no exemplar, as the network and the embedder see them.

    `responses` is (n_images, n_neurons) by layer, `embeddings` (n_images, dimensions).
    """

    responses: Mapping[str, NDArray[np.float32]]
    embeddings: NDArray[np.float32]

    def simulate(self, texts: Sequence[str], lab: Lab) -> dict[str, NDArray[np.float64]]:
        """Return how well each text fits each image, the cosine of their embeddings."""
        distinct = list(dict.fromkeys(texts))
        vectors = lab.embedder.embed_texts(distinct).astype(np.float64)
        cosines = self.embeddings.astype(np.float64) @ vectors.T
        return {text: cosines[:, i] for i, text in enumerate(distinct)}


def table_of_run(run: StoredRun) -> DescriptionTable:
    """Return a run's labels as a table, its name the describer."""
    rows = tuple(
        DescriptionRow(
            describer=run.record.name,
            target=own.neuron.target,
            layer=own.neuron.layer,
            neuron=own.neuron.index,
            labels=tuple(label.text for label in own.labels),
            scores=tuple(label.score for label in own.labels),
            status=own.status,
        )
        for own in run.descriptions()
    )
    return DescriptionTable(run.record.name, rows)


def held_out(run: StoredRun) -> HeldOut:
    """Return the run's own held-out images.

    Raises:
        UserError: the run holds none out.
    """
    lab, layers = run.lab, list(run.record.neurons)
    kept = np.flatnonzero(~lab.eligible)
    if not kept.size:
        raise UserError(
            f"run '{run.record.name}' holds no image out (probe.holdout is 0): give --probe with "
            "images that it has not seen, or dissect again with --probe-holdout 0.2"
        )
    stored = {
        layer: np.concatenate([chunk.values[:] for chunk in lab.responses(layer)])[kept]
        for layer in layers
    }
    usable = np.all([np.isfinite(values).all(axis=1) for values in stored.values()], axis=0)
    indices = [int(i) for i in kept[usable]]
    embeddings = [lab.embedder.embed_pictures(group) for group in _grouped(lab.read_ahead(indices))]
    responses = {layer: values[usable].astype(np.float32) for layer, values in stored.items()}
    return HeldOut(responses, np.concatenate(embeddings))


def other_probe(run: StoredRun, sets: str) -> HeldOut:
    """Return another probe set as held-out images, run through network and embedder now.

    Raises:
        UserError: it is the run's own probe set, is not there, or has no usable image.
    """
    lab, layers = run.lab, list(run.record.neurons)
    names = tuple(part.strip() for part in sets.split("+"))
    probe: ProbeSet = opening.open_probe_set(ProbeConfig(sets=names), lab.execution)
    if probe.digest == lab.probe.digest:
        raise UserError(
            f"--probe {sets} is the set that the exemplars come from; a judge needs other images"
        )
    images = read_ahead(probe, range(len(probe)), opening.decoding_threads())
    responses: dict[str, list[NDArray[np.float32]]] = {layer: [] for layer in layers}
    embeddings: list[NDArray[np.float32]] = []
    for group in _grouped(images):
        for layer, values in lab.target.responses(group, layers).items():
            responses[layer].append(values)
        embeddings.append(lab.embedder.embed_pictures(group))
    if not embeddings:
        raise UserError(f"no image of --probe {sets} could be read")
    return HeldOut(
        {layer: np.concatenate(values) for layer, values in responses.items()},
        np.concatenate(embeddings),
    )


def fresh_pictures(
    run: StoredRun, texts: Sequence[str], progress: Progress | None = None
) -> dict[str, dict[str, NDArray[np.float32]]]:
    """Return responses to fresh pictures by layer and text, (n_pictures, n_neurons) each.

    Pictures are painted once and kept; the same texts cost nothing the next time.

    Raises:
        EngineError: some could not be painted.
    """
    lab, layers, watch = run.lab, list(run.record.neurons), progress or Quiet()
    items = [Item.of_concept(text) for text in dict.fromkeys(texts)]
    missing = set(lab.parts(JUDGE_PICTURES).missing([item.name for item in items]))
    todo = [item for item in items if item.name in missing]
    watch.start(JUDGE_PICTURES.name, len(items), len(todo))
    if todo:
        failed = InProcess(lab).make(
            JUDGE_PICTURES, todo, lambda done: watch.advance(JUDGE_PICTURES.name, done)
        )
        # The painter is not asked again, and the target needs its memory.
        lab.close()
        if failed:
            raise EngineError(f"{len(failed)} texts were not painted: {failed[0].reason}")
    watch.finish(JUDGE_PICTURES.name, 0.0)
    found: dict[str, dict[str, NDArray[np.float32]]] = {layer: {} for layer in layers}
    painted: list[Pictures] = lab.read(JUDGE_PICTURES, items)
    for own in painted:
        pixels = [lab.blobs.get(picture.blob) for picture in own.pictures]
        for layer, values in lab.target.responses(pixels, layers).items():
            found[layer][own.concept] = values
    return found


def probe_evidence(
    layer: str, columns: Sequence[int], images: HeldOut, texts: Sequence[str], lab: Lab
) -> ProbeEvidence:
    """Return `faithfulness`'s view of held-out images for some neurons of one layer."""
    real = images.responses[layer][:, list(columns)].astype(np.float64)
    return ProbeEvidence(real, images.simulate(texts, lab))


def picture_evidence(
    layer: str,
    columns: Sequence[int],
    images: HeldOut,
    pictured: Mapping[str, Mapping[str, NDArray[np.float32]]],
) -> PictureEvidence:
    """Return `faithfulness`'s view of fresh pictures; the held-out images are the control."""
    own = list(columns)
    return PictureEvidence(
        {text: values[:, own] for text, values in pictured[layer].items()},
        images.responses[layer][:, own].astype(np.float64),
    )


def _grouped(images: Iterator[tuple[int, Pixels | SkippedImage]]) -> Iterator[list[Pixels]]:
    """Yield readable pictures in groups of `GROUP`."""
    group: list[Pixels] = []
    for _, image in images:
        if not isinstance(image, SkippedImage):
            group.append(image)
        if len(group) == GROUP:
            yield group
            group = []
    if group:
        yield group
