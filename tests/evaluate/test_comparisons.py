"""What a run is compared with, and that it remembers."""

from __future__ import annotations

from pathlib import Path

import pytest

from dnd_local.core.errors import DamagedFile
from dnd_local.evaluate.comparisons import FILE, compared_run, open_compared, recall, remember
from dnd_local.evaluate.verdicts import Verdict, write_verdicts
from dnd_local.pipeline.reading import StoredRun, open_run
from tests.bench import Bench
from tests.fakes import LAYER


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StoredRun:
    bench = Bench(tmp_path / "work", monkeypatch)
    bench.run("0-2", name="one")
    return open_run("one", bench.workspace)


def test_a_run_that_was_never_compared_remembers_nobody(run: StoredRun) -> None:
    assert recall(run).others == ()
    assert recall(run).left_out == ()


def test_the_last_comparison_is_remembered(
    run: StoredRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bare.csv").write_text("Neuron ID,Label 1,Label 2,Label 3\n0,a thing,,\n")
    remember(run, ["one"])
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path)
        remember(run, ["bare.csv", "one"], LAYER)
    found = recall(run)
    assert found.left_out == ()
    assert [own.table.describer for own in found.others] == ["bare", "one"]
    assert {row.layer for own in found.others for row in own.table.rows} == {LAYER}


def test_a_run_comes_with_its_verdicts_a_file_has_none(run: StoredRun, tmp_path: Path) -> None:
    label = run.descriptions()[0].labels[0].text
    write_verdicts(run.folder, [Verdict(LAYER, 0, label, "weak", 0.5, ())])
    place = run.lab.execution.workspace
    for own in (compared_run(run), open_compared("one", "", place, None)):
        verdicts = [own.verdicts.of_row(row) for row in own.table.rows]
        assert [v and v.ruling for v in verdicts] == ["weak", None, None]
    (tmp_path / "bare.csv").write_text(f"layer,unit,description\n{LAYER},0,{label}\n")
    own = open_compared(str(tmp_path / "bare.csv"), "", place, None)
    assert own.verdicts.of_row(own.table.rows[0]) is None


def test_what_is_gone_is_left_out_with_a_line(run: StoredRun, tmp_path: Path) -> None:
    remember(run, [str(tmp_path / "gone.csv"), "no-such-run", "one"])
    found = recall(run)
    assert [own.table.describer for own in found.others] == ["one"]
    assert [line.partition(" is left out of the comparison: ")[0] for line in found.left_out] == [
        str(tmp_path / "gone.csv"), "no-such-run",
    ]  # fmt: skip


def test_a_damaged_memory_says_what_to_do(run: StoredRun) -> None:
    (run.folder.folder / FILE).write_text("[{")
    with pytest.raises(DamagedFile, match=r"comparisons.json is damaged .*--compare"):
        recall(run)
