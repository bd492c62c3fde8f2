"""Truth in words: the class names of a last layer, and annotations on which people agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dnd_local.core.cards import Card
from dnd_local.core.descriptions import DescriptionRow, DescriptionTable
from dnd_local.core.errors import UserError
from dnd_local.core.factory_names import is_factory
from dnd_local.engines import registry
from dnd_local.evaluate.tables import ReadTable, read_text
from dnd_local.evaluate.text_similarity import EmbeddingCosine, Values
from dnd_local.pipeline.opening import POCKET_TARGETS
from dnd_local.pipeline.reading import StoredRun
from dnd_local.store.weights import Weights

RELIABLE_ABOVE = 0.81
"""Two annotators agree when the CLIP cosine of their texts exceeds this (the release's choice)."""


def read_classes(path: Path, layer: str = "") -> ReadTable:
    """Return a class-name file, one name a line, as truth for a last layer: line i is neuron i.

    An empty last line is no class; an empty line elsewhere is refused, since it would shift all
    that follow.

    Raises:
        UserError: the file cannot be read, is empty, or has an empty line.
    """
    text, encoding = read_text(path)
    names = [line.strip() for line in text.rstrip().splitlines()]
    if not any(names):
        raise UserError(f"{path} is empty; it needs one class name a line")
    if "" in names:
        raise UserError(f"{path}, line {names.index('') + 1} is empty: which class is it?")
    rows = tuple(
        DescriptionRow("classes", "", layer, i, (name,), (), "described")
        for i, name in enumerate(names)
    )
    return ReadTable(DescriptionTable("classes", rows), path.name, "class names", encoding)


def classes_of_run(run: StoredRun) -> ReadTable:
    """Return the class names of a run's network, as the source of its weights knows them.

    Raises:
        UserError: the source does not know them, or the run has not the network's last layer.
    """
    name = run.record.config.network.name
    named = class_names(name, run.lab.weights)
    if named is None:
        why = (
            "the class names of {} are not known"
            if is_factory(name)
            else ("the weights of {} bring no class names")
        )
        raise UserError(
            f"{why.format(name)}: give a file of them, one a line: "
            f"dnd-local truth {run.record.name} FILE.txt"
        )
    layer, names = named
    if layer not in run.record.neurons:
        raise UserError(
            f"classes are those of the last layer of {name}, {layer}; run "
            f"'{run.record.name}' has {', '.join(run.record.neurons)}"
        )
    rows = tuple(
        DescriptionRow("classes", name, layer, index, (text,), (), "described")
        for index, text in enumerate(names)
    )
    return ReadTable(DescriptionTable("classes", rows), f"classes of {name}", "class names")


def class_names(name: str, weights: Weights) -> tuple[str, tuple[str, ...]] | None:
    """Return the last layer of a network and the name of each of its neurons.

    Args:
        name: the network's name.
        weights: where its weights lie.

    Returns:
        None where the source of its weights knows no names.
    """
    if is_factory(name):
        return None
    entry = weights.manifest.entry(POCKET_TARGETS.get(name, name))
    here = not weights.missing([entry.id])
    folder = weights.folder(entry.id) if here else weights.place(entry)
    return registry.target_classes(folder, entry.network)


@dataclass(frozen=True, slots=True)
class Retrieval(Card):
    """How often a label is nearest to its own class of all classes; chance is 1 / `classes`."""

    top_1: float
    top_5: float
    classes: int


def retrieval(
    cosine: EmbeddingCosine, labels: Sequence[str], truth: Sequence[str]
) -> tuple[Retrieval, Values]:
    """Return how often each label finds its own class among all, and every rank, 0 = first.

    A class that is as near as the right one counts as nearer, so equal texts cannot flatter.
    """
    similar = cosine.matrix(labels, truth)
    right = np.diagonal(similar)[:, None]
    # Equal texts have equal vectors, but a product of matrices may round them apart.
    ranks = np.asarray((similar >= right - 1e-9).sum(axis=1) - 1, dtype=np.float64)
    figures = Retrieval(float((ranks < 1).mean()), float((ranks < 5).mean()), len(truth))
    return figures, ranks


def reliable(
    cosine: EmbeddingCosine, annotations: Sequence[Sequence[str]], above: float = RELIABLE_ABOVE
) -> list[bool]:
    """Return for each neuron whether any two of its annotators agree.

    A neuron with a single annotation is not reliable: nothing speaks for it.
    """
    return [
        len(texts) > 1
        and bool((cosine.matrix(texts, texts)[np.triu_indices(len(texts), k=1)] > above).any())
        for texts in annotations
    ]
