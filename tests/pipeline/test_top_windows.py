"""Top images of many neurons in one pass: what is found, how often, and what is kept."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from dnd_local.core.records import Neuron
from dnd_local.pipeline.making import make_parts
from dnd_local.pipeline.plan import EXEMPLARS
from dnd_local.pipeline.stage import Item
from dnd_local.pipeline.top_windows import WINDOW, TopWindows
from dnd_local.store.parts import PartFolder
from tests.bench import Bench
from tests.fakes import LAYER


class Reader:
    """Finds the top images of neurons, and counts."""

    def __init__(self) -> None:
        self.passes: list[list[int]] = []

    def find(self, neurons: Sequence[int]) -> list[list[int]]:
        self.passes.append(list(neurons))
        return [[neuron, neuron + 1] for neuron in neurons]


def sixes(count: int) -> list[list[int]]:
    return [list(range(start, min(start + 6, count))) for start in range(0, count, 6)]


def test_a_layer_is_read_once_for_many_neurons() -> None:
    tops, reader = TopWindows(), Reader()
    count = 2 * WINDOW + 100
    tops.expect([("layer4", index) for index in range(count)])
    for wanted in sixes(count):
        assert tops.of("layer4", wanted, reader.find) == [[one, one + 1] for one in wanted]
    assert len(reader.passes) == 3
    assert sorted(index for each in reader.passes for index in each) == list(range(count))


def test_neurons_that_were_not_expected_are_found_alone() -> None:
    tops, reader = TopWindows(), Reader()
    tops.expect([("layer4", 1), ("layer4", 2), ("fc", 9)])
    assert tops.of("layer4", [7], reader.find) == [[7, 8]]
    assert tops.of("fc", [1, 9], reader.find) == [[1, 2], [9, 10]]
    assert tops.of("layer4", [2, 1], reader.find) == [[2, 3], [1, 2]]
    assert reader.passes == [[7], [1, 9], [2, 1]]


def test_a_group_that_is_asked_for_again_is_known_still() -> None:
    tops, reader = TopWindows(), Reader()
    tops.expect([("layer4", index) for index in range(12)])
    for wanted in ([0, 1, 2, 3, 4, 5], [0, 1, 2], [3, 4, 5], [6, 7, 8, 9, 10, 11]):
        tops.of("layer4", wanted, reader.find)
    assert len(reader.passes) == 1


def test_what_is_kept_does_not_grow() -> None:
    tops, reader = TopWindows(), Reader()
    count = 5 * WINDOW
    tops.expect([("layer4", index) for index in range(count)])
    for wanted in sixes(count):
        tops.of("layer4", wanted, reader.find)
    tops.of("layer4", [0], reader.find)
    assert reader.passes[-1] == [0, *range(1, WINDOW)], "long forgotten"
    tops.of("layer4", [count - 1], reader.find)
    assert len(reader.passes) == 6, "of late"


def test_several_threads_share_a_pass() -> None:
    tops, reader = TopWindows(), Reader()
    tops.expect([("layer4", index) for index in range(60)])
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda wanted: tops.of("layer4", wanted, reader.find), sixes(60)))
    assert found == [[[one, one + 1] for one in wanted] for wanted in sixes(60)]
    assert sorted(index for each in reader.passes for index in each) == list(range(60))


def test_a_run_reads_each_chunk_once_for_its_exemplars(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.run("0")
    for part in bench.workspace.glob("artefacts/exemplars-*/*"):
        part.unlink()
    read: list[str] = []
    whole = PartFolder.read

    def spy(folder: PartFolder, name: str) -> object:
        if folder.stage == "responses":
            read.append(name)
        return whole(folder, name)

    monkeypatch.setattr(PartFolder, "read", spy)
    lab = bench.lab()
    batches = [[Item.of_neuron(Neuron("pocket", LAYER, index))] for index in range(3)]
    assert make_parts(EXEMPLARS, lab, batches, lambda done: None).parts == 3
    assert sorted(read) == sorted(Item.of_chunk(LAYER, chunk).name for chunk in range(lab.chunks))
