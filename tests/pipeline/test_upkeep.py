"""What is damaged is named and made again; what no run refers to can go, and nothing else."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from dnd_local.core.errors import Refused
from dnd_local.evaluate.held_out import JUDGE_PICTURES
from dnd_local.pipeline.plan import CAPTIONS, EXEMPLARS, PLAN, RESPONSES
from dnd_local.pipeline.replies import book_path
from dnd_local.pipeline.runner import triage_layers
from dnd_local.pipeline.upkeep import check_workspace, find_unneeded, remove_unneeded
from dnd_local.store.runs import RunFolder
from dnd_local.store.sealed import write_beside
from tests.bench import Bench
from tests.fakes import LAYER

STAGES = (*PLAN, JUDGE_PICTURES)
OTHER = {"seed": 7, "probe": {"chunk": 5}, "captions": {"batch": 3}}


@pytest.fixture
def bench(tmp_path, monkeypatch) -> Bench:
    return Bench(tmp_path / "work", monkeypatch)


def snapshot(workspace: Path) -> dict[str, bytes]:
    """Return the parts and pictures of a workspace."""
    return {
        str(path.relative_to(workspace)): path.read_bytes()
        for top in ("artefacts", "blobs")
        for path in sorted((workspace / top).rglob("*"))
        if path.is_file()
    }


def test_a_whole_workspace_has_no_fault(bench: Bench) -> None:
    bench.run(name="mine")
    health = check_workspace(bench.workspace, STAGES)
    assert health.faults == health.left == ()
    assert health.runs == 1
    files = snapshot(bench.workspace)
    assert health.parts + health.pictures == len([f for f in files if not f.endswith("key.json")])


def test_a_table_that_is_not_what_is_sealed_beside_it_is_named(bench: Bench) -> None:
    folder = bench.run(name="mine").folder
    write_beside(folder / "verdicts.csv", b"neuron\n", "mine/verdicts.csv")
    assert check_workspace(bench.workspace, STAGES).faults == ()
    (folder / "verdicts.csv").write_bytes(b"neurons\n")
    (fault,) = check_workspace(bench.workspace, STAGES).faults
    assert fault.path == folder / "verdicts.csv"
    assert "it was changed" in fault.fault


def test_lossy_pictures_are_read_too(bench: Bench) -> None:
    bench.run(name="mine", pictures={"quality": 90})
    files = sorted(bench.workspace.glob("blobs/*/*.webp"))
    assert files
    assert not check_workspace(bench.workspace, STAGES).faults
    files[0].write_bytes(b"no picture")
    found = check_workspace(bench.workspace, STAGES)
    assert files[0].name in {fault.path.name for fault in found.faults}
    renamed = files[1].rename(files[1].with_suffix(".jpeg"))
    found = check_workspace(bench.workspace, STAGES)
    assert renamed.name in {fault.path.name for fault in found.faults}


def test_damage_is_named_and_a_repair_and_a_rerun_give_the_same_bytes(bench: Bench) -> None:
    result = bench.run(name="mine")
    whole = snapshot(bench.workspace)
    captions = CAPTIONS.parts(bench.lab()).folder
    one, two = sorted(path for path in captions.iterdir() if path.name != "key.json")[:2]
    shutil.copy(one, two)
    (captions / "a b.json").write_text("{}")
    chunk = RESPONSES.parts(bench.lab()).path(f"{LAYER}-00000")
    chunk.write_bytes(chunk.read_bytes()[:-1])
    picture = EXEMPLARS.read(bench.lab(), EXEMPLARS.there(bench.lab(), items(bench)))[0].exemplars[
        0
    ]
    bench.lab().blobs.path(picture.blob).write_bytes(b"no picture")
    for folder, meaning in (("captions", b"{"), ("phrases", b'{"key":"0","of":0}')):
        place = next(bench.workspace.glob(f"artefacts/{folder}-*/key.json"))
        place.write_bytes(meaning)
    next(bench.workspace.glob("artefacts/concepts-*/key.json")).unlink()

    found = check_workspace(bench.workspace, STAGES)
    assert found.faults == found.left
    said = {(fault.path.name, fault.fault) for fault in found.faults}
    assert ("a b.json", "is no part of this stage") in said
    assert any(name == two.name and "belongs elsewhere" in text for name, text in said)
    assert (chunk.name, "is damaged") in said
    assert (f"{picture.blob}.png", "is not what its name promises") in said
    assert any(f"names picture {picture.blob}" in text for _, text in said)
    meanings = sorted(text for name, text in said if name == "key.json")
    assert meanings == ["cannot be read", "does not fit its key", "is gone"]

    mended = check_workspace(bench.workspace, STAGES, repair=True)
    assert {fault.path.name for fault in mended.left} == {"key.json"}
    # What the pass over the probe set gave is made again where it is needed.
    again = bench.run(name="mine")
    assert bench.jsonl(again) == bench.jsonl(result)
    assert check_workspace(bench.workspace, STAGES).faults == ()
    missing = whole.keys() - snapshot(bench.workspace).keys()
    assert {Path(name).name for name in missing} <= {chunk.name}


def items(bench: Bench):
    from dnd_local.pipeline.stage import Asked

    record = RunFolder(bench.workspace, "mine").read()
    return EXEMPLARS.items(bench.lab(), Asked((LAYER,), record.wanted()))


def test_files_of_a_run_are_read_too(bench: Bench) -> None:
    bench.run(name="mine")
    folder = bench.workspace / "runs" / "mine"
    for name in ("run.json", "stages.json"):
        path = folder / name
        path.write_bytes(path.read_bytes()[:-4])
    with (folder / "events.jsonl").open("ab") as file:
        file.write(b"half a line")
    book = book_path(bench.workspace, "mine", "gpt")
    book.parent.mkdir()
    book.write_bytes(b"{}")
    names = [fault.path.name for fault in check_workspace(bench.workspace, STAGES).left]
    assert names == ["run.json", "stages.json", "gpt.json", "events.jsonl"]


def test_nothing_goes_while_every_part_has_a_run(bench: Bench) -> None:
    bench.run(name="mine")
    bench.run(name="other", **OTHER)
    unneeded = find_unneeded(bench.workspace, STAGES)
    assert unneeded.folders == ()
    # A crop that was tried and not chosen is named by no part.
    remove_unneeded(unneeded)
    assert check_workspace(bench.workspace, STAGES).faults == ()
    assert bench.run(name="mine").made == bench.run(name="other", **OTHER).made == 0


def test_what_a_deleted_run_alone_referred_to_goes(bench: Bench) -> None:
    mine = bench.run(name="mine")
    remove_unneeded(find_unneeded(bench.workspace, STAGES))
    before = snapshot(bench.workspace)
    bench.run(name="other", **OTHER)
    shutil.rmtree(bench.workspace / "runs" / "other")
    stray = bench.workspace / "artefacts" / "later-0123456789abcdef"
    stray.mkdir()
    unneeded = find_unneeded(bench.workspace, STAGES)
    doomed = snapshot(bench.workspace).keys() - before.keys()
    assert unneeded.size == sum((bench.workspace / name).stat().st_size for name in doomed)
    assert unneeded.unknown == (stray,)
    remove_unneeded(unneeded)
    assert snapshot(bench.workspace) == before
    assert stray.is_dir()
    assert bench.run(name="mine").made == 0
    assert bench.jsonl(mine)


def test_a_picture_that_parts_left_alone_goes_with_its_folder(bench: Bench) -> None:
    bench.run(name="mine")
    lonely = bench.lab().blobs.path("ff" * 32)
    lonely.parent.mkdir(exist_ok=True)
    lonely.write_bytes(b"x")
    remove_unneeded(find_unneeded(bench.workspace, STAGES))
    assert not lonely.exists()
    assert check_workspace(bench.workspace, STAGES).faults == ()


def test_work_that_is_not_finished_stays(bench: Bench) -> None:
    triage_layers(bench.config(), bench.execution(), (LAYER,))
    unneeded = find_unneeded(bench.workspace, STAGES)
    assert unneeded.folders == unneeded.pictures == ()
    assert check_workspace(bench.workspace, STAGES).faults == ()


@pytest.mark.parametrize("fault", ["damaged", "silent"])
def test_a_run_that_does_not_say_what_it_refers_to_stops_it(bench: Bench, fault: str) -> None:
    bench.run(name="mine")
    folder = bench.workspace / "runs" / "mine"
    if fault == "damaged":
        (folder / "run.json").write_bytes(b"{")
    else:
        for path in folder.iterdir():
            if path.is_file():
                os.unlink(path)
    with pytest.raises(
        Refused, match="run 'mine' refers to cannot be told, so nothing was removed"
    ):
        find_unneeded(bench.workspace, STAGES)


def test_a_workspace_without_anything_is_whole_and_has_nothing_to_spare(tmp_path: Path) -> None:
    assert check_workspace(tmp_path, STAGES).parts == 0
    assert find_unneeded(tmp_path, STAGES).folders == ()
