"""What was computed in smaller batches than the settings say is marked in its parts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dnd_local.pipeline.plan import CAPTIONS, EXEMPLARS
from dnd_local.pipeline.stage import Item
from tests.bench import Bench
from tests.fakes import FakeCaptioner


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path / "work", monkeypatch)


def test_parts_of_an_engine_that_memory_narrowed_say_so_and_others_keep_their_bytes(
    bench: Bench,
) -> None:
    usual = bench.run("0-2", name="mine").folder.parents[1]
    before = {path: path.read_bytes() for path in usual.rglob("captions-*/*.json")}
    concepts = {path: path.read_bytes() for path in usual.rglob("concepts-*/*.json")}
    shutil.rmtree(next(iter(before)).parent)
    shutil.rmtree(next(iter(concepts)).parent)
    narrow = FakeCaptioner(bench.calls)
    narrow.narrowed = 2  # type: ignore[attr-defined]
    bench.replaced["captioner"] = narrow
    again = bench.run("0-2", name="mine")
    captions = CAPTIONS.parts(bench.lab())
    items = [Item.of_neuron(neuron) for neuron in again.record.wanted()]
    assert {captions.narrow(item.name) for item in items} == {2}
    assert all(
        path.read_bytes() != data for path, data in before.items() if path.name != "key.json"
    )
    assert all(path.read_bytes() == data for path, data in concepts.items())
    assert EXEMPLARS.parts(bench.lab()).narrow(items[0].name) == 0
