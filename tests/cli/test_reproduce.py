"""``reproduce``: the release's tables from files of their shapes, one command each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from dnd_local.cli.reproduce import app

RATINGS = "Layer,Unit," + ",".join(
    f"{rule} {rater} Rating"
    for rater in ("E1", "E2")
    for rule in ("Mean Caption", "Topk-Sq", "Image-Products", "Topk-Compare")
)


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


def test_last_layer(files: tuple[Path, Path], tmp_path: Path) -> None:
    classes = write(tmp_path / "classes.txt", "dog\ncat\nsky\n")
    out = tmp_path / "out"
    result = run(
        "last-layer", classes, files[0], f"milan={files[1]}", "--metric", "token-f1", "--out", out
    )
    assert result.exit_code == 0, result.output
    assert "DnD, token F1, 3 neurons: 0.8889" in result.output
    assert "constant 'animal' 0.0000" in result.output
    several = write(tmp_path / "m.csv", "layer,unit,description\nconv,0,x\nfc,0,dog\nfc,1,cat\n")
    asked = ("last-layer", classes, f"milan={several}", "--metric", "token-f1")
    unnamed = run("last-layer", classes, several, "--metric", "token-f1", "--layer", "fc")
    assert f"clip-dissect={several}" in str(unnamed.exception)
    assert "say which is meant with --layer" in str(run(*asked).exception)
    assert "MILAN, token F1, 2 neurons: 1.0000" in run(*asked, "--layer", "fc").output
    assert (out / "last-layer.csv").read_text().startswith("describer,metric,needs,neurons,value")


def test_last_layer_needs_a_describer(files: tuple[Path, Path]) -> None:
    refused = run("last-layer", files[0], "--metric", "token-f1")
    assert (refused.exit_code, "describers" in refused.output.lower()) == (2, True)


def test_milannotations(tmp_path: Path) -> None:
    people = write(
        tmp_path / "p.csv", "layer,unit,summary\nfc,0,dog\nfc,0,dog\nfc,0,x\nfc,1,a\nfc,1,b\n"
    )
    ours = write(tmp_path / "x_fc.csv", "Neuron ID,label\n0,dog\n1,cat\n")
    asked = ("milannotations", people, ours, "--metric", "token-f1")
    result = run(*asked, "--all-neurons", "--json")
    assert json.loads(result.output)["figures"][0]["value"] == pytest.approx(1 / 3)
    assert "told by CLIP" in str(run(*asked).exception)
    assert "give --metric mpnet" in str(run(*asked, "--as-published").exception)
    swapped = run("milannotations", ours, people, "--metric", "token-f1")
    assert "holds no annotations" in str(swapped.exception)


def test_captioner_swap(files: tuple[Path, Path]) -> None:
    asked = ("captioner-swap", files[0], "--metric", "token-f1")
    result = run(*asked, "--against", f"milan={files[1]}")
    assert "DnD, token F1, 3 neurons: 0.5556" in result.output
    refused = run(*asked)
    assert (refused.exit_code, "--against" in refused.output) == (2, True)
    both = run(*asked, "--against", files[0], "--against", f"milan={files[1]}")
    assert "a_fc.csv, b.csv are 2 describers" in str(both.exception)


def test_scoring_rules(tmp_path: Path) -> None:
    ratings = write(tmp_path / "r.csv", f"{RATINGS}\n1,0,1,2,5,4,3,2,5,4\n1,1,1,1,4,2,1,1,4,3\n")
    result = run("scoring-rules", ratings, "--out", tmp_path / "out")
    assert "image-products, 2 units: 4.5000" in result.output
    assert "A rule drawn at random" in result.output
    found = json.loads(run("scoring-rules", ratings, "--json").output)
    assert found["rules"][0]["rule"] == "image-products"
