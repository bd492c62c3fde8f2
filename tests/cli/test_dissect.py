"""`dissect`, `triage` and the commands that read runs, over a world of flat colours."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from dnd_local.core.errors import EngineError
from dnd_local.core.records import Pixels
from tests.bench import Bench
from tests.cli.conftest import Command, Said
from tests.fakes import LAYER, ColourProbe, FakeCaptioner, FakeLanguageModel

JUDGED = ("--evaluate", "--probe-holdout", 0.7)
SMALL = ("--pictures-count", 2, "--pictures-size", 8, "--probe-chunk", 7)


@pytest.fixture
def dissected(command: Command, bench: Bench) -> Said:
    return command("dissect", "pocket", LAYER, "--ids", "0-5", "--run", "mine", *SMALL)


def parsed(said: Said) -> Any:
    assert said.code == 0, said.err
    return json.loads(said.out)


def test_dissect_prints_labels_and_where_the_rest_is(dissected: Said, bench: Bench) -> None:
    assert dissected.code == 0
    lines = [line.split() for line in dissected.out.splitlines()]
    assert lines[0][:3] == ["Neuron", "Label", "Score"]
    assert lines[1][:3] == [LAYER, "0", "red"]
    assert lines[4][:3] == [LAYER, "3", "dead"]
    assert f"Run mine: {bench.workspace / 'runs' / 'mine'}" in dissected.out
    assert "dnd-local show mine NEURON" in dissected.out
    assert "done before" not in dissected.out


def test_the_same_again_says_that_nothing_was_computed(command: Command, dissected: Said) -> None:
    again = command("dissect", "pocket", LAYER, "--ids", "0-5", "--run", "mine", *SMALL)
    assert again.code == 0
    assert "All of this was done before; nothing was computed again." in again.out


def test_everything_can_be_had_as_json(command: Command, dissected: Said) -> None:
    words = ("dissect", "pocket", LAYER, "--ids", "0-5", "--run", "mine", *SMALL)
    result = parsed(command(*words, "--json"))
    assert (result["run"], result["made"], result["failures"]) == ("mine", 0, [])
    assert result["descriptions"][0]["labels"][0]["text"].startswith("red ")
    assert parsed(command(*words, "--dry-run", "--json"))["run"] == "mine"
    (triage,) = parsed(command("triage", "pocket", LAYER, "--probe-chunk", 7, "--json"))
    assert [own["verdict"] for own in triage["neurons"]][3:] == ["dead", "constant", "duplicate"]
    (run,) = parsed(command("runs", "--json"))
    assert (run["name"], run["neurons"]) == ("mine", 6)
    told = parsed(command("status", "mine", "--json"))
    assert told["verdicts"] is None
    status = {own["stage"]: own["of"] for own in told["stages"]}
    assert (status["triage"], status["scores"]) == (1, 3)
    shown = parsed(command("show", "mine", 0, "--json"))
    assert shown["neuron"] == {"target": "pocket", "layer": LAYER, "index": 0}
    (layer,) = parsed(command("layers", "pocket", "--json"))
    assert layer["path"] == LAYER


def test_evaluate_makes_verdicts_part_of_a_run(command: Command, bench: Bench) -> None:
    pytest.importorskip("sklearn")
    bench.probe = ColourProbe(39)
    words = ("dissect", "pocket", LAYER, "--ids", "0-5", "--run", "mine", *SMALL, *JUDGED)
    said = command(*words)
    assert said.code == 0, said.err
    assert "Verdicts on 3 of 3 labels" in said.out
    kept = bench.workspace / "runs" / "mine" / "verdicts.csv"
    assert len(kept.read_text().splitlines()) == 1 + 6
    bench.calls.asked.clear()
    again = parsed(command(*words, "--json"))
    assert (again["made"], len(again["verdicts"])) == (0, 3)
    assert not bench.calls.asked, "no label was judged again"


def test_a_run_whose_neurons_have_no_label_has_nothing_to_judge(
    command: Command, bench: Bench
) -> None:
    pytest.importorskip("sklearn")
    bench.probe = ColourProbe(39)
    said = command("dissect", "pocket", LAYER, "--ids", "3", *SMALL, *JUDGED)
    assert said.code == 0, said.err
    assert "Verdicts" not in said.out


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((), "probe.holdout 0.2 of 30 images holds out 6, and labels are judged on 20 at least"),
        (("--probe-holdout", 0), "--evaluate judges labels on held-out images, and probe.holdout"),
    ],
)
def test_labels_that_cannot_be_judged_are_refused_before_any_work(
    command: Command, bench: Bench, words: Sequence[object], reason: str
) -> None:
    pytest.importorskip("sklearn")
    said = command("dissect", "pocket", LAYER, "--ids", "0", *SMALL, "--evaluate", *words)
    assert said.code == 2
    assert reason in said.err
    assert not bench.workspace.exists()


def test_a_dry_run_says_what_would_be_done_and_does_nothing(command: Command, bench: Bench) -> None:
    said = command("dissect", "pocket", LAYER, "--ids", "0,1", *SMALL, "--dry-run")
    assert said.code == 0
    assert "(nothing was computed)" in said.out
    assert "Pictures to paint: 20 at most, for 2 neurons." in said.out
    assert "A time of ? was never measured" in said.out
    assert not bench.workspace.exists()


def test_a_run_that_describes_no_neuron_says_why_and_exits_with_3(
    command: Command, bench: Bench
) -> None:
    bench.replaced["language-model"] = FakeLanguageModel(bench.calls, lambda request: "I cannot.")
    words = ("dissect", "pocket", LAYER, "--ids", "0,1", "--run", "mine", *SMALL)
    said = command(*words)
    assert said.code == 3
    assert "No neuron was described: all 2 that are live failed." in said.out
    assert "20 of 20 rejected replies: refused to answer." in said.out
    assert "try another language model" in said.out
    assert command(*words, "--json").code == 3


def test_a_run_with_failed_items_lists_them_and_exits_with_3(
    command: Command, bench: Bench
) -> None:
    class NoBlue(FakeCaptioner):
        def caption(self, pictures: Sequence[Pixels]) -> list[str]:
            texts = super().caption(pictures)
            if any("blue" in text for text in texts):
                raise EngineError("no word for [it]")
            return texts

    bench.replaced["captioner"] = NoBlue(bench.calls)
    words = ("dissect", "pocket", LAYER, "--ids", "0-2", *SMALL)
    said = command(*words)
    assert said.code == 3
    assert "failed captions colours-00002: no word for [it]" in said.out
    said = command(*words, "--json")
    assert said.code == 3
    assert json.loads(said.out)["failures"][0]["reason"] == "no word for [it]"


def test_layers_and_ids_that_are_not_there(command: Command, bench: Bench) -> None:
    said = command("dissect", "pocket", "colour", "--ids", "1", *SMALL)
    assert said.code == 2
    assert "unknown layer 'colour'. Did you mean colours?" in said.err
    said = command("dissect", "pocket", LAYER, "--ids", "7", *SMALL)
    assert (said.code, "none has the id 7" in said.err) == (2, True)
    assert not bench.workspace.exists()


def test_triage_counts_each_class(command: Command, bench: Bench) -> None:
    bench.probe = ColourProbe(broken=(2,))
    said = command("triage", "pocket", LAYER, "--probe-chunk", 7)
    assert said.code == 0
    assert "duplicate of 0" in said.out
    assert (
        f"{LAYER}: 6 neurons over 29 images (1 skipped): "
        "1 constant, 1 dead, 1 duplicate, 3 live" in said.out
    )
    assert set(bench.calls.opened) == {"target"}


def test_a_run_is_shown(command: Command, dissected: Said) -> None:
    said = command("show", "mine", 1)
    for text in ("pocket colours 1: live", "Labels: green ", "green-", "there is a green square",
                 "topk-compare", "whole"):  # fmt: skip
        assert text in said.out
    assert "Labels: responds to no image" in command("show", "mine", 3).out
    assert "Time spent" in command("status", "mine").out
    listed = command("runs").out
    assert "pocket-captioner" in listed
    assert "pocket-llm (transformers)" in listed


def test_a_race_is_shown(command: Command, bench: Bench) -> None:
    words = ("dissect", "pocket", LAYER, "--ids", 0, "--run", "raced", *SMALL)
    said = command(*words, "--pictures-count", 10, "--race", 4)
    assert said.code == 0, said.err
    shown = command("show", "raced", 0).out
    assert "Race, after 4 pictures each: red " in shown
    assert "A score over fewer pictures is less certain." in shown
    assert "go on." in shown or "has won." in shown
    assert "race" in command("status", "raced").out
    assert "Race" not in command("show", "raced", 3).out
    assert command("report", "raced").code == 0
    pages = (bench.workspace / "runs" / "raced" / "report").rglob("*.html")
    assert any("A race: after 4 pictures each" in page.read_text() for page in pages)


def test_what_a_run_has_not(command: Command, dissected: Said) -> None:
    assert "Did you mean mine?" in command("status", "mime").err
    for neuron in ("x", "99"):
        said = command("show", "mine", neuron)
        assert said.code == 2
        assert len(said.err.splitlines()) == 1


def test_no_runs_yet(command: Command) -> None:
    assert command("runs").out == "No runs here yet.\n"


def test_layers_of_a_network(command: Command, bench: Bench) -> None:
    said = command("layers", "pocket")
    assert said.out.splitlines()[1].split() == [
        LAYER,
        "Colours",
        "6",
        "x",
        "8",
        "x",
        "8",
        "6",
        "yes",
    ]


def test_targets_are_listed(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from dnd_local.pipeline import catalogue

    known = (catalogue.KnownTarget("resnet50", "torchvision", "missing"),)
    monkeypatch.setattr(catalogue, "known_targets", lambda *_: known)
    said = command("targets")
    assert "resnet50" in said.out
    assert "path/to/file.py:factory" in said.out
    assert json.loads(command("targets", "--json").out)[0]["name"] == "resnet50"


def test_dissect_with_report_says_where_the_pages_are(command: Command, bench: Bench) -> None:
    said = command("dissect", "pocket", LAYER, "--ids", "0", "--run", "mine", "--report", *SMALL)
    assert said.code == 0
    (line,) = [line for line in said.err.splitlines() if line.startswith("Report: ")]
    assert (bench.workspace / "runs" / "mine" / "report" / "index.html").is_file()
    assert line.endswith("index.html")


def test_the_released_way_describes_the_dead_too(command: Command, bench: Bench) -> None:
    words = ("dissect", "pocket", LAYER, "--ids", "0,3", "--compat", "official", "--json")
    found = parsed(command(*words, *SMALL))
    assert [own["status"] for own in found["descriptions"]] == ["described", "described"]
    said = command("triage", "pocket", LAYER, "--compat", "official", "--probe-chunk", 7)
    assert said.code == 0
    assert "dead" not in said.out
