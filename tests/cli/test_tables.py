"""What is printed is what it says: no text of a model or a user is read as markup."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnd_local.cli import tables
from dnd_local.cli.evidence import print_evidence
from dnd_local.cli.progress import ProgressLines
from dnd_local.cli.wordwise import console
from dnd_local.core.config import Config
from dnd_local.core.descriptions import Description, Label
from dnd_local.core.records import (
    Box,
    Captions,
    Concepts,
    Exemplar,
    Exemplars,
    LayerInfo,
    LayerTriage,
    Neuron,
    Phrases,
    Reject,
    ScoredCandidate,
    Scores,
    Triage,
)
from dnd_local.pipeline.evidence import Evidence
from dnd_local.pipeline.forecast import Forecast, StageForecast
from dnd_local.pipeline.making import Failure
from dnd_local.pipeline.plan import PLAN
from dnd_local.pipeline.reading import RunSummary
from dnd_local.pipeline.runner import RunResult
from dnd_local.store.runs import RunRecord

HOSTILE = ("[red]dog[/red]", "[/bold]", "\\[bold]x", "end\\", ":dog:", "[link=x]y", "[3]", "[/]")
NEURON = Neuron("net", "layer[bold]4", 3)


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")


def described(text: str, reason: str = "") -> Description:
    return Description(NEURON, "described", (Label(text, 0.5),), "mean", reason)


def result(text: str) -> RunResult:
    record = RunRecord(schema=1, name="mine", config=Config(), neurons={"a": (3,)})
    failures = (Failure("captions", text, text),)
    return RunResult(record, Path("/w/[bold]"), (described(text, text),), failures, 0)


def triage() -> Triage:
    return Triage(3, "live", 0.0, 0.5, 1.0, 0.25, 0.5)


def evidence(text: str) -> Evidence:
    concepts = Concepts(NEURON, (), (Reject(text, text, 0),), ())
    return Evidence(NEURON, triage(), {"concepts": (concepts,)}, described(text))


@pytest.mark.parametrize("text", HOSTILE)
def test_labels_reasons_and_paths_are_printed_as_they_are(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - typer's exit, with its code
        tables.show_result(result(text), False)
    assert getattr(caught.value, "exit_code", None) == 3
    out = capsys.readouterr().out
    assert out.count(text) >= 4
    assert "layer[bold]4 3" in out
    assert "/w/[bold]" in out


@pytest.mark.parametrize("text", HOSTILE)
def test_evidence_and_rejects_are_printed_as_they_are(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    print_evidence(console(), evidence(text), None, "mine")
    out = capsys.readouterr().out
    assert "net layer[bold]4 3: live" in out
    assert f"Labels: {text} (0.500)" in out
    assert f"rejected: {text!r} ({text})" in out


SCORED = (
    ScoredCandidate("a bird", (3e-5, 0.0), (1, 3), (0.1, 0.1), 2.0, 1.0, 0.25, 0.0),
    ScoredCandidate("incomprehensible", (0.5, 0.1), (0, 2), (0.2, 0.1), 1.0, 2.0, 0.5, 4e-6),
)


def full(name: str = "ILSVRC2012_val_00012345.JPEG") -> Evidence:
    exemplar = Exemplar(12, name, Box(10, 20, 110, 220), 0.00004, "map", "blob")
    parts = {
        "exemplars": (Exemplars(NEURON, (exemplar,)),),
        "captions": (Captions(NEURON, ("a photograph of the incomprehensible",)),),
        "phrases": (Phrases(NEURON, ("the incomprehensible",), ()),),
        "scores": (Scores(NEURON, SCORED),),
    }
    return Evidence(NEURON, triage(), parts, described("incomprehensible"))


def test_candidates_come_in_the_order_of_the_labels_and_small_numbers_are_numbers(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_evidence(console(), full(), None, "mine")
    out = capsys.readouterr().out
    assert "4.0e-05" in out
    assert "3.0e-05" in out
    assert "0.000" not in out.replace("0.0000", "")
    assert "Score: mean, lower is better." in out
    assert "dnd-local evaluate mine" in out
    listed = out[out.index("Candidate") :]
    assert "mean*" in listed
    assert listed.index("incomprehensible") < listed.index("a bird")
    assert "Lower is better: mean, topk-sq-mean. Higher: topk-compare" in listed


@pytest.mark.parametrize("columns", [40, 80, 120, 200])
def test_no_word_is_broken_at_any_width(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("LINES", "25")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("TERM", "dumb")
    print_evidence(console(), full(), None, "mine")
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= columns
    for word in ("incomprehensible", "ILSVRC2012_val_00012345.JPEG", "photograph", "image-products",
                 "topk-sq-mean", "4.0e-05", "4.0e-06"):  # fmt: skip
        assert word in out.split() or f"{word}:" in out.split(), word


@pytest.mark.parametrize("text", [text for text in HOSTILE if not text.endswith("\\")])
def test_tables_of_runs_and_layers_are_printed_as_they_are(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tables.show_runs([RunSummary(text, text, (text,), 3, text, text, text)], False)
    assert capsys.readouterr().out.count(text) == 6
    tables.show_layers([LayerInfo(text, "Conv2d", (8, 2, 2), 8, False)], False)
    assert text in capsys.readouterr().out
    tables.show_triage([LayerTriage(text, (triage(),), 10, 1)], False)
    assert f"{text}: 1 neuron over 10 images (1 skipped): 1 live" in capsys.readouterr().out
    tables.show_triage([LayerTriage(text, (triage(),), 10, 1, "float32")], False)
    assert "kept in float32: float16 would blur them" in capsys.readouterr().out


def test_damaged_runs_are_named_after_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    whole = RunSummary("fine", "net", ("a",), 3, "c", "l", "p")
    damaged = RunSummary("bad", fault="run.json is damaged")
    for as_json in (False, True):
        with pytest.raises(Exception) as caught:  # noqa: PT011 - typer's exit, with its code
            tables.show_runs([damaged, whole], as_json)
        assert getattr(caught.value, "exit_code", None) == 3
        said = capsys.readouterr()
        assert said.err == "bad: run.json is damaged\n"
        assert "fine" in said.out
    with pytest.raises(Exception):  # noqa: B017, PT011
        tables.show_runs([damaged], False)
    assert capsys.readouterr().out == ""


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), max_size=20))
def test_plain_text_survives_the_console(text: str) -> None:
    out = console()
    with out.capture() as captured:
        # In tags, as it is printed: a backslash at the end must not undo the second one.
        out.print(f"[bold]{tables.plain(text)}[/bold]", soft_wrap=True)
    assert captured.get() == text + "\n"


def forecast(seconds: float | None, *missing: str) -> Forecast:
    stages = (StageForecast("scores", 1200, 200, seconds),)
    lines = tuple(f"weights {name} are not in /w" for name in missing)
    return Forecast("mine", stages, 12000, 5_000_000_000, 2, 3_000_000, missing, lines, neurons=240,
                    files=13_000, seconds=seconds, rates="measured in this workspace",
                    shorter=(("--pictures-steps 20", 36.0),) if seconds else ())  # fmt: skip


def test_a_forecast_says_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    tables.show_forecast(forecast(None, "blip-base", "sd15"), False)
    out = capsys.readouterr().out
    assert "Pictures to paint: 12,000 at most, for 240 neurons." in out
    assert "Disk: about 5.0 GB in 13,000 files, 2 B free. Largest model: 3.0 MB of memory." in out
    assert "Missing: weights blip-base are not in /w" in out
    assert "Missing: weights sd15 are not in /w" in out
    assert "never measured" in out
    assert "Time on one device" not in out
    tables.show_forecast(forecast(90.0), False)
    out = capsys.readouterr().out
    assert "Time on one device: about 1.5 min (measured in this workspace)." in out
    assert "Shorter: --pictures-steps 20 (36 s); fewer --ids" in out
    assert "never measured" not in out
    assert "Missing" not in out
    tables.show_forecast(dataclasses.replace(forecast(90.0), neurons=None), False)
    out = capsys.readouterr().out
    assert "How many neurons a layer has is not known" in out
    assert "for one neuron." in out


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "?"), (90, "1.5 min")],
)
def test_times(seconds: float | None, text: str) -> None:
    assert tables.time_text(seconds) == text


def test_each_stage_has_words_of_its_own() -> None:
    titles = {stage.title for stage in PLAN}
    assert len(titles) == len(PLAN)
    assert all(stage.title.startswith(stage.name) for stage in PLAN)


def test_progress_is_counted_even_where_nobody_watches(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with ProgressLines() as lines:
        lines.start("captions", 10, 4)
        lines.advance("captions", 3)
        lines.start("something new", 1, 1)
        (task, other) = lines._bars.tasks
        assert (task.description, task.completed, task.total) == ("captions", 9, 10)
        assert other.description == "something new"
        lines.finish("captions", 1.0)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("speed", "text"), [(None, ""), (2.5, "2.5/s"), (0.25, "4.0 s each")])
def test_a_rate_is_told_the_way_that_reads_well(speed: float | None, text: str) -> None:
    from types import SimpleNamespace

    from dnd_local.cli.progress import _Rate

    task: Any = SimpleNamespace(speed=speed, finished_time=None)
    assert _Rate().render(task).plain == text


def test_the_rate_of_a_stage_that_is_done_is_that_of_all_of_it() -> None:
    from types import SimpleNamespace

    from dnd_local.cli.progress import _Rate

    task: Any = SimpleNamespace(speed=288.3, finished_time=30.0, fields={"missing": 15})
    assert _Rate().render(task).plain == "2.0 s each"
