"""What is seen while a model loads, and what is printed whoever watches."""

from __future__ import annotations

import logging

import pytest

from dnd_local.cli.progress import LONGEST_NOTE, ProgressLines

ENGINE = logging.getLogger("dnd_local.engines.language_model_vllm")


def described(lines: ProgressLines) -> list[str]:
    return [task.description for task in lines._bars.tasks]


def test_what_an_engine_says_stands_below_the_stage_until_it_moves_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    with ProgressLines() as lines:
        lines.start("phrases", 10, 10)
        stage = described(lines)
        ENGINE.info("vLLM server: starting")
        ENGINE.info("vLLM server, 3 s: Loading [/weights] at 50%")
        assert described(lines) == [*stage, r"vLLM server, 3 s: Loading \[/weights] at 50%"]
        ENGINE.info("x" * 500)
        assert len(described(lines)[-1]) == LONGEST_NOTE
        lines.advance("phrases", 1)
        assert described(lines) == stage
        ENGINE.info("once more")
    assert described(lines) == stage


def test_only_while_somebody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    level = ENGINE.getEffectiveLevel()
    with ProgressLines():
        assert ENGINE.isEnabledFor(logging.INFO)
        ENGINE.info("loading")
    assert ENGINE.getEffectiveLevel() == level
    assert not logging.getLogger("dnd_local").handlers
    assert capsys.readouterr() == ("", "")


def test_a_warning_is_printed_even_where_nobody_watches(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with ProgressLines():
        ENGINE.warning("out of memory: going on with groups of %d [/x]", 4)
    assert capsys.readouterr() == ("", "out of memory: going on with groups of 4 [/x]\n")


def test_what_cannot_be_counted_has_no_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    with ProgressLines() as lines:
        lines.note("loading")
        count = lines._bars.columns[3]
        assert str(count(lines._bars.tasks[0])) == ""
        lines.start("phrases", 10, 4)
        assert str(count(lines._bars.tasks[0])).strip() == "6/10"
