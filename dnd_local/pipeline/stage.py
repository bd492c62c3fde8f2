"""What a stage is to the pipeline: its record, its items, what it needs, and one function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from dnd_local.core.config import Config
from dnd_local.core.digest import key, sha256
from dnd_local.core.protocols import EngineRole
from dnd_local.core.records import Neuron
from dnd_local.core.sequences import distinct, grouped
from dnd_local.pipeline.lab import Lab
from dnd_local.store.parts import PartFolder

P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Item:
    """One thing a stage makes a part for: a chunk, a layer, a neuron, or a block of pictures.

    `name` is the part's name. `layer` and `index` say which chunk or neuron; `text`, `index` and
    `count` say which pictures of which concept. `round` counts how often a loop of stages has
    come back to the item, from 0.
    """

    name: str
    layer: str = ""
    index: int = 0
    text: str = ""
    count: int = 0
    round: int = 0

    @staticmethod
    def of_chunk(layer: str, chunk: int) -> Item:
        return Item(f"{layer}-{chunk:05d}", layer, chunk)

    @staticmethod
    def of_layer(layer: str) -> Item:
        return Item(layer, layer)

    @staticmethod
    def of_neuron(neuron: Neuron, round: int = 0) -> Item:
        suffix = f".{round}" if round else ""
        return Item(neuron.part_name + suffix, neuron.layer, neuron.index, round=round)

    @staticmethod
    def of_block(text: str, first: int, count: int) -> Item:
        """Return the item of `count` pictures of a concept, from picture `first` on."""
        name = f"{sha256(text.encode())[:24]}-{first:03d}-{count}"
        return Item(name, index=first, text=text, count=count)


@dataclass(frozen=True, slots=True)
class Asked:
    """The layers and neurons that items are listed for."""

    layers: tuple[str, ...] = ()
    neurons: tuple[Neuron, ...] = ()


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of item: how its items are listed.

    Attributes:
        known: the items that `Asked` comes to, as far as parts on disk tell.
        unknown: how many more there will be at most, of which no part on disk tells yet.
        follows: whether the list depends on neurons (or only on layers).
        single: whether it is one item for each neuron, `Item.of_neuron`.
    """

    known: Callable[[Lab, Asked], list[Item]]
    unknown: Callable[[Lab, Asked], int] = lambda lab, asked: 0
    follows: Literal["layers", "neurons"] = "neurons"
    single: bool = False

    def of(self, lab: Lab, item: Item) -> Asked:
        """Return what to ask for the items of this kind that concern `item` of another kind."""
        if self.follows == "layers":
            return Asked((item.layer,))
        return Asked((item.layer,), (neuron_of(lab, item),))


def neuron_of(lab: Lab, item: Item) -> Neuron:
    """Return the neuron that an item concerns."""
    return Neuron(lab.config.network.name, item.layer, item.index)


Batches: TypeAlias = Callable[[Config, Sequence[Item]], Iterable[Sequence[Item]]]


