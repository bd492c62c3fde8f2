"""``baseline`` from the user's side, over the world of colours."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from dnd_local.cli import baseline
from tests.bench import Bench
from tests.cli.conftest import Command
from tests.fakes import LAYER

pytest.importorskip("sklearn")
app = typer.Typer()
app.command("baseline")(baseline.baseline)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments])


def test_clip_dissect_writes_a_table_that_evaluate_reads(
    command: Command, mine: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    concepts = tmp_path / "concepts.txt"
    concepts.write_text("blue\ngreen\nred\n")
    asked = ("clip-dissect", "pocket", LAYER, "--concepts", concepts, "--ids", "0-3",
             "--probe-holdout", 0.5, "--probe-chunk", 7, "--similarity", "cosine")  # fmt: skip
    result = run(*asked)
    assert result.exit_code == 0, result.output
    table = tmp_path / f"clip-dissect-cosine-pocket-{LAYER}.csv"
    assert "Written: " + table.name in result.output
    rows = list(csv.DictReader(table.open()))
    assert [row["label_1"] for row in rows] == ["red", "green", "blue", ""]
    assert rows[3]["status"] == "dead"
    judged = command("evaluate", "mine", "--labels", table, "--evidence", "images", "--json",
                     "--workspace", mine.workspace)  # fmt: skip
    verdicts = [verdict["verdict"] for verdict in json.loads(judged.out)["verdicts"]]
    assert verdicts == ["supported"] * 3 + ["no label"]
    there = json.loads(run(*asked, "--out", tmp_path / "x.jsonl", "--json").output)
    assert there[0]["describer"] == "clip-dissect:cosine"
    assert "unknown similarity 'pmi'" in str(run(*asked[:-1], "pmi").exception)
    monkeypatch.setattr("dnd_local.pipeline.dissection.Dissection", pytest.fail)
    for wrong, why in (("x.txt", ".csv, .jsonl, .parquet"), ("none/x.csv", "folder is not there")):
        assert why in str(run(*asked, "--out", tmp_path / wrong).exception)
