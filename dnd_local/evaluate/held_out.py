"""Held-out judging: verdicts on labels from images and pictures that chose none of them.

Images that yielded no exemplar, and pictures painted from fresh seeds, are put to a stored run's
network and embedder; `null_tests` turns the responses into verdicts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dnd_local.core.config import ProbeConfig
from dnd_local.core.descriptions import DescriptionRow, DescriptionTable
from dnd_local.core.errors import EngineError, UserError
from dnd_local.core.protocols import ProbeSet
from dnd_local.core.records import Pixels, SkippedImage
from dnd_local.core.sequences import distinct, grouped
from dnd_local.core.tiles import shown
from dnd_local.evaluate.judged_rows import rows_of_run
from dnd_local.evaluate.null_labels import POOL
from dnd_local.evaluate.null_tests import CONSTANT_WORD, PictureEvidence, ProbeEvidence, judge
from dnd_local.evaluate.response_measures import sklearn_metrics
from dnd_local.evaluate.verdicts import Verdict
from dnd_local.pipeline import opening
from dnd_local.pipeline.executors import InProcess
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.plan import (
    PICTURES,
    paint_blocks,
    painted_alike,
    responses_of,
)
from dnd_local.pipeline.race_rounds import picture_blocks
from dnd_local.pipeline.reading import StoredRun
from dnd_local.pipeline.session import Progress, Quiet
from dnd_local.stages.pictures import join_blocks
from dnd_local.store.in_use import at_work
from dnd_local.store.probe_sets import read_ahead

EvidenceKind: TypeAlias = Literal["images", "pictures"]
EVIDENCE_KINDS: Final[tuple[EvidenceKind, ...]] = ("images", "pictures")

Reactions: TypeAlias = Mapping[str, Mapping[str, NDArray[np.float32]]]
"""Responses to pictures by layer and text, (n_pictures, n_neurons) each."""

GROUP: Final = 64
"""Pictures handed to an engine at once; it forms its own padded batches of them."""

FEWEST_HELD_OUT: Final = 20
"""A correlation over fewer images says nothing."""

JUDGE_PICTURES: Final = replace(
    PICTURES,
    name="judge-pictures",
    title="judge-pictures: fresh pictures of the labels",
    settings=lambda c: painted_alike(c, "judge"),
    run=lambda lab, items: paint_blocks(lab, items, "judge"),
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
        asked = distinct(texts)
        vectors = lab.embedder.embed_texts(asked).astype(np.float64)
        cosines = self.embeddings.astype(np.float64) @ vectors.T
        return {text: cosines[:, i] for i, text in enumerate(asked)}


def judge_run(
    run: StoredRun,
    labels: DescriptionTable,
    *,
    probe: str = "",
    kinds: Sequence[EvidenceKind] = EVIDENCE_KINDS,
    word: str = CONSTANT_WORD,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[Verdict, ...]:
    """Return a verdict for every labelled neuron of the run, layer by layer.

    Args:
        run: whose network and images judge.
        labels: whose labels are judged; rows of neurons that the run has not are left out.
        probe: another probe set (A+B) instead of the run's own held-out images.
        kinds: ``images``: CLIP-simulated against real responses on held-out images;
            ``pictures``: responses to fresh pictures of the label against held-out images.
        word: the constant word of the second null.

    Raises:
        UserError: the run holds no image out and no probe is named, or no label is for a neuron of
            the run.
    """
    (verdicts,) = judge_tables(
        run, [labels], probe=probe, kinds=kinds, word=word, seed=seed, progress=progress
    )
    return verdicts


def judge_tables(
    run: StoredRun,
    tables: Sequence[DescriptionTable],
    *,
    probe: str = "",
    kinds: Sequence[EvidenceKind] = EVIDENCE_KINDS,
    word: str = CONSTANT_WORD,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[tuple[Verdict, ...]]:
    """Return the verdicts on each describer's labels, as `judge_run` does for one.

    Images and pictures are put to the network once, however many describers there are. The labels
    of one describer are no null of another's.
    """
    sklearn_metrics()  # said before anything is computed
    asked = [rows_of_run(run, labels) for labels in tables]
    images = other_probe(run, probe) if probe else held_out(run)
    texts = [*(row.labels[0] for rows in asked for row in rows), word]
    reactions = fresh_pictures(run, texts, progress) if "pictures" in kinds else {}
    return [_judge_rows(run, rows, images, reactions, kinds, word, seed) for rows in asked]


def _judge_rows(
    run: StoredRun,
    rows: Sequence[DescriptionRow],
    images: HeldOut,
    reactions: Reactions,
    kinds: Sequence[EvidenceKind],
    word: str,
    seed: int,
) -> tuple[Verdict, ...]:
    verdicts: list[Verdict] = []
    for layer, in_layer in grouped(rows, lambda row: row.layer).items():
        columns = [row.neuron for row in in_layer]
        texts = [row.labels[0] for row in in_layer]
        fits = images.simulate([*texts, word, *POOL], run.lab)
        by_images = by_pictures = None
        if "images" in kinds:
            real = images.responses[layer][:, columns].astype(np.float64)
            by_images = ProbeEvidence(real, fits)
        if "pictures" in kinds:
            by_pictures = _picture_evidence(layer, columns, images, reactions)
        keys = [(layer, index) for index in columns]
        verdicts += judge(
            keys, texts, by_images, by_pictures, fits=fits, pool=POOL, word=word, seed=seed
        )
    return tuple(verdicts)


def check_held_out(lab: Lab) -> None:
    """Check that a run with these settings holds out enough images to judge labels on.

    Raises:
        UserError: fewer than `FEWEST_HELD_OUT`.
    """
    count = int(np.count_nonzero(~lab.eligible))
    if count < FEWEST_HELD_OUT:
        raise UserError(
            f"probe.holdout {lab.config.probe.holdout:g} of {len(lab.probe)} images holds out "
            f"{count}, and labels are judged on {FEWEST_HELD_OUT} at least; give a larger --probe "
            "or --probe-holdout, or judge the run later on other images: dnd-local evaluate RUN "
            "--probe SET"
        )


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
        layer: np.concatenate([chunk.values[:] for chunk in responses_of(lab, layer)])[kept]
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
    seen = lab.as_seen(probe)
    images = read_ahead(seen, range(len(probe)), opening.decoding_threads())
    responses: dict[str, list[NDArray[np.float32]]] = {layer: [] for layer in layers}
    embeddings: list[NDArray[np.float32]] = []
    for group in _grouped(images):
        for layer, values in lab.target.responses(group, layers).items():
            responses[layer].append(values)
        embeddings.append(lab.embedder.embed_pictures([shown(seen, one) for one in group]))
    if not embeddings:
        raise UserError(f"no image of --probe {sets} could be read")
    return HeldOut(
        {layer: np.concatenate(values) for layer, values in responses.items()},
        np.concatenate(embeddings),
    )


def fresh_pictures(
    run: StoredRun, texts: Sequence[str], progress: Progress | None = None
) -> Reactions:
    """Return responses to fresh pictures of texts.

    Pictures are painted once and kept; the same texts cost nothing the next time.

    Raises:
        EngineError: some could not be painted.
    """
    lab, layers, watch = run.lab, list(run.record.neurons), progress or Quiet()
    items = picture_blocks(lab.config, texts)
    todo = JUDGE_PICTURES.missing(lab, items)
    watch.start(JUDGE_PICTURES.name, len(items), len(todo))
    if todo:
        with at_work(lab.execution.workspace):
            failures = (
                InProcess(lab)
                .make(JUDGE_PICTURES, todo, lambda done: watch.advance(JUDGE_PICTURES.name, done))
                .failures
            )
        # The painter is not asked again, and the target needs its memory.
        lab.close()
        if failures:
            raise EngineError(f"{len(failures)} texts were not painted: {failures[0].reason}")
    watch.finish(JUDGE_PICTURES.name, 0.0)
    reactions: dict[str, dict[str, NDArray[np.float32]]] = {layer: {} for layer in layers}
    for pictures in join_blocks(JUDGE_PICTURES.read(lab, items)):
        pixels = [lab.blobs.get(picture.blob) for picture in pictures.pictures]
        for layer, values in lab.target.responses(pixels, layers).items():
            reactions[layer][pictures.concept] = values
    return reactions


def _picture_evidence(
    layer: str, columns: Sequence[int], images: HeldOut, reactions: Reactions
) -> PictureEvidence:
    """Return the evidence of fresh pictures; the held-out images are the control."""
    neurons = list(columns)
    return PictureEvidence(
        {text: values[:, neurons] for text, values in reactions[layer].items()},
        images.responses[layer][:, neurons].astype(np.float64),
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
