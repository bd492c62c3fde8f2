"""CLIP-Dissect on the very responses and images that a run of ours would use."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dnd_local.core.config import Config, Execution
from dnd_local.core.descriptions import DescriptionRow, DescriptionTable
from dnd_local.core.errors import UserError
from dnd_local.core.records import LayerTriage, Neuron
from dnd_local.core.sequences import distinct
from dnd_local.evaluate.held_out import GROUP
from dnd_local.evaluate.tables import read_text
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.plan import responses_of
from dnd_local.pipeline.runner import triage_layers
from dnd_local.pipeline.selection import Selection
from dnd_local.pipeline.session import Progress
from dnd_local.stages.clip_dissect import Similarity, describe


def read_concepts(path: Path) -> tuple[str, ...]:
    """Return a concept list, one a line, without empty lines and repeats.

    Raises:
        UserError: the file cannot be read or names no concept.
    """
    text, _ = read_text(path)
    concepts = tuple(distinct(line.strip() for line in text.splitlines() if line.strip()))
    if not concepts:
        raise UserError(f"{path} names no concept; it needs one a line")
    return concepts


def clip_dissect(
    config: Config,
    execution: Execution,
    selection: Selection,
    concepts: Sequence[str],
    similarity: Similarity = "soft-wpmi",
    progress: Progress | None = None,
) -> DescriptionTable:
    """Return CLIP-Dissect's labels of the neurons selected.

    Responses are those of a run with these settings, made where they are missing. Held-out
    images stay out here too, so that they can judge either describer. Dead, constant and
    duplicate neurons get no label, as in a run.

    Raises:
        UserError: missing weights or probe set, an unknown layer or neuron.
    """
    triages = dict(
        zip(
            selection.layers,
            triage_layers(config, execution, selection.layers, progress),
            strict=True,
        )
    )
    wanted = selection.resolve({layer: len(triage.neurons) for layer, triage in triages.items()})
    lab = Lab(config, execution, execution.devices[0])
    try:
        texts = lab.embedder.embed_texts(list(concepts))
        kept, pictures = _embedded(lab)
        rows: list[DescriptionRow] = []
        for layer, indices in wanted.items():
            values = np.concatenate([chunk.values for chunk in responses_of(lab, layer)])[kept]
            neurons = [Neuron(config.network.name, layer, int(index)) for index in indices]
            columns = values[:, [neuron.index for neuron in neurons]]
            table = describe(neurons, columns, pictures, texts, concepts, similarity)
            rows += _with_triage(table.rows, triages[layer])
    finally:
        lab.close()
    return DescriptionTable(f"clip-dissect:{similarity}", tuple(rows))


def _embedded(lab: Lab) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return the readable probe images that may yield exemplars, and their embeddings."""
    kept: list[int] = []
    waiting = []
    embeddings: list[NDArray[np.float32]] = []
    for index, image in lab.read_ahead([int(i) for i in np.flatnonzero(lab.eligible)]):
        if isinstance(image, np.ndarray):
            kept.append(index)
            waiting.append(image)
        if len(waiting) == GROUP:
            embeddings.append(lab.embedder.embed_pictures(waiting))
            waiting = []
    if waiting:
        embeddings.append(lab.embedder.embed_pictures(waiting))
    if not embeddings:
        raise UserError("no image of the probe set could be read")
    return np.array(kept), np.concatenate(embeddings)


def _with_triage(rows: Iterable[DescriptionRow], triage: LayerTriage) -> list[DescriptionRow]:
    live = {neuron.index for neuron in triage.neurons if neuron.verdict == "live"}
    verdicts = {neuron.index: neuron.verdict for neuron in triage.neurons}
    return [
        row
        if row.neuron in live
        else replace(row, labels=(), scores=(), status=verdicts[row.neuron])  # type: ignore[arg-type]
        for row in rows
    ]