@dataclass(frozen=True, slots=True)
class Stage(Generic[P]):
    """One row of the plan; `P` is the type of its parts.

    Attributes:
        name: also the name of its folder of parts.
        title: what a person watching reads while it works.
        version: raised when its code changes what it makes.
        record: the type of its parts.
        kind: what it makes its parts for.
        needs: the stages whose parts it reads.
        settings: the slice of `Config` that can change its parts.
        roles: the engines it uses; their weights enter its key.
        prompts: the prompt files it reads; their digests enter its key.
        reads_probe: whether the probe set's digest enters its key.
        on_demand: whether its parts are made only for a stage that needs them and has work.
        batches: how items are grouped; grouping changes speed, never results.
        run: the function; one record an item, in order.
        at_once: how many groups are under way at a time; while one is with an engine, the others
            read and write.
        join: how the parts that concern one neuron are put together for a reader.
        when: whether the stage is part of a run under these settings.
        expects: hears of all items that will be made, before the first group.
        back_to: an earlier stage of which this one's parts list further items: when it has made
            parts, the run goes on from there.
    """

    name: str
    title: str
    version: int
    record: type[P]
    kind: Kind
    settings: Callable[[Config], Any]
    batches: Batches
    run: Callable[[Lab, Sequence[Item]], Sequence[P]]
    needs: tuple[Stage[Any], ...] = ()
    roles: tuple[EngineRole, ...] = ()
    prompts: tuple[str, ...] = ()
    reads_probe: bool = False
    on_demand: bool = False
    at_once: int = 1
    join: Callable[[Sequence[P]], Sequence[P]] = tuple
    when: Callable[[Config], bool] = lambda config: True
    expects: Callable[[Lab, Sequence[Item]], None] = lambda lab, items: None
    back_to: Stage[Any] | None = None

    def items(self, lab: Lab, asked: Asked) -> list[Item]:
        """Return the items that `asked` comes to, each once, as far as they are known."""
        return distinct(self.kind.known(lab, asked))

    def parts(self, lab: Lab) -> PartFolder[P]:
        """Return the folder of this stage's parts under a run's settings."""
        return PartFolder(lab.artefacts, self.name, self.key(lab), self.record)

    def explain(self, lab: Lab) -> None:
        """Write what the key of this stage's parts stands for beside them, if there are any."""
        folder = self.parts(lab)
        if folder.any_made():
            folder.describe(self.meaning(lab))

    def missing(self, lab: Lab, items: Sequence[Item]) -> list[Item]:
        """Return the items without a part, in order; one listing of the folder, however many."""
        names = set(self.parts(lab).missing([item.name for item in items]))
        return [item for item in items if item.name in names]

    def there(self, lab: Lab, items: Sequence[Item]) -> list[Item]:
        """Return the items with a part, in order; one listing of the folder, however many."""
        names = set(self.parts(lab).missing([item.name for item in items]))
        return [item for item in items if item.name not in names]

    def read(self, lab: Lab, items: Sequence[Item]) -> list[P]:
        """Return the parts of `items`, in order.

        Raises:
            DamagedFile: a part is gone or damaged.
        """
        folder = self.parts(lab)
        return [folder.read(item.name) for item in items]

    def needed(self, config: Config) -> list[Stage[Any]]:
        """Return the stages that it reads under these settings."""
        return [need for need in self.needs if need.when(config)]

    def blocked(self, lab: Lab, items: Sequence[Item]) -> dict[Item, tuple[Stage[Any], Item]]:
        """Return, for each item that cannot be made yet, the first part it lacks and its stage."""
        lacking: dict[Item, tuple[Stage[Any], Item]] = {}
        for need in self.needed(lab.config):
            inputs = self._inputs(lab, need, items)
            every = distinct(one for some in inputs.values() for one in some)
            absent = set(need.missing(lab, every))
            for item, some in inputs.items():
                gap = next((one for one in some if one in absent), None)
                if gap is not None:
                    lacking.setdefault(item, (need, gap))
        return lacking

    def _inputs(
        self, lab: Lab, need: Stage[Any], items: Sequence[Item]
    ) -> dict[Item, Sequence[Item]]:
        """Return the parts of `need` that each item rests on."""
        if need.kind is self.kind:
            return {item: [item] for item in items}
        if need.kind.single:
            return {item: [Item.of_neuron(neuron_of(lab, item))] for item in items}
        listed: dict[Asked, list[Item]] = {}
        inputs: dict[Item, Sequence[Item]] = {}
        for item in items:
            asked = need.kind.of(lab, item)
            if asked not in listed:
                listed[asked] = need.items(lab, asked)
            inputs[item] = listed[asked]
        return inputs

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
            "needs": {need.name: need.key(lab) for need in self.needed(lab.config)},
        }


def places(lab: Lab, stages: Sequence[Stage[Any]]) -> dict[str, str]:
    """Return the name of the folder that keeps each stage's parts."""
    return {stage.name: stage.parts(lab).folder.name for stage in stages}


def roles_of(stages: Sequence[Stage[Any]]) -> tuple[EngineRole, ...]:
    """Return the engines that stages use, each once."""
    return tuple(distinct(role for stage in stages for role in stage.roles))


def require(lab: Lab, stages: Sequence[Stage[Any]]) -> None:
    """Check that weights and probe set of `stages` are there and unaltered; see `Lab.require`."""
    lab.require(roles_of(stages), probe=any(stage.reads_probe for stage in stages))


def groups_of(size: int) -> Batches:
    """Return a grouping into runs of `size` items, never across layers."""

    def batches(config: Config, items: Sequence[Item]) -> Iterable[Sequence[Item]]:
        for in_layer in grouped(items, lambda item: item.layer).values():
            for start in range(0, len(in_layer), size):
                yield in_layer[start : start + size]

    return batches


def by_chunk(config: Config, items: Sequence[Item]) -> Iterable[Sequence[Item]]:
    """Group the chunks of all layers that cover the same images: one pass serves every layer."""
    return grouped(items, lambda item: item.index).values()


def by_painted_batch(config: Config, items: Sequence[Item]) -> Iterable[Sequence[Item]]:
    """Group blocks of pictures so that each group fills the painter's batches, if any group can.

    A group ends where its pictures are a multiple of the batch, and at four batches at the latest.
    """
    batch, group, pictures = config.pictures.batch, list[Item](), 0
    for item in items:
        group.append(item)
        pictures += item.count
        if pictures % batch == 0 or pictures >= 4 * batch:
            yield group
            group, pictures = [], 0
    if group:
        yield group
