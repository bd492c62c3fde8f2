"""``compare`` and ``reproduce`` from the user's side."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from dnd_local.cli import compare
from dnd_local.core.errors import UnknownName, UserError
from tests.bench import Bench

app = typer.Typer()
app.command("compare")(compare.compare)
app.callback()(lambda: None)


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DND_LOCAL_WORKSPACE", str(tmp_path / "work"))
    monkeypatch.setenv("DND_LOCAL_WEIGHTS", str(tmp_path / "weights"))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments])


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    left = write(tmp_path / "a_fc.csv", "Neuron ID,label\n0,red dog\n1,cat\n2,sky\n9,odd\n")
    right = write(
        tmp_path / "b.csv", "layer,unit,description\nfc,0,dog\nfc,1,cat\nfc,2,=1+1\nfc,3,x\n"
    )
    return left, right


def test_two_files_side_by_side(files: tuple[Path, Path], tmp_path: Path) -> None:
    result = run("compare", *files, "--metric", "token-f1", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "a_fc.csv: DnD release, last layer, 4 neurons (fc)" in result.output
    assert "Matched by layer and index: 3 neurons" in result.output
    assert "a_fc | b, token F1, 3 neurons: 0.5556" in result.output
    agreement = json.loads((tmp_path / "out" / "agreement.jsonl").read_text())
    assert (agreement["left"], agreement["right"], agreement["neurons"]) == ("a_fc", "b", 3)
    neurons = (tmp_path / "out" / "neurons.csv").read_text().splitlines()
    assert neurons[0] == "layer,neuron,a_fc,b,token F1: a_fc | b"
    assert neurons[3] == "fc,2,sky,'=1+1,0.0"
    assert not (tmp_path / "out" / "preference.csv").exists()


def test_json_and_a_preference_among_three(files: tuple[Path, Path], tmp_path: Path) -> None:
    third = write(tmp_path / "b_fc.csv", "Neuron ID,label\n0,bird\n1,bird\n2,bird\n")
    result = run("compare", *files, third, "--metric", "token-f1", "--json")
    found = json.loads(result.output)
    assert len(found["agreements"]) == 3
    assert found["read"][0].startswith("a_fc.csv: DnD release, last layer, 4 neurons")
    assert found["matched"]["by"] == "layer and index"
    assert found["matched"]["notes"][0].startswith("a_fc: of 4 labelled neurons, 1 not in")
    assert found["preferences"][0]["left"] == "b"
    assert "Nearer to a_fc" in run("compare", *files, third, "--metric", "token-f1").output


def test_json_stays_one_document_beside_files(files: tuple[Path, Path], tmp_path: Path) -> None:
    asked = ("compare", *files, "--metric", "token-f1", "--json", "--out")
    result = run(*asked, tmp_path / "out")
    assert json.loads(result.stdout)["agreements"]
    assert "Written as .csv and .jsonl" in result.stderr
    for place in (files[0], files[0] / "below"):
        refused = run(*asked, place).exception
        assert isinstance(refused, UserError)
        assert "is not a folder" in str(refused)


def test_equal_names_are_numbered(files: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    same = write(tmp_path / "other" / "a_fc.csv", files[0].read_text())
    result = run("compare", files[0], same, "--metric", "token-f1")
    assert "a_fc (1) | a_fc (2), token F1, 4 neurons: 1.0000" in result.output


def test_a_run_against_class_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path / "work", monkeypatch)
    bench.run(name="mine")
    classes = write(tmp_path / "classes.txt", "red squares\ngreen\nblue\nnone\n")
    result = run("compare", classes, "mine", "--metric", "token-f1")
    assert "mine: a run of this workspace, 3 neurons (colours)" in result.output
    assert "index alone" in result.output
    with pytest.raises(UserError, match="no neuron in common"):
        raise run("compare", classes, "mine", "--layer", "fc").exception or AssertionError


def test_without_weights_it_says_which_metrics_are_missing(files: tuple[Path, Path]) -> None:
    result = run("compare", *files)
    assert result.exit_code == 0, result.output
    assert "mpnet left out:" in result.output


def test_an_unknown_run_or_metric_is_one_line(files: tuple[Path, Path]) -> None:
    assert isinstance(run("compare", files[0], "nobody").exception, UnknownName)
    assert isinstance(run("compare", *files, "--metric", "rouge").exception, UnknownName)
