"""``evaluate`` and ``baseline`` from the user's side, over the world of colours."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from dnd_local.cli import compare, evaluate
from dnd_local.evaluate import null_tests
from dnd_local.evaluate.verdicts import Verdict, write_verdicts
from dnd_local.store.runs import RunFolder
from dnd_local.store.weights import Weights
from tests.bench import Bench
from tests.evaluate.colours import ManyColours
from tests.fakes import LAYER
from tests.report.synthetic import write_run

pytest.importorskip("sklearn")
app = typer.Typer()
app.command("evaluate")(evaluate.evaluate)
app.command("baseline")(evaluate.baseline)
app.command("compare")(compare.compare)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(null_tests, "RESAMPLES", 100)
    monkeypatch.setenv("DND_LOCAL_WORKSPACE", str(tmp_path / "work"))
    monkeypatch.setenv("DND_LOCAL_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.chdir(tmp_path)
    own = Bench(tmp_path / "work", monkeypatch)
    own.probe = ManyColours(60)
    own.run("0-3", name="mine", probe={"chunk": 7, "holdout": 0.5})
    return own


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments])


def test_verdicts_are_shown_and_kept_with_the_run(bench: Bench, tmp_path: Path) -> None:
    result = run("evaluate", "mine", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "mine, 3 labels: 2 supported, 1 weak, 0 no better than the null" in result.output
    kept = bench.workspace / "runs" / "mine" / "verdicts.csv"
    rows = list(csv.DictReader(kept.open()))
    assert [row["verdict"] for row in rows] == ["weak", "supported", "supported", "no label"]
    assert (rows[3]["neuron"], rows[3]["label"], rows[3]["correlation"]) == ("3", "", "")
    assert (tmp_path / "out" / "verdicts.csv").read_bytes() == kept.read_bytes()


def test_one_layer_is_judged_and_the_others_verdicts_stay(bench: Bench) -> None:
    kept = bench.workspace / "runs" / "mine" / "verdicts.csv"
    elsewhere = Verdict("before", 0, "dog", "weak", 0.5, ())
    write_verdicts(RunFolder(bench.workspace, "mine"), [elsewhere])
    result = run("evaluate", "mine", "--layer", LAYER, "--evidence", "images")
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader(kept.open()))
    assert [row["layer"] for row in rows] == ["before", *[LAYER] * 4]
    assert "unknown layer 'late'" in str(run("evaluate", "mine", "--layer", "late").exception)


def test_a_run_made_with_other_weights_says_so(bench: Bench) -> None:
    folder = RunFolder(bench.workspace, "mine")
    folder.write_json("stages.json", {**folder.places(), "scores": "scores-0123456789abcdef"})
    for scores in (bench.workspace / "artefacts").glob("scores-*"):
        shutil.rmtree(scores)
    assert "have changed since; the same dissect command" in str(run("evaluate", "mine").exception)


@pytest.mark.parametrize("command", [("evaluate", "mine"), ("compare", "mine", "mine")])
def test_where_results_cannot_go_is_said_first(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("dnd_local.pipeline.reading.open_run", pytest.fail)
    said = run(*command, "--out", tmp_path / "file" / "deeper")
    assert "file is not a folder" in str(said.exception)


def test_another_describers_labels_are_judged_but_not_kept(bench: Bench, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.csv"
    wrong.write_text(f"layer,unit,description\n{LAYER},0,green\n{LAYER},1,blue\n{LAYER},2,red\n")
    result = run("evaluate", "mine", "--labels", wrong, "--evidence", "images", "--json")
    found = json.loads(result.output)
    assert found["describer"] == "wrong"
    assert {own["verdict"] for own in found["verdicts"]} == {"no better than the null"}
    assert "auc" not in found["verdicts"][0]
    assert not (bench.workspace / "runs" / "mine" / "verdicts.csv").exists()


def test_planted_truth(bench: Bench, tmp_path: Path) -> None:
    truth = tmp_path / "truth.json"
    concepts = {name: {"kind": "colour"} for name in ("red", "green", "blue")}
    neurons = {LAYER: {"0": "red", "1": "red", "3": "blue"}}
    truth.write_text(json.dumps({"concepts": concepts, "neurons": neurons}))
    result = run("evaluate", "mine", "--truth", truth)
    assert "mine: 33.3% right of 3" in result.output
    found = json.loads(run("evaluate", "mine", "--truth", truth, "--json").output)
    assert [own["answer"] for own in found["answers"]] == ["right", "wrong", "silent"]


def test_an_embedded_target_brings_its_truth_along(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(bench, 3, "named", "fc", label=lambda neuron, draw: ("puppy", "red cat")[neuron])
    own = [{"neuron": i, "concept": c, "kind": "object"} for i, c in enumerate(("dog", "dog"))]
    (tmp_path / "truth.json").write_text(json.dumps({"fc": own, "layer4": []}))
    monkeypatch.setattr(Weights, "folder", lambda self, name: tmp_path)
    result = run("evaluate", "named", "--truth", "planted")
    assert "named: 50.0% right of 2" in result.output
    by_hand = run("evaluate", "named", "--truth", tmp_path / "truth.json", "--json")
    assert [one["answer"] for one in json.loads(by_hand.output)["answers"]] == ["right", "wrong"]


def test_classes_and_annotations_as_truth(bench: Bench, tmp_path: Path) -> None:
    classes = tmp_path / "classes.txt"
    classes.write_text("red\ngreen\nblue\n")
    result = run("evaluate", "mine", "--truth", classes, "--metric", "token-f1")
    assert "mine, token F1, 3 neurons: 0.6667" in result.output
    people = tmp_path / "people.csv"
    people.write_text(f"layer,unit,summary\n{LAYER},0,red\n{LAYER},0,dog\n{LAYER},1,green\n")
    asked = ("evaluate", "mine", "--truth", people, "--metric", "token-f1", "--all-neurons")
    figure = json.loads(run(*asked, "--json").output)["figures"][0]
    assert (figure["describer"], figure["neurons"]) == ("mine", 2)


def test_an_embedded_target_brings_its_classes_along(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(bench, 3, "named", "fc", label=lambda neuron, draw: ("dog", "red cat")[neuron])
    own = [{"neuron": i, "concept": c, "kind": "object"} for i, c in enumerate(("dog", "cat"))]
    (tmp_path / "truth.json").write_text(json.dumps({"fc": own, "layer4": []}))
    monkeypatch.setattr(Weights, "folder", lambda self, name: tmp_path)
    asked = ("evaluate", "named", "--truth", "classes", "--metric", "token-f1")
    result = run(*asked)
    assert "classes of pocket: class names, 2 neurons (fc)" in result.output
    assert "named, token F1, 2 neurons: 0.8333" in result.output
    assert json.loads(run(*asked, "--json").output)["read"][0].startswith("classes of pocket")
    refused = str(run("evaluate", "mine", *asked[2:]).exception)
    assert f"the last layer of pocket, fc; run 'mine' has {LAYER}" in refused


def test_labels_that_name_no_layer_are_about_the_runs_only_one(
    bench: Bench, tmp_path: Path
) -> None:
    own = tmp_path / "own.csv"
    own.write_text("Neuron ID,label\n0,red\n1,blue\n")
    truth = tmp_path / "truth.json"
    concepts = {name: {"kind": "colour"} for name in ("red", "blue")}
    truth.write_text(json.dumps({"concepts": concepts, "neurons": {LAYER: {"0": "red"}}}))
    result = run("evaluate", "mine", "--labels", own, "--truth", truth)
    assert "own: 100.0% right of 1" in result.output


def test_a_run_without_holdout_asks_for_a_probe(bench: Bench) -> None:
    bench.run("0-2", name="whole", probe={"holdout": 0})
    assert "give --probe" in str(run("evaluate", "whole").exception)


def test_clip_dissect_writes_a_table_that_evaluate_reads(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    concepts = tmp_path / "concepts.txt"
    concepts.write_text("blue\ngreen\nred\n")
    asked = ("baseline", "clip-dissect", "pocket", LAYER, "--concepts", concepts, "--ids", "0-3",
             "--probe-holdout", 0.5, "--probe-chunk", 7, "--similarity", "cosine")  # fmt: skip
    result = run(*asked)
    assert result.exit_code == 0, result.output
    table = tmp_path / f"clip-dissect-cosine-pocket-{LAYER}.csv"
    assert "Written: " + table.name in result.output
    rows = list(csv.DictReader(table.open()))
    assert [row["label_1"] for row in rows] == ["red", "green", "blue", ""]
    assert rows[3]["status"] == "dead"
    judged = run("evaluate", "mine", "--labels", table, "--evidence", "images", "--json")
    verdicts = [own["verdict"] for own in json.loads(judged.output)["verdicts"]]
    assert verdicts == ["supported"] * 3 + ["no label"]
    there = json.loads(run(*asked, "--out", tmp_path / "x.jsonl", "--json").output)
    assert there[0]["describer"] == "clip-dissect:cosine"
    assert "unknown similarity 'pmi'" in str(run(*asked[:-1], "pmi").exception)
    monkeypatch.setattr("dnd_local.pipeline.request.Request", pytest.fail)
    for wrong, why in (("x.txt", ".csv, .jsonl, .parquet"), ("none/x.csv", "folder is not there")):
        assert why in str(run(*asked, "--out", tmp_path / wrong).exception)
