"""`pocket bench`: what it prints and writes; the figures themselves are tested elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dnd_local.evaluate import hard_bench, pocket_bench
from dnd_local.evaluate.hard_bench import HardBench
from dnd_local.evaluate.hard_figures import Answer
from dnd_local.evaluate.intervals import Interval
from tests.cli.conftest import Command

FIGURES = {"truth.fc.top1": Interval(0.9, 0.8, 0.95, 30), "null.top1": Interval(0.1, 0.0, 0.2, 30)}


@pytest.fixture(autouse=True)
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pocket_bench, "run_bench", lambda *_: FIGURES)


def test_figures_come_with_their_intervals(command: Command) -> None:
    said = command("pocket", "bench")
    assert said.code == 0
    assert "truth.fc.top1" in said.out
    assert "0.800 to 0.950" in said.out


def test_figures_as_json_and_in_a_file(command: Command, tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    said = command("pocket", "bench", "--json", "--out", out)
    for text in (said.out, out.read_text()):
        assert json.loads(text)["null.top1"] == {"value": 0.1, "low": 0.0, "high": 0.2, "n": 30}


def test_the_hard_bench_is_asked_for_by_name(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[object] = []
    done = HardBench((Answer("ours", 0, "single", "dog", "right", 1.0),), tmp_path)
    monkeypatch.setattr(hard_bench, "run_hard_bench", lambda *_, **how: asked.append(how) or done)
    said = command("pocket", "bench", "--hard", "--frozen", "--each", "3", "--rounds", "1")
    assert said.code == 0
    assert asked == [{"frozen": True, "each": 3, "mode": {"rounds": 1}}]
    assert "1.000 (0.025 to 1.000)" in said.out
    assert (tmp_path / "plots" / "risk-coverage.svg").is_file()
    out = tmp_path / "figures.json"
    said = command("pocket", "bench", "--hard", "--json", "--out", out)
    assert json.loads(said.out) == json.loads(out.read_text())
    assert json.loads(said.out)["ours.all.right"]["value"] == 1.0


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--frozen",), "--frozen would change nothing here: add --hard"),
        (("--rounds", "1", "--contrast", "2"), "--rounds and --contrast would change nothing"),
        (("--each", "2"), "--each would change nothing here: add --hard"),
        (("--hard", "--seed", "1"), "--seed would change nothing here: leave it out"),
    ],
)
def test_options_of_the_other_bench_are_refused(
    command: Command, words: tuple[str, ...], reason: str
) -> None:
    said = command("pocket", "bench", *words)
    assert said.code == 2
    assert reason in said.err
