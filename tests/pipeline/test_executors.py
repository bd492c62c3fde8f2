"""Making parts in this process: halving, broken engines, engines that stay open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from dnd_local.core.errors import (
    DamagedFile,
    DndError,
    EngineError,
    NoReply,
    OutOfMemory,
    Refused,
)
from dnd_local.core.records import Captions, Neuron
from dnd_local.pipeline.executors import InProcess
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.making import Failure, make_parts
from dnd_local.pipeline.plan import CAPTIONS
from dnd_local.pipeline.session import open_session
from dnd_local.pipeline.stage import Item, Stage
from tests.bench import Bench

ITEMS = [Item(f"layer-{i:05d}", "layer", i) for i in range(10)]


class Kitchen:
    """A stage that fails where it is told to, and remembers its batches."""

    def __init__(self, fails: Callable[[Sequence[Item]], DndError | None]) -> None:
        self.fails, self.batches = fails, list[tuple[int, ...]]()
        self.stage: Stage[Captions] = replace(CAPTIONS, run=self.run, at_once=1)

    def run(self, lab: Lab, items: Sequence[Item]) -> list[Captions]:
        self.batches.append(tuple(item.index for item in items))
        if error := self.fails(items):
            raise error
        target = lab.config.network.name
        neurons = [Neuron(target, item.layer, item.index) for item in items]
        return [Captions(neuron, (str(neuron.index),)) for neuron in neurons]

    def make(self, bench: Bench, size: int = 10) -> tuple[list[Failure], list[int]]:
        advanced: list[int] = []
        groups = [ITEMS[i : i + size] for i in range(0, len(ITEMS), size)]
        result = make_parts(self.stage, bench.lab(), groups, advanced.append)
        assert sum(advanced) == result.parts
        return list(result.failures), advanced


def has(*bad: int) -> Callable[[Sequence[Item]], DndError | None]:
    def fails(items: Sequence[Item]) -> DndError | None:
        return EngineError("it broke") if {item.index for item in items} & set(bad) else None

    return fails


def made(bench: Bench, stage: Stage = CAPTIONS) -> list[int]:
    missing = stage.parts(bench.lab()).missing([item.name for item in ITEMS])
    return [item.index for item in ITEMS if item.name not in missing]


def test_parts_are_written_as_batches_are_done(bench: Bench) -> None:
    kitchen = Kitchen(has())
    assert kitchen.make(bench, 4) == ([], [4, 4, 2])
    assert made(bench) == list(range(10))
    folder = CAPTIONS.parts(bench.lab())
    assert folder.read("layer-00007").texts == ("7",)
    assert (folder.folder / "key.json").is_file()


def test_one_bad_item_does_not_take_its_company_with_it(bench: Bench) -> None:
    kitchen = Kitchen(has(6))
    failures, advanced = kitchen.make(bench)
    assert failures == [Failure("captions", "layer-00006", "it broke")]
    assert made(bench) == [0, 1, 2, 3, 4, 5, 7, 8, 9]
    assert sum(advanced) == 9
    assert kitchen.batches[:3] == [tuple(range(10)), (0, 1, 2, 3, 4), (5, 6, 7, 8, 9)]


def test_what_is_too_large_together_is_made_in_smaller_groups(bench: Bench) -> None:
    kitchen = Kitchen(lambda items: OutOfMemory("CUDA") if len(items) > 2 else None)
    failures, _ = kitchen.make(bench)
    assert failures == []
    assert made(bench) == list(range(10))


def test_what_is_too_large_alone_says_which_setting_to_lower(bench: Bench) -> None:
    kitchen = Kitchen(lambda items: OutOfMemory("CUDA") if ITEMS[3] in items else None)
    ((failure,), _) = kitchen.make(bench)
    assert failure.reason == "out of memory, even alone; lower the stage's batch setting (CUDA)"


def test_an_engine_that_fails_on_every_item_stops_the_stage(bench: Bench) -> None:
    kitchen = Kitchen(has(*range(10)))
    with pytest.raises(EngineError, match="captions fails on every item; the first says: it broke"):
        kitchen.make(bench, 4)
    assert max(max(batch) for batch in kitchen.batches) == 3
    assert made(bench) == []


def test_what_failed_before_may_fail_again_without_stopping_the_rest(bench: Bench) -> None:
    Kitchen(has(0, 1)).make(bench, 4)
    stage = Kitchen(has(0, 1)).stage
    result = make_parts(stage, bench.lab(), [ITEMS[:2]], lambda done: None)
    assert [failure.item for failure in result.failures] == [ITEMS[0].name, ITEMS[1].name]
    broken = Kitchen(has(*range(10)))
    with pytest.raises(EngineError, match="fails on every item"):
        broken.make(bench, 2)
    assert max(max(batch) for batch in broken.batches) == 3


def test_a_bad_batch_after_a_good_one_stops_nothing(bench: Bench) -> None:
    failures, _ = Kitchen(has(4, 5, 6, 7)).make(bench, 4)
    assert [failure.item for failure in failures] == [ITEMS[i].name for i in (4, 5, 6, 7)]
    assert made(bench) == [0, 1, 2, 3, 8, 9]


@pytest.mark.parametrize("error", [NoReply("server gone"), DamagedFile("part x"), Refused("no")])
def test_what_no_smaller_group_would_mend_stops_at_once(bench: Bench, error: DndError) -> None:
    kitchen = Kitchen(lambda items: error if items[0].index else None)
    with pytest.raises(type(error), match=str(error)):
        kitchen.make(bench, 5)
    assert len(kitchen.batches) == 2
    assert made(bench) == [0, 1, 2, 3, 4]


def test_an_engine_stays_open_for_the_stages_that_use_it_and_no_longer(bench: Bench) -> None:
    lab = bench.lab()
    assert lab.captioner
    assert lab.painter
    InProcess(lab).make(Kitchen(has()).stage, ITEMS, lambda done: None)
    assert lab.captioner
    assert lab.painter
    assert bench.calls.opened == {"captioner": 1, "painter": 2}


def test_a_session_lets_go_of_its_engines_however_it_ends(bench: Bench) -> None:
    closed: list[object] = []

    def work() -> None:
        with open_session(bench.config(), bench.execution(), ("colours",), "", None) as session:
            session.lab.keep = closed.append  # type: ignore[assignment,method-assign]
            raise EngineError("it broke")

    with pytest.raises(EngineError, match="it broke"):
        work()
    assert closed == [()]
