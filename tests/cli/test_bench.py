"""``bench``: a run's times, beside another run, and in a file for another machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dnd_local.pipeline.times import RunTimes, StageTime, encoded, read_times, time_records
from dnd_local.store.runs import RunFolder
from tests.bench import Bench
from tests.cli.conftest import Command


@pytest.fixture
def runs(bench: Bench) -> Bench:
    """Two runs of one workspace whose stages took so long by their events."""
    for name, seconds in (("slow", 8.0), ("quick", 2.0)):
        bench.run("0-2", name=name)
        log = RunFolder(bench.workspace, name)
        (log.folder / "events.jsonl").unlink()
        log.event("finish", stage="captions", items=5, failed=1, seconds=seconds, loading=1.0)
        log.event("finish", stage="captions", items=4, failed=0, seconds=1.0)
        log.event("finish", stage="scores", items=3, failed=0, seconds=3.0)
    return bench


def records(command: Command, *words: object) -> dict[str, dict[str, float]]:
    said = command("bench", *words, "--json")
    assert said.code == 0, said.err
    return {record["stage"]: record for record in json.loads(said.out)}


def test_sessions_are_added_up(runs: Bench, command: Command) -> None:
    stages = records(command, "slow", "--workspace", runs.workspace)
    assert list(stages) == ["captions", "scores"]
    captions = stages["captions"]
    assert (captions["parts"], captions["seconds"], captions["loading"]) == (8, 9.0, 1.0)
    assert (captions["share"], captions["each"]) == (0.75, 1.0)


def test_beside_another_run_and_beside_a_file(
    runs: Bench, command: Command, tmp_path: Path
) -> None:
    place = ("--workspace", runs.workspace)
    stages = records(command, "quick", "slow", *place)
    assert stages["captions"]["times_as_fast"] == pytest.approx(4.0)
    assert stages["scores"]["times_as_fast"] == pytest.approx(1.0)
    file = tmp_path / "there.json"
    assert command("bench", "slow", "--out", file, *place).code == 0
    assert records(command, "quick", file, *place) == stages
    shown = command("bench", "quick", file, *place).out
    assert "quick: 3 neurons on no device on record, 6.0 s in all" in shown
    assert "Beside slow on cpu" in shown


def test_a_real_run_says_how_long_loading_took(bench: Bench, command: Command) -> None:
    bench.run("0-2", name="mine")
    stages = records(command, "mine", "--workspace", bench.workspace)
    assert stages["pictures"]["parts"] > 0
    assert 0 <= stages["pictures"]["loading"] <= stages["pictures"]["seconds"]


def test_a_stage_that_made_nothing_has_no_rate() -> None:
    times = RunTimes("a", 1, ("cpu",), {}, (StageTime("captions", 0, 0.0),))
    (record,) = time_records(times, times)
    assert record["each"] is record["share"] is record["times_as_fast"] is None


def test_what_is_written_is_read(tmp_path: Path) -> None:
    times = RunTimes("a", 2, ("0",), {"torch": "2"}, (StageTime("scores", 3, 4.0, 0.5),))
    (tmp_path / "a.json").write_bytes(encoded(times))
    assert read_times(tmp_path / "a.json") == times


def test_bad_files_are_one_line(runs: Bench, command: Command, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{}", "utf-8")
    for words, why in (
        (["slow", tmp_path / "bad.json"], "is no file of times"),
        (["slow", tmp_path / "none.json"], "is no file of times"),
        (["slow", "--out", tmp_path / "a.txt"], "end it in .json"),
        (["slow", "--out", tmp_path / "no" / "a.json"], "its folder is not there"),
    ):
        said = command("bench", *words, "--workspace", runs.workspace)
        assert said.code == 2
        assert why in said.err
