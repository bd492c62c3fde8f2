"""What is written comes back, and no spreadsheet runs it."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest

from dnd_local.core.descriptions import DescriptionRow, DescriptionTable
from dnd_local.core.errors import UserError
from dnd_local.evaluate.exports import (
    jsonl_text,
    records_csv,
    table_records,
    write_records,
)
from dnd_local.evaluate.tables import read_table
from dnd_local.store.outputs import safe_cell, unguard

TABLE = DescriptionTable(
    "mine",
    (
        DescriptionRow(
            "mine", "net", "fc", 0, ("=HYPERLINK(1)", "a, b"), (0.25, -2.0), "described"
        ),
        DescriptionRow("mine", "net", "fc", 1, (), (), "dead"),
    ),
)


def test_a_table_comes_back_from_csv_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    write_records(table_records(TABLE), path)
    assert read_table(path).table == TABLE


def test_no_text_cell_starts_like_a_formula_and_numbers_stay() -> None:
    lines = records_csv([{"=head": "@x", "score": -1.5, "none": None, "nan": float("nan")}])
    assert lines == "'=head,score,none,nan\n'@x,-1.5,,\n"


@pytest.mark.parametrize("text", ["", "dog", "=1", "'=1", "'", "it's", "-", "\tx", "'quoted'"])
def test_unguarding_undoes_guarding(text: str) -> None:
    if not text.startswith("'="):  # a text that already looks guarded cannot be told from one
        assert unguard(safe_cell(text)) == text


def test_jsonl_holds_bare_text_and_no_nan(tmp_path: Path) -> None:
    write_records([{"label": "=1", "x": float("nan")}], tmp_path / "t.jsonl")
    assert msgspec.json.decode((tmp_path / "t.jsonl").read_bytes()) == {"label": "=1", "x": None}
    assert jsonl_text([]) == ""
    assert records_csv([]) == ""


def test_parquet_holds_the_same(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    write_records(table_records(TABLE), tmp_path / "t.parquet")
    rows = parquet.read_table(tmp_path / "t.parquet").to_pylist()
    assert [row["label_1"] for row in rows] == ["=HYPERLINK(1)", None]


def test_more_than_three_labels_get_columns_of_their_own() -> None:
    row = DescriptionRow("a", "", "fc", 0, ("1", "2", "3", "4"), (), "described")
    assert table_records(DescriptionTable("a", (row,)))[0]["label_4"] == "4"
    assert table_records(DescriptionTable("a", ())) == []


def test_other_endings_missing_folders_and_a_missing_library_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"end it in \.csv"):
        write_records([], tmp_path / "t.xlsx")
    with pytest.raises(UserError, match="cannot write"):
        write_records([], tmp_path / "none" / "t.csv")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match="pip install"):
        write_records([], tmp_path / "t.parquet")
