"""Networks whose neurons' meaning is known by construction: a user's own, and the embedded ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from dnd_local.core.errors import UserError
from dnd_local.evaluate.pocket_truth import TargetTruth, read_truth
from dnd_local.evaluate.tables import read_text
from dnd_local.evaluate.truth import Vocabulary, vocabulary
from dnd_local.pipeline.opening import POCKET_TARGETS
from dnd_local.pipeline.reading import StoredRun
from dnd_local.pocket import words as pocket_words


@dataclass(frozen=True, slots=True)
class Planted:
    """A network whose neurons' meaning is known: each neuron's concept, and the words for them."""

    neurons: Mapping[tuple[str, int], str]
    words: Vocabulary


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kind: str
    words: tuple[str, ...] = ()


class _PlantedFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    concepts: dict[str, _Entry]
    neurons: dict[str, dict[int, str]]


def read_planted(path: Path) -> Planted:
    """Return the planted truth of a JSON file.

    ``{"concepts": {"dog": {"kind": "object", "words": ["puppy"]}}, "neurons": {"fc": {"0":
    "dog"}}}``; a concept's own name is among its words, and a neuron without an entry has no
    truth. The ``truth.json`` of an embedded target is read too: its words are the pocket world's.

    Raises:
        UserError: the file cannot be read, has another shape, a word names two concepts, or a
            neuron has a concept that is not listed.
    """
    text, _ = read_text(path)
    try:
        if "concepts" not in msgspec.json.decode(text, type=dict[str, msgspec.Raw]):
            return _known(of_pocket(msgspec.json.decode(text, type=TargetTruth)), path)
        file = msgspec.json.decode(text, type=_PlantedFile)
    except msgspec.MsgspecError as error:
        raise UserError(f"{path} is no planted truth: {error}") from None
    words = vocabulary(
        {name: entry.kind for name, entry in file.concepts.items()},
        {name: entry.words for name, entry in file.concepts.items()},
    )
    neurons = {
        (layer, index): concept
        for layer, own in file.neurons.items()
        for index, concept in own.items()
    }
    return _known(Planted(neurons, words), path)


def planted_of_run(run: StoredRun) -> Planted:
    """Return what the neurons of a run's network stand for, which ships with the embedded targets.

    Raises:
        UserError: the network is another one.
        MissingWeights: the target is not there.
    """
    name = run.record.config.network.name
    if name not in POCKET_TARGETS:
        raise UserError(
            f"run '{run.record.name}' is about {name}, and what was planted is known of "
            f"{' and '.join(POCKET_TARGETS)} only; give a file of your own: --truth FILE.json"
        )
    return of_pocket(read_truth(run.lab, name))


def of_pocket(truth: TargetTruth) -> Planted:
    """Return the truth of an embedded target, with every word that the pocket world has for it."""
    neurons = {
        (layer, index): concept.name
        for layer in ("fc", "layer4")
        for index, concept in truth.known(layer).items()
    }
    return Planted(neurons, pocket_vocabulary())


def pocket_vocabulary() -> Vocabulary:
    """Return the concepts of the pocket world and all words for them: plurals and synonyms too."""
    known = pocket_words.vocabulary()
    things = (*known.objects, *known.categories)
    further = {thing.name: (thing.plural, *thing.synonyms) for thing in things}
    further |= {colour.name: colour.synonyms for colour in known.colours}
    further |= {pattern.name: pattern.synonyms for pattern in known.patterns}
    return vocabulary({concept.name: concept.kind for concept in known.concepts()}, further)


def _known(found: Planted, path: Path) -> Planted:
    """Return `found` if each neuron's concept is one that there are words for."""
    if unknown := sorted(set(found.neurons.values()) - found.words.kinds.keys()):
        raise UserError(f"{path}: '{unknown[0]}' is planted but not among its concepts")
    return found
