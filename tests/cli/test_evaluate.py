"""``evaluate`` from the user's side, over the world of colours."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from dnd_local.cli import compare, evaluate
from dnd_local.evaluate.verdicts import Verdict, write_verdicts
from dnd_local.store.runs import RunFolder
from tests.bench import Bench
from tests.fakes import LAYER

pytest.importorskip("sklearn")
app = typer.Typer()
app.command("evaluate")(evaluate.evaluate)
app.command("compare")(compare.compare)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments])


def test_verdicts_are_shown_and_kept_with_the_run(mine: Bench, tmp_path: Path) -> None:
    result = run("evaluate", "mine", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "mine, 3 labels: 2 supported, 1 weak, 0 no better than the null" in result.output
    kept = mine.workspace / "runs" / "mine" / "verdicts.csv"
    rows = list(csv.DictReader(kept.open()))
    assert [row["verdict"] for row in rows] == ["weak", "supported", "supported", "no label"]
    assert (rows[3]["neuron"], rows[3]["label"], rows[3]["correlation"]) == ("3", "", "")
    assert (tmp_path / "out" / "verdicts.csv").read_bytes() == kept.read_bytes()


def test_one_layer_is_judged_and_the_others_verdicts_stay(mine: Bench) -> None:
    kept = mine.workspace / "runs" / "mine" / "verdicts.csv"
    elsewhere = Verdict("before", 0, "dog", "weak", 0.5, ())
    write_verdicts(RunFolder(mine.workspace, "mine"), [elsewhere])
    result = run("evaluate", "mine", "--layer", LAYER, "--evidence", "images")
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader(kept.open()))
    assert [row["layer"] for row in rows] == ["before", *[LAYER] * 4]
    assert "unknown layer 'late'" in str(run("evaluate", "mine", "--layer", "late").exception)


def test_a_run_made_with_other_weights_says_so(mine: Bench) -> None:
    folder = RunFolder(mine.workspace, "mine")
    folder.write_json("stages.json", {**folder.places(), "scores": "scores-0123456789abcdef"})
    for scores in (mine.workspace / "artefacts").glob("scores-*"):
        shutil.rmtree(scores)
    assert "have changed since; the same dissect command" in str(run("evaluate", "mine").exception)


@pytest.mark.parametrize("command", [("evaluate", "mine"), ("compare", "mine", "mine")])
def test_where_results_cannot_go_is_said_first(
    mine: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("dnd_local.pipeline.reading.open_run", pytest.fail)
    said = run(*command, "--out", tmp_path / "file" / "deeper")
    assert "file is not a folder" in str(said.exception)


def test_another_describers_labels_are_judged_but_not_kept(mine: Bench, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.csv"
    wrong.write_text(f"layer,unit,description\n{LAYER},0,green\n{LAYER},1,blue\n{LAYER},2,red\n")
    result = run("evaluate", "mine", "--labels", wrong, "--evidence", "images", "--json")
    found = json.loads(result.output)
    assert found["describer"] == "wrong"
    assert {own["verdict"] for own in found["verdicts"]} == {"no better than the null"}
    assert "auc" not in found["verdicts"][0]
    assert not (mine.workspace / "runs" / "mine" / "verdicts.csv").exists()


def test_a_run_without_holdout_asks_for_a_probe(mine: Bench) -> None:
    mine.run("0-2", name="whole", probe={"holdout": 0})
    assert "give --probe" in str(run("evaluate", "whole").exception)
