"""``truth`` from the user's side: planted concepts, class names, annotations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from dnd_local.cli import truth as command
from dnd_local.core.errors import BadConfig
from dnd_local.store.weights import Weights
from tests.bench import Bench
from tests.fakes import LAYER
from tests.report.synthetic import write_run

app = typer.Typer()
app.command("truth")(command.truth)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments])


def test_planted_truth(mine: Bench, tmp_path: Path) -> None:
    truth = tmp_path / "truth.json"
    concepts = {name: {"kind": "colour"} for name in ("red", "green", "blue")}
    neurons = {LAYER: {"0": "red", "1": "red", "3": "blue"}}
    truth.write_text(json.dumps({"concepts": concepts, "neurons": neurons}))
    result = run("mine", truth)
    assert "mine: 33.3% right of 3" in result.output
    found = json.loads(run("mine", truth, "--json").output)
    assert [own["answer"] for own in found["answers"]] == ["right", "wrong", "silent"]


def test_an_embedded_target_brings_its_truth_along(
    mine: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(mine, 3, "named", "fc", label=lambda neuron, draw: ("puppy", "red cat")[neuron])
    own = [{"neuron": i, "concept": c, "kind": "object"} for i, c in enumerate(("dog", "dog"))]
    (tmp_path / "truth.json").write_text(json.dumps({"fc": own, "layer4": []}))
    monkeypatch.setattr(Weights, "folder", lambda self, name: tmp_path)
    result = run("named", "planted")
    assert "named: 50.0% right of 2" in result.output
    by_hand = run("named", tmp_path / "truth.json", "--json")
    assert [one["answer"] for one in json.loads(by_hand.output)["answers"]] == ["right", "wrong"]


def test_classes_and_annotations_as_truth(mine: Bench, tmp_path: Path) -> None:
    classes = tmp_path / "classes.txt"
    classes.write_text("red\ngreen\nblue\n")
    result = run("mine", classes, "--metric", "token-f1")
    assert "mine, token F1, 3 neurons: 0.6667" in result.output
    people = tmp_path / "people.csv"
    people.write_text(f"layer,unit,summary\n{LAYER},0,red\n{LAYER},0,dog\n{LAYER},1,green\n")
    asked = ("mine", people, "--metric", "token-f1", "--all-neurons")
    figure = json.loads(run(*asked, "--json").output)["figures"][0]
    assert (figure["describer"], figure["neurons"]) == ("mine", 2)


def test_an_embedded_target_brings_its_classes_along(
    mine: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(mine, 3, "named", "fc", label=lambda neuron, draw: ("dog", "red cat")[neuron])
    kind = {"architecture": "torchvision-resnet-basicblock", "outputs": ["dog", "cat"]}
    (tmp_path / "config.json").write_text(json.dumps(kind))
    monkeypatch.setattr(Weights, "folder", lambda self, name: tmp_path)
    asked = ("named", "classes", "--metric", "token-f1")
    result = run(*asked)
    assert "classes of pocket: class names, 2 neurons (fc)" in result.output
    assert "named, token F1, 2 neurons: 0.8333" in result.output
    assert json.loads(run(*asked, "--json").output)["read"][0].startswith("classes of pocket")
    refused = str(run("mine", *asked[1:]).exception)
    assert f"the last layer of pocket, fc; run 'mine' has {LAYER}" in refused


def test_labels_that_name_no_layer_are_about_the_runs_only_one(mine: Bench, tmp_path: Path) -> None:
    own = tmp_path / "own.csv"
    own.write_text("Neuron ID,label\n0,red\n1,blue\n")
    truth = tmp_path / "truth.json"
    concepts = {name: {"kind": "colour"} for name in ("red", "blue")}
    truth.write_text(json.dumps({"concepts": concepts, "neurons": {LAYER: {"0": "red"}}}))
    result = run("mine", truth, "--labels", own)
    assert "own: 100.0% right of 1" in result.output


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("planted", "--metric", "clip"), "--metric would change nothing: planted asks whether"),
        (("x.json", "--all-neurons", "--devices", "0"), "--devices and --all-neurons would"),
        (("classes.txt", "--agree-above", "0.5"), "classes.txt is not of several annotators"),
        (("people.csv", "--agree-above", "0.5", "--all-neurons"), "leave one of them out"),
    ],
)
def test_an_option_that_would_change_nothing_is_refused(
    mine: Bench, tmp_path: Path, words: tuple[str, ...], why: str
) -> None:
    (tmp_path / "classes.txt").write_text("red\ngreen\nblue\n")
    (tmp_path / "people.csv").write_text(f"layer,unit,summary\n{LAYER},0,red\n{LAYER},0,dog\n")
    refused = run("mine", *words).exception
    assert isinstance(refused, BadConfig)
    assert why in str(refused)
