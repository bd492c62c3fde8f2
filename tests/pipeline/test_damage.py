"""Damage in a workspace: each command computes again or stops by name; no other answer, ever."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from dnd_local.core.errors import DamagedFile
from dnd_local.pipeline.plan import PLAN
from dnd_local.pipeline.stage import Stage
from tests.bench import Bench


@pytest.fixture
def bench(tmp_path, monkeypatch) -> Bench:
    return Bench(tmp_path / "work", monkeypatch)


def names(bench: Bench, stage: Stage[Any], **options: object) -> list[str]:
    """Return the names of a stage's part files under the settings, sorted."""
    folder = stage.parts(bench.lab(**options)).folder
    return sorted(path.name for path in folder.iterdir() if path.name != "key.json")


@pytest.mark.parametrize("stage", PLAN, ids=lambda stage: stage.name)
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


@pytest.mark.parametrize("stage", PLAN, ids=lambda stage: stage.name)
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
