"""`dissect` and what a run gives, as Python's users write them."""

from __future__ import annotations

import builtins
import inspect
import re
import runpy
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dnd_local
from dnd_local.core.errors import BadConfig
from dnd_local.pipeline.dissection import Dissection
from dnd_local.pipeline.python import dissect
from dnd_local.pipeline.reading import open_run
from tests.bench import Bench
from tests.fakes import LAYER

PAGE = Path(__file__).parents[2] / "docs" / "python.md"


def test_the_page_does_what_it_says(
    unguarded: list[None],
    bench: Bench,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), flags=re.DOTALL)
    script = tmp_path / "page.py"
    script.write_text("\n".join(blocks).replace("layer4", LAYER), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    left = runpy.run_path(str(script))
    said = capsys.readouterr().out
    assert len(blocks) == 2
    assert re.search(rf"pocket {LAYER} 1 \['green", said)
    assert left["responses"].shape[1] >= 3
    assert (tmp_path / "work" / "runs").is_dir()


def test_every_word_of_a_request_is_a_keyword() -> None:
    words = set(inspect.signature(dissect).parameters) - {"progress"}
    assert words == {field.name for field in fields(Dissection)}


def test_a_run_gives_responses_labels_and_pictures(bench: Bench) -> None:
    result = bench.run("0-3")
    run = open_run(result.record.name, str(bench.workspace))
    responses = run.responses()
    assert responses.shape[0] == len(bench.probe)
    assert (responses == run.responses(LAYER)).all() or np.isnan(responses).any()
    with pytest.raises(BadConfig, match="layer 'late' is none of the run's: colours"):
        run.responses("late")
    assert run.pictures(0)[0].dtype == np.uint8
    assert run.pictures("3") == [], "a dead neuron has no exemplars"


def test_labels_are_a_table_with_and_without_pandas(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    pandas = pytest.importorskip("pandas")
    run = open_run(bench.run("0,3").record.name, bench.workspace)
    table = run.labels()
    assert isinstance(table, pandas.DataFrame)
    assert table["status"].tolist() == ["described", "dead"]
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "pandas":
            raise ModuleNotFoundError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    rows = run.labels()
    assert rows[0]["label 1"] == table["label 1"][0]
    assert rows[1]["label 1"] is None


def test_what_the_package_offers(unguarded: list[None]) -> None:
    assert {getattr(dnd_local, name).__name__ for name in dnd_local.__all__} == {
        "Description", "StoredRun", "compare", "dissect", "neuron_card", "open_run",
    }  # fmt: skip
    with pytest.raises(AttributeError, match="no attribute 'dissct'"):
        _ = dnd_local.dissct
    assert len(unguarded) == len(dnd_local.__all__), "each name closes the network first"
