"""A describer by its name: a run's labels as a table."""

from __future__ import annotations

from pathlib import Path

import pytest

from dnd_local.core.errors import UserError
from dnd_local.evaluate.describers import (
    constant_word,
    distinct_names,
    open_describer,
    table_of_run,
)
from dnd_local.pipeline.reading import open_run
from tests.bench import Bench
from tests.fakes import LAYER


def test_a_runs_table_has_its_labels_and_its_silences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path / "work", monkeypatch)
    bench.run("0-3", name="mine")
    table = table_of_run(open_run("mine", bench.workspace))
    assert [row.status for row in table.rows] == ["described"] * 3 + ["dead"]
    assert [row.labels[0].split()[0] for row in table.rows[:3]] == ["red", "green", "blue"]
    assert len(table.rows[0].labels) == len(table.rows[0].scores)


def test_a_name_is_a_file_class_names_or_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path / "work", monkeypatch)
    bench.run(name="mine-gpt")
    run = open_describer("mine/gpt", LAYER, bench.workspace)
    assert (run.source, len(run.table.rows)) == ("mine/gpt", 3)
    (tmp_path / "classes.txt").write_text("dog\ncat\n")
    assert open_describer(str(tmp_path / "classes.txt"), "fc").format == "class names"
    (tmp_path / "x_fc.csv").write_text("Neuron ID,label\n0,dog\n")
    assert open_describer(str(tmp_path / "x_fc.csv")).table.rows[0].labels == ("dog",)
    with pytest.raises(UserError, match="cannot read"):
        open_describer("nothing.csv")


def test_equal_names_are_numbered() -> None:
    assert distinct_names(["a", "b", "a"]) == ["a (1)", "b", "a (2)"]


def test_a_constant_word_is_a_describer_of_the_neurons_with_a_label(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path / "work", monkeypatch)
    bench.run("0-3", name="mine")
    read = constant_word("object", table_of_run(open_run("mine", bench.workspace)))
    assert [(row.neuron, row.labels) for row in read.table.rows] == [
        (neuron, ("object",)) for neuron in range(3)
    ]
    assert read.table.describer == "object"
