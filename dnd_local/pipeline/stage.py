"""What a stage is to the pipeline: its record, its items, what it needs, and one function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from dnd_local.core.config import Config
from dnd_local.core.digest import key, sha256
from dnd_local.core.protocols import EngineRole
from dnd_local.core.records import Neuron
from dnd_local.pipeline.lab import Lab
from dnd_local.store.parts import PartFolder

P = TypeVar("P")


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
class Stage(Generic[P]):
    """One row of the plan; `P` is the type of its parts.

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
    record: type[P]
    settings: Callable[[Config], Any]
    batches: Batches
    run: Callable[[Lab, Sequence[Item]], Sequence[P]]
    needs: tuple[Stage[Any], ...] = ()
    roles: tuple[EngineRole, ...] = ()
    prompts: tuple[str, ...] = ()
    reads_probe: bool = False

    def parts(self, lab: Lab) -> PartFolder[P]:
        """Return the folder of this stage's parts under a run's settings."""
        return PartFolder(lab.artefacts, self.name, self.key(lab), self.record)

    def read(self, lab: Lab, items: Sequence[Item]) -> list[P]:
        """Return the parts of `items`, in order."""
        folder = self.parts(lab)
        return [folder.read(item.name) for item in items]

    def key(self, lab: Lab) -> str:
        """Return the key of this stage's parts: SHA-256 of everything that can change them."""
        if self.name not in lab.keys:
            lab.keys[self.name] = key(self.meaning(lab))
        return lab.keys[self.name]

    def meaning(self, lab: Lab) -> dict[str, Any]:
        """Return what the key stands for."""
        return {
            "stage": self.name,
            "version": self.version,
            "settings": self.settings(lab.config),
            "weights": {role: lab.weights_digest(role) for role in self.roles},
            "prompts": {name: lab.prompts.digest(name) for name in self.prompts},
            "probe": lab.probe.digest if self.reads_probe else None,
            "needs": {need.name: need.key(lab) for need in self.needs},
        }


def places(lab: Lab, stages: Sequence[Stage[Any]]) -> dict[str, str]:
    """Return the name of the folder that keeps each stage's parts."""
    return {stage.name: stage.parts(lab).folder.name for stage in stages}


def roles_of(stages: Sequence[Stage[Any]]) -> tuple[EngineRole, ...]:
    """Return the engines that stages use, each once."""
    return tuple(dict.fromkeys(role for stage in stages for role in stage.roles))


def require(lab: Lab, stages: Sequence[Stage[Any]]) -> None:
    """Check that weights and probe set of `stages` are there and unaltered; see `Lab.require`."""
    lab.require(roles_of(stages), probe=any(stage.reads_probe for stage in stages))


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
