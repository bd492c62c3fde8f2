"""What a stage is to the pipeline: its record, its items, what it needs, and one function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from dnd_local.core.config import Config
from dnd_local.core.digest import sha256
from dnd_local.core.records import Neuron

if TYPE_CHECKING:
    from dnd_local.pipeline.lab import Lab

Role: TypeAlias = Literal["target", "captioner", "language-model", "painter", "embedder"]


@dataclass(frozen=True, slots=True)
class Item:
    """One thing a stage makes a part for: a chunk of a layer, a layer, a neuron or a concept.

    `name` is the part's name; `layer` and `index` say which chunk or neuron, `text` which concept.
    """

    name: str
    layer: str = ""
    index: int = 0
    text: str = ""

    @staticmethod
    def of_chunk(layer: str, chunk: int) -> Item:
        return Item(f"{layer}-{chunk:05d}", layer, chunk)

    @staticmethod
    def of_layer(layer: str) -> Item:
        return Item(layer, layer)

    @staticmethod
    def of_neuron(neuron: Neuron) -> Item:
        return Item(f"{neuron.layer}-{neuron.index:05d}", neuron.layer, neuron.index)

    @staticmethod
    def of_concept(text: str) -> Item:
        return Item(sha256(text.encode())[:24], text=text)


Batches: TypeAlias = Callable[[Sequence[Item]], Iterable[Sequence[Item]]]


@dataclass(frozen=True, slots=True)
class Stage:
    """One row of the plan.

    Attributes:
        name: also the name of its folder of parts.
        version: raised when its code changes what it makes.
        record: the type of its parts.
        needs: the stages whose parts it reads.
        settings: the slice of `Config` that can change its parts.
        roles: the engines it uses; their weights enter its key.
        prompts: the prompt files it reads; their digests enter its key.
        reads_probe: whether the probe set's digest enters its key.
        batches: how items are grouped; grouping changes speed, never results.
        run: the function; one record an item, in order.
    """

    name: str
    version: int
    record: type[Any]
    settings: Callable[[Config], Any]
    batches: Batches
    run: Callable[[Lab, Sequence[Item]], Sequence[Any]]
    needs: tuple[Stage, ...] = ()
    roles: tuple[Role, ...] = ()
    prompts: tuple[str, ...] = ()
    reads_probe: bool = False


def groups_of(size: int) -> Batches:
    """Return a grouping into runs of `size` items, never across layers."""

    def batches(items: Sequence[Item]) -> Iterable[Sequence[Item]]:
        for layer in dict.fromkeys(item.layer for item in items):
            own = [item for item in items if item.layer == layer]
            for start in range(0, len(own), size):
                yield own[start : start + size]

    return batches


def by_chunk(items: Sequence[Item]) -> Iterable[Sequence[Item]]:
    """Group the chunks of all layers that cover the same images: one pass serves every layer."""
    for index in dict.fromkeys(item.index for item in items):
        yield [item for item in items if item.index == index]
