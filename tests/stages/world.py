"""What the stage tests share: pictures kept in memory, a richer probe set, any way to split."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from typing import TypeVar

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from dnd_local.core.config import ConceptsConfig, ExemplarsConfig, LlmConfig
from dnd_local.core.protocols import UnreadableImage
from dnd_local.core.records import (
    BlobId,
    Captions,
    Concepts,
    Exemplars,
    Neuron,
    Phrases,
    Pictures,
    Pixels,
)
from dnd_local.stages.captions import caption
from dnd_local.stages.concepts import conceive
from dnd_local.stages.exemplars import exemplify
from dnd_local.stages.phrases import simplify
from dnd_local.stages.pictures import paint
from dnd_local.store.prompts import PromptFolder
from tests.fakes import LAYER, Calls, FakeCaptioner, FakeLanguageModel, FakePainter, FakeTarget

A = TypeVar("A")
B = TypeVar("B")
SEED = 11
LLM = LlmConfig()


class MemoryBlobs:
    """`Blobs` in a dictionary; a name depends on the pixels alone."""

    def __init__(self) -> None:
        self.kept: dict[BlobId, Pixels] = {}

    def put(self, pixels: NDArray[np.uint8]) -> BlobId:
        name = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
        self.kept[name] = pixels if pixels.ndim == 3 else np.stack([pixels] * 3, axis=-1)
        return name

    def get(self, blob: BlobId) -> Pixels:
        return self.kept[blob]

    def put_all(self, pictures: Sequence[NDArray[np.uint8]], quality: int = 0) -> list[BlobId]:
        return [self.put(picture) for picture in pictures]

    def get_all(self, blobs: Sequence[BlobId]) -> list[Pixels]:
        return [self.get(blob) for blob in blobs]


class PatchProbe:
    """Pictures of bright patches of any colour on a dark ground, some not square."""

    digest = "1" * 64

    def __init__(self, count: int = 16, broken: Sequence[int] = ()) -> None:
        self.count, self.broken = count, broken

    def __len__(self) -> int:
        return self.count

    def name(self, index: int) -> str:
        return f"patches-{index}"

    def pixels(self, index: int) -> Pixels:
        if index in self.broken:
            raise UnreadableImage("cut off")
        rng = np.random.default_rng(index)
        height, width = (int(side) for side in rng.integers(12, 24, 2))
        picture = np.full((height, width, 3), 10, dtype=np.uint8)
        for _ in range(int(rng.integers(1, 5))):
            top, left = int(rng.integers(0, height - 3)), int(rng.integers(0, width - 3))
            tall, wide = (int(side) for side in rng.integers(2, 8, 2))
            picture[top : top + tall, left : left + wide] = rng.integers(0, 256, 3)
        return picture


def neurons(*indices: int) -> list[Neuron]:
    return [Neuron("net", LAYER, index) for index in indices]


@cache
def prompts() -> PromptFolder:
    return PromptFolder()


def top_of(probe: PatchProbe, neuron: int, count: int = 4) -> list[int]:
    pictures = [probe.pixels(i) for i in range(len(probe))]
    values = FakeTarget(Calls()).responses(pictures, [LAYER])[LAYER][:, neuron]
    return [int(i) for i in np.argsort(-values, kind="stable")[:count]]


class World:
    """The records of some neurons after every stage, made by fakes in one batch."""

    def __init__(self, *indices: int) -> None:
        self.calls, self.blobs, self.probe = Calls(), MemoryBlobs(), PatchProbe()
        self.neurons = neurons(*indices)
        top = [top_of(self.probe, neuron.index) for neuron in self.neurons]
        self.exemplars: list[Exemplars] = exemplify(
            self.neurons, top, FakeTarget(self.calls), self.probe, self.blobs, ExemplarsConfig()
        )
        self.captions: list[Captions] = caption(
            self.exemplars, FakeCaptioner(self.calls), self.blobs
        )
        language_model = FakeLanguageModel(self.calls)
        self.phrases: list[Phrases] = simplify(self.captions, language_model, prompts(), LLM, SEED)
        self.concepts: list[Concepts] = conceive(
            self.phrases, language_model, prompts(), LLM, ConceptsConfig(), SEED
        )
        self.texts = list(dict.fromkeys(c.text for own in self.concepts for c in own.candidates))
        blocks = [(text, range(3)) for text in self.texts]
        painted = paint(blocks, FakePainter(self.calls), prompts(), self.blobs, SEED)
        self.pictures: dict[str, Pictures] = dict(zip(self.texts, painted, strict=True))


@cache
def world() -> World:
    return World(0, 1, 2, 5)


@st.composite
def splits(draw: st.DrawFn, count: int) -> list[list[int]]:
    """Return the numbers below `count` in any order, cut into any batches."""
    order = draw(st.permutations(range(count)))
    cuts = draw(st.lists(st.booleans(), min_size=count - 1, max_size=count - 1))
    batches = [[order[0]]]
    for number, cut in zip(order[1:], cuts, strict=True):
        if cut:
            batches.append([number])
        else:
            batches[-1].append(number)
    return batches


def in_batches(
    items: Sequence[A], batches: Sequence[Sequence[int]], stage: Callable[[list[A]], list[B]]
) -> list[B]:
    """Return what `stage` makes of the items batch by batch, in the items' own order."""
    made: dict[int, B] = {}
    for batch in batches:
        records = stage([items[i] for i in batch])
        made.update(zip(batch, records, strict=True))
    return [made[i] for i in range(len(items))]
