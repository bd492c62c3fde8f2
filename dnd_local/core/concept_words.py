"""Which concepts a text names: the one answer to "does this label name this concept"."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal, TypeAlias

from dnd_local.core.errors import UserError
from dnd_local.core.sequences import distinct

Answer: TypeAlias = Literal["right", "wrong", "silent"]

_FILLER: Final = frozenset((
    "a", "an", "and", "background", "backgrounds", "in", "image", "images", "of", "on", "or",
    "picture", "pictures", "some", "the", "with",
))  # fmt: skip
"""Words of a label that say nothing of what is seen."""


@dataclass(frozen=True)
class ConceptWords:
    """Concepts, the kind of each (object, colour, …), and the concept behind every word.

    Words match whole and in any case; of two that overlap, the longer counts ("rocket ship" is
    no ship).
    """

    kinds: Mapping[str, str]
    words: Mapping[str, str]

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        longest_first = sorted(self.words, key=lambda word: (-len(word), word))
        return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)")

    def named(self, text: str) -> tuple[str, ...]:
        """Return the concepts that a text names, in the order of their first mention."""
        matches = self._pattern.finditer(_plain(text))
        return tuple(distinct(self.words[match.group()] for match in matches))

    def answer(self, label: str, concept: str) -> Answer:
        """Return whether a label names a concept.

        Right: it names it and no other concept of the same kind. Wrong: it names another of the
        same kind, with or without the right one (listing every animal is no description).
        Silent: it names none of that kind. Concepts of other kinds do no harm: a neuron for dogs
        may well be shown on grass.

        Raises:
            UserError: the concept has no words here.
        """
        if concept not in self.kinds:
            raise UserError(f"'{concept}' is not among the {len(self.kinds)} planted concepts")
        same_kind = {c for c in self.named(label) if self.kinds[c] == self.kinds[concept]}
        if same_kind == {concept}:
            return "right"
        return "wrong" if same_kind else "silent"


def concept_words(kinds: Mapping[str, str], further: Mapping[str, Sequence[str]]) -> ConceptWords:
    """Return the words of concepts: each concept's own name and its `further` words.

    Args:
        kinds: the kind of each concept.
        further: more words for concepts; those it leaves out have their name only.

    Raises:
        UserError: a word names two concepts.
    """
    meaning: dict[str, str] = {}
    for concept in kinds:
        for word in (concept, *further.get(concept, ())):
            if meaning.setdefault(_plain(word), concept) != concept:
                raise UserError(
                    f"'{_plain(word)}' names both '{meaning[_plain(word)]}' and '{concept}'"
                )
    return ConceptWords(dict(kinds), meaning)


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def content_words(text: str) -> frozenset[str]:
    """Return the words that carry meaning, without the endings of plurals."""
    words = [word for word in re.findall(r"\w+", text.lower()) if word not in _FILLER]
    return frozenset(word.removesuffix("s") for word in words)
