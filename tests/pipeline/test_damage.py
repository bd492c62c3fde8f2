"""Damage in a workspace: each command computes again or stops by name; no other answer, ever."""

from __future__ import annotations

import dataclasses
import os
import shutil
import time
from typing import Any

import pytest

from dnd_local.core.errors import DamagedFile, UserError
from dnd_local.pipeline.describing import describe_all
from dnd_local.pipeline.plan import RESPONSES, SCORES, TRIAGE
from dnd_local.pipeline.reading import open_run
from dnd_local.pipeline.stage import Stage
from dnd_local.store.in_use import at_work
from tests.bench import EXACT, Bench
from tests.fakes import LAYER


@pytest.fixture
def bench(tmp_path, monkeypatch) -> Bench:
    return Bench(tmp_path / "work", monkeypatch)


def names(bench: Bench, stage: Stage[Any], **options: object) -> list[str]:
    """Return the names of a stage's part files under the settings, sorted."""
    folder = stage.parts(bench.lab(**options)).folder
    return sorted(path.name for path in folder.iterdir() if path.name != "key.json")


@pytest.mark.parametrize("stage", EXACT, ids=lambda stage: stage.name)
def test_a_part_of_another_item_is_refused_in_every_stage(bench: Bench, stage: Stage[Any]) -> None:
    bench.run()
    folder = stage.parts(bench.lab())
    there = names(bench, stage)
    items = [name.rpartition(".")[0] for name in there]
    assert [folder.read(item) for item in items]
    # Triage has one part in this workspace: a layer's, which no other layer may take.
    takes = there[0] if len(there) > 1 else f"other{folder.path('x').suffix}"
    shutil.copy(folder.folder / there[-1], folder.folder / takes)
    with pytest.raises(DamagedFile, match=f"belongs elsewhere, to {stage.name} {items[-1]}"):
        folder.read(takes.rpartition(".")[0])


@pytest.mark.parametrize("stage", EXACT, ids=lambda stage: stage.name)
def test_a_part_under_another_key_is_refused_in_every_stage(
    bench: Bench, stage: Stage[Any]
) -> None:
    other = {"seed": 7, "probe": {"chunk": 5}, "triage": {"dead_below": 0.001}}
    bench.run()
    bench.run(**other)
    mine, theirs = stage.parts(bench.lab()), stage.parts(bench.lab(**other))
    assert mine.key != theirs.key
    (name, *_) = set(names(bench, stage)) & set(names(bench, stage, **other))
    shutil.copy(theirs.folder / name, mine.folder / name)
    with pytest.raises(DamagedFile, match=f"belongs elsewhere, .* under key {theirs.key[:16]}"):
        mine.read(name.rpartition(".")[0])


def test_the_scores_of_one_neuron_never_label_another(bench: Bench) -> None:
    bench.run(name="mine")
    (scores,) = (bench.workspace / "artefacts").glob("scores-*")
    first, second, *_ = sorted(path for path in scores.glob("*.json") if path.stem != "key")
    shutil.copy(second, first)
    with pytest.raises(DamagedFile, match=f"{first}.* belongs elsewhere") as caught:
        bench.run(name="mine")
    assert caught.value.exit_code == 2
    first.unlink()
    again = bench.run(name="mine")
    fresh = Bench(bench.workspace.parent / "fresh", bench._monkeypatch)
    assert bench.jsonl(again) == fresh.jsonl(fresh.run())


def test_a_damaged_run_is_mended_by_the_same_command(bench: Bench) -> None:
    first = bench.run("0,1", name="mine")
    bench.run("2", name="mine")
    whole = bench.jsonl(first)
    path = first.folder / "run.json"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DamagedFile, match=r"run\.json is damaged .*; run the same dissect command"):
        open_run("mine", bench.workspace)
    bench.run("2", name="mine")
    assert bench.jsonl(first) == whole
    assert open_run("mine", bench.workspace).record.neurons == {LAYER: (0, 1, 2)}


def test_a_damaged_event_costs_its_figures_and_nothing_else(bench: Bench) -> None:
    result = bench.run(name="mine")
    path = result.folder / "events.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"failed"', b'"faiLed"'))
    run = open_run("mine", bench.workspace)
    assert run.folder.measured() == {}
    assert [d.title for d in run.descriptions()] == [d.title for d in result.descriptions]


def test_a_network_that_lost_neurons_is_told(bench: Bench) -> None:
    result = bench.run("0,5", name="mine")
    triage = TRIAGE.parts(bench.lab())
    whole = triage.read(LAYER)
    triage.write(LAYER, dataclasses.replace(whole, neurons=whole.neurons[:3]))
    expected = f"'mine' has neuron {LAYER}:5, but the layer has 3 neurons now"
    for look in (
        lambda: bench.run("0", name="mine"),
        lambda: open_run("mine", bench.workspace).status(),
        lambda: describe_all(bench.lab(), result.record),
    ):
        with pytest.raises(UserError, match=expected):
            look()


def test_the_next_run_sweeps_what_a_killed_one_left(bench: Bench) -> None:
    bench.run("0", name="mine")
    left = SCORES.parts(bench.lab()).folder / ".colours-00001.json.abc.tmp"
    blob = next((bench.workspace / "blobs").glob("*/*.png"))
    others = (blob.parent / ".x.png.abc.tmp", bench.workspace / "runs/mine/.run.json.abc.tmp")
    for path in (left, *others):
        path.write_bytes(b"half")
        os.utime(path, (time.time() - 60,) * 2)
    with at_work(bench.workspace):
        bench.run("0", name="mine")
    assert all(path.exists() for path in (left, *others))
    bench.run("0", name="mine")
    assert not any(path.exists() for path in (left, *others))


def test_status_is_true_after_a_deleted_chunk_is_made_again(bench: Bench) -> None:
    bench.run("0", name="mine")
    whole = open_run("mine", bench.workspace).status()
    RESPONSES.parts(bench.lab()).path(f"{LAYER}-00001").unlink()
    assert (open_run("mine", bench.workspace).status()[0].done, whole[0].done) == (4, 5)
    bench.run("0,1", name="mine")
    assert open_run("mine", bench.workspace).status()[0].done == 5
