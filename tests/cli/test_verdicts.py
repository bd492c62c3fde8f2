"""What a run's labels are worth, beside them on the screen once it was evaluated."""

from __future__ import annotations

import json

import pytest

from dnd_local.core.descriptions import Description
from dnd_local.evaluate.verdicts import Judged, Ruling, Verdict, write_verdicts
from dnd_local.pipeline.runner import RunResult
from dnd_local.store.runs import RunFolder
from tests.bench import Bench
from tests.cli.conftest import Command
from tests.fakes import LAYER

RULINGS: tuple[Ruling, ...] = ("supported", "no better than the null")


@pytest.fixture
def run(bench: Bench) -> RunResult:
    return bench.run("0-3", name="mine")


def judged(own: Description, ruling: Ruling, label: str = "") -> Verdict:
    measures = (
        Judged("correlation", 0.512, 0.4, 0.6, 0.01, 0.2, float("nan"), 0.975),
        Judged("f1", 0.25, 0.1, 0.5, 0.0, 0.3, 0.0, 0.5),
    )
    text = label or own.labels[0].text
    reach = 0.995 if ruling == "supported" else float("nan")
    return Verdict(LAYER, own.neuron.index, text, ruling, 0.975, measures, reach)


def keep(bench: Bench, run: RunResult) -> None:
    pairs = zip(run.descriptions, RULINGS, strict=False)
    write_verdicts(RunFolder(bench.workspace, "mine"), [judged(*pair) for pair in pairs])


def test_nothing_is_said_of_a_run_that_was_not_evaluated(command: Command, run: RunResult) -> None:
    for words in (("show", "mine"), ("show", "mine", 0), ("status", "mine")):
        said = command(*words)
        assert said.code == 0, said.err
        for word in ("erdict", "upport", "abstained"):
            assert word not in said.out
    assert json.loads(command("show", "mine", "--json").out)["verdicts"] == []
    assert json.loads(command("show", "mine", 0, "--json").out)["verdict"] is None
    assert json.loads(command("status", "mine", "--json").out)["verdicts"] is None


def test_a_run_is_shown_with_its_verdicts(command: Command, bench: Bench, run: RunResult) -> None:
    keep(bench, run)
    said = command("show", "mine")
    lines = said.out.splitlines()
    assert lines[0].split()[2:6] == ["Score", "Verdict", "Support", "Reach"]
    assert " supported 0.97 99.5% " in " ".join(lines[1].split())
    assert " abstained 0.97 - " in " ".join(lines[2].split())
    assert lines[3].split()[-1] == "described"
    assert "Verdicts on 2 of 3 labels: 1 supported, 0 weak, 1 abstained" in lines
    assert "  supported: the label predicts the neuron" in said.out
    assert "do not rely on it" in said.out
    assert "  weak:" not in said.out
    assert "The others are not judged yet: dnd-local evaluate mine" in lines
    found = json.loads(command("show", "mine", "--json").out)
    assert [own["verdict"] for own in found["verdicts"]] == list(RULINGS)
    assert len(found["descriptions"]) == 4


def test_status_counts_verdicts(command: Command, bench: Bench, run: RunResult) -> None:
    keep(bench, run)
    said = command("status", "mine").out
    assert "Verdicts on 2 of 3 labels: 1 supported, 0 weak, 1 abstained" in said
    found = json.loads(command("status", "mine", "--json").out)
    assert {own["stage"] for own in found["stages"]} >= {"triage", "scores"}
    assert found["verdicts"] == {
        "labels": 3, "judged": 2, "supported": 1, "weak": 0, "abstained": 1,
    }  # fmt: skip


def test_the_table_at_the_end_has_them_too(command: Command, bench: Bench, run: RunResult) -> None:
    keep(bench, run)
    words = ("dissect", "pocket", LAYER, "--ids", "0-3", "--run", "mine", "--pictures-count", 2,
             "--pictures-size", 8, "--probe-chunk", 7)  # fmt: skip
    said = command(*words)
    assert "Verdicts on 2 of 3 labels" in said.out, said.err
    assert len(json.loads(command(*words, "--json").out)["verdicts"]) == 2


def test_the_figures_of_one_neuron(command: Command, bench: Bench, run: RunResult) -> None:
    keep(bench, run)
    said = command("show", "mine", 0).out
    assert "Verdict: supported (the label predicts the neuron" in said
    line = next(line for line in said.splitlines() if line.startswith("correlation"))
    assert line.split() == ["correlation", "*", "0.512", "0.400", "to", "0.600", "0.010", "0.200",
                            "-", "98%"]  # fmt: skip
    assert json.loads(command("show", "mine", 0, "--json").out)["verdict"]["f1"] == 0.25


def test_a_verdict_on_another_label_is_not_shown(
    command: Command, bench: Bench, run: RunResult
) -> None:
    own = judged(run.descriptions[0], "supported", "an earlier label")
    write_verdicts(RunFolder(bench.workspace, "mine"), [own])
    for words in (("show", "mine"), ("show", "mine", 0), ("status", "mine")):
        assert "upport" not in command(*words).out


def test_a_damaged_file_of_verdicts_is_one_line(
    command: Command, bench: Bench, run: RunResult
) -> None:
    RunFolder(bench.workspace, "mine").write_bytes("verdicts.csv", b"layer\nx\n")
    said = command("show", "mine")
    assert said.code == 2
    assert "judge again: dnd-local evaluate mine" in said.err
    assert len(said.err.splitlines()) == 1
