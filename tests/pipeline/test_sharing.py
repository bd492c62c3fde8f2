"""Processes that share the work on one workspace: every part once, the same bytes, nobody waits."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from dnd_local.core.errors import BadConfig, EngineError
from dnd_local.core.records import Captions, Neuron
from dnd_local.pipeline import session as module
from dnd_local.pipeline.dissection import Dissection
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.plan import CAPTIONS
from dnd_local.pipeline.runner import RunResult, dissect_neurons
from dnd_local.pipeline.selection import read_selection
from dnd_local.pipeline.session import open_session
from dnd_local.pipeline.stage import Item
from dnd_local.store.leases import SHARED, Leases
from dnd_local.store.runs import RunFolder
from tests.bench import EXACT, Bench
from tests.fakes import LAYER

ITEMS = [Item(f"layer-{i:05d}", "layer", i) for i in range(12)]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(module, "LOOK_AGAIN_AT_LAST", 0.05)


def shared(bench: Bench, name: str = "same") -> RunResult:
    execution = msgspec.structs.replace(bench.execution(), shared=True)
    return dissect_neurons(bench.config(), execution, read_selection(LAYER, "0-5"), name)


def leases_left(workspace: Path) -> list[Path]:
    return [path for path in workspace.rglob("*.lease") if path.is_file()]


def parts_by_stage(bench: Bench) -> dict[str, int]:
    folders = {stage.name: stage.parts(bench.lab()).folder for stage in EXACT}
    return {
        name: len([path for path in folder.iterdir() if path.name != "key.json"])
        for name, folder in folders.items()
    }


@pytest.fixture
def alone(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    other = Bench(tmp_path / "alone", monkeypatch)
    expected = other.jsonl(other.run("0-5", name="same"))
    Bench.over(bench)
    return expected


def test_one_process_makes_all_and_leaves_no_lease(bench: Bench, alone: bytes) -> None:
    result = shared(bench)
    assert bench.jsonl(result) == alone
    assert not result.failures
    assert leases_left(bench.workspace) == []
    assert shared(bench).made == 0


def test_several_make_every_part_once_and_all_end_with_the_same(bench: Bench, alone: bytes) -> None:
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: shared(bench), range(4)))
    assert {bench.jsonl(result) for result in results} == {alone}
    assert not any(result.failures for result in results)
    made = Counter[str]()
    for event in RunFolder(bench.workspace, "same").events():
        if event["event"] == "finish":
            made[event["stage"]] += event["items"]
    assert dict(made) == parts_by_stage(bench)
    assert sum(result.made for result in results) == sum(made.values())
    assert leases_left(bench.workspace) == []
    assert list((bench.workspace / SHARED).iterdir()) == []


class Slow:
    """A stage whose items wait until they may go on; it remembers who made which."""

    def __init__(self, fails: Callable[[Item], bool] = lambda item: False) -> None:
        self.begun, self.may_end = threading.Event(), threading.Event()
        self.may_end.set()
        self.fails = fails
        self.made: list[int] = []
        self.stage = replace(
            CAPTIONS, needs=(), run=self.run, at_once=1,
            batches=lambda config, items: [[item] for item in items],
        )  # fmt: skip

    def run(self, lab: Lab, items: Sequence[Item]) -> list[Captions]:
        self.begun.set()
        assert self.may_end.wait(20)
        if any(map(self.fails, items)):
            raise EngineError("it broke")
        self.made += [item.index for item in items]
        return [Captions(Neuron("t", item.layer, item.index), ("x",)) for item in items]


def test_what_another_has_in_hand_is_left_and_not_waited_for(bench: Bench) -> None:
    execution = msgspec.structs.replace(bench.execution(), shared=True)
    slow, quick = Slow(), Slow()
    slow.may_end.clear()
    with (
        open_session(bench.config(), execution, (LAYER,), "a", None) as one,
        open_session(bench.config(), execution, (LAYER,), "b", None) as other,
        ThreadPoolExecutor(1) as pool,
    ):
        first = pool.submit(one.make, slow.stage, ITEMS)
        assert slow.begun.wait(20)
        other.make(quick.stage, ITEMS)
        assert (other.made, other.left) == (11, 1)
        slow.may_end.set()
        first.result(20)
        assert sorted(slow.made + quick.made) == list(range(12))
        other.make(quick.stage, ITEMS)
        assert other.made == 11


def test_a_dead_ones_part_is_made_by_another(bench: Bench) -> None:
    execution = msgspec.structs.replace(bench.execution(), shared=True)
    kitchen = Slow()
    dead = Leases(bench.workspace)
    with open_session(bench.config(), execution, (LAYER,), "a", None) as session:
        folder = kitchen.stage.parts(session.lab).folder
        with dead:
            assert dead.claim(folder, ITEMS[3].name)
            session.make(kitchen.stage, ITEMS)
            assert session.left == 1
            # As a killed process leaves it: a number that no process of this machine has.
            dead._file.write_text(f"999999999 {dead._machine}", "ascii")
        session.make(kitchen.stage, ITEMS)
        assert sorted(kitchen.made) == list(range(12))
        assert leases_left(folder) == []


def test_an_item_that_failed_here_is_tried_once_and_told_once(bench: Bench) -> None:
    execution = msgspec.structs.replace(bench.execution(), shared=True)
    kitchen = Slow(fails=lambda item: item.index == 5)
    with open_session(bench.config(), execution, (LAYER,), "a", None) as session:
        session.make(kitchen.stage, ITEMS)
        session.make(kitchen.stage, ITEMS)
        assert [one.item for one in session.failures] == [ITEMS[5].name]
        assert (session.made, session.left) == (11, 0)


def test_sharing_is_for_one_device_a_process(tmp_path: Path) -> None:
    for words in ({"devices": "0,1"}, {"workers": 2}):
        asked = Dissection(
            model="pocket", layer=LAYER, workspace=tmp_path, shared=True, **words  # type: ignore[arg-type]
        )  # fmt: skip
        with pytest.raises(BadConfig, match="--shared is for processes of one device each"):
            asked.execution()
