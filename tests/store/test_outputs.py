"""The files that other tools open."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnd_local.core.descriptions import Description, Label
from dnd_local.core.ranking import score_candidates
from dnd_local.core.records import Neuron, Scores
from dnd_local.store import outputs
from dnd_local.store.runs import RunFolder


def description(layer: str, index: int, *labels: str) -> Description:
    status = "described" if labels else "dead"
    found = tuple(Label(text, 1.0) for text in labels)
    return Description(Neuron("net", layer, index), status, found, "mean")


def scores(*texts: str) -> Scores:
    values = [[1.0, 2.0] for _ in texts]
    return Scores(Neuron("net", "a", 4), score_candidates(texts, values, values, 5))


def rows(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode())))


def test_one_layer_has_the_releases_columns_and_keeps_rows_without_label() -> None:
    found = outputs.description_files(
        [description("a", 1, "red", "green", "blue", "never"), description("a", 2)]
    )
    assert list(found) == ["descriptions.csv"]
    assert rows(found["descriptions.csv"]) == [
        ["Neuron ID", "Label 1", "Label 2", "Label 3"],
        ["1", "red", "green", "blue"],
        ["2", "", "", ""],
    ]


def test_several_layers_have_a_file_each() -> None:
    found = outputs.description_files([description("a", 1, "x"), description("b.c", 1, "y")])
    assert list(found) == ["descriptions-a.csv", "descriptions-b.c.csv"]
    assert rows(found["descriptions-b.c.csv"])[1] == ["1", "y", "", ""]


@given(st.text(max_size=20))
def test_no_cell_is_a_formula(text: str) -> None:
    cell = outputs.safe_cell(text)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert cell.removeprefix("'") == text.removeprefix("'") or cell == text


@pytest.mark.parametrize("text", ["=1+1", "+cmd", "-2", "@SUM(A1)", "\tx", "\rx"])
def test_what_would_run_is_quoted_in_every_file(text: str) -> None:
    (files,) = outputs.description_files([description("a", 1, text)]).values()
    assert f"'{text}" in files.decode().replace('"', "")
    assert f"'{text}" in outputs.candidates_csv([scores(text)]).decode().replace('"', "")


def test_candidates_carry_all_four_scores() -> None:
    found = rows(outputs.candidates_csv([scores("x, y", "z")]))
    assert found[0][3:] == ["mean", "topk-sq-mean", "topk-compare", "image-products"]
    assert [row[:3] for row in found[1:]] == [["a", "4", "x, y"], ["a", "4", "z"]]
    assert float(found[1][3]) == scores("x, y", "z").candidates[0].mean


def test_results_replace_what_an_earlier_call_left(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, "mine")
    outputs.write_results(run, [description("a", 1, "x")], [])
    assert (run.folder / "descriptions.csv").exists()
    both = [description("a", 1, "x"), description("b", 2)]
    outputs.write_results(run, both, [scores("x")])
    names = sorted(path.name for path in run.folder.iterdir())
    assert names == [
        "candidates.csv", "descriptions-a.csv", "descriptions-b.csv", "descriptions.jsonl",
    ]  # fmt: skip
    lines = (run.folder / "descriptions.jsonl").read_bytes().splitlines()
    assert [msgspec.json.decode(line, type=Description) for line in lines] == both
