"""Known truth: class names of a last layer, human annotations, words for planted concepts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from dnd_local.core.cards import Card
from dnd_local.core.descriptions import DescriptionRow, DescriptionTable
from dnd_local.core.errors import UserError
from dnd_local.evaluate.tables import ReadTable, read_text
from dnd_local.evaluate.text_similarity import EmbeddingCosine, Values

Answer: TypeAlias = Literal["right", "wrong", "silent"]

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
    own = np.diagonal(similar)[:, None]
    # Equal texts have equal vectors, but a product of matrices may round them apart.
    ranks = np.asarray((similar >= own - 1e-9).sum(axis=1) - 1, dtype=np.float64)
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


@dataclass(frozen=True)
class Vocabulary:
    """Planted concepts: for each its kind (object, colour, …) and the words that name it.

    Words match whole and in any case; of two that overlap, the longer counts ("rocket ship" is
    no ship).
    """

    kinds: Mapping[str, str]
    words: Mapping[str, str]

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        longest_first = sorted(self.words, key=lambda word: (-len(word), word))
        return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)")

    def named(self, label: str) -> tuple[str, ...]:
        """Return the concepts that a label names, in the order of their first mention."""
        text = " ".join(label.lower().split())
        found = (self.words[match.group()] for match in self._pattern.finditer(text))
        return tuple(dict.fromkeys(found))

    def answer(self, label: str, concept: str) -> Answer:
        """Return whether a label names the planted `concept`.

        Right: it names it and no other concept of the same kind. Wrong: it names another of the
        same kind, with or without the right one (listing every animal is no description).
        Silent: it names none of that kind. Concepts of other kinds do no harm: a neuron for dogs
        may well be shown on grass.

        Raises:
            UserError: the concept is not in the vocabulary.
        """
        if concept not in self.kinds:
            raise UserError(f"'{concept}' is not among the {len(self.kinds)} planted concepts")
        same_kind = {c for c in self.named(label) if self.kinds[c] == self.kinds[concept]}
        if same_kind == {concept}:
            return "right"
        return "wrong" if same_kind else "silent"


def vocabulary(kinds: Mapping[str, str], words: Mapping[str, Sequence[str]]) -> Vocabulary:
    """Return the vocabulary of concepts with their kinds and further words.

    Raises:
        UserError: a word names two concepts.
    """
    meaning: dict[str, str] = {}
    for concept in kinds:
        for word in (concept, *words[concept]):
            plain = " ".join(word.lower().split())
            if meaning.setdefault(plain, concept) != concept:
                raise UserError(f"'{plain}' names both '{meaning[plain]}' and '{concept}'")
    return Vocabulary(dict(kinds), meaning)
