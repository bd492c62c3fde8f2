"""Sixty mistakes that a new user makes, each with the exact answer: mistakes.txt says both."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench import Bench
from tests.cli.conftest import Command
from tests.fakes import LAYER

TABLE = Path(__file__).with_name("mistakes.txt")


def mistakes(heading: str) -> Iterator[tuple[str, str]]:
    """Yield the words and the answer of every mistake below a heading of the table."""
    text = TABLE.read_text(encoding="utf-8")
    section = text.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    for entry in section.split("$ dnd-local ")[1:]:
        words, _, answer = entry.partition("\n")
        yield words, answer.strip()


BEFORE, AFTER = tuple(mistakes("Before there is a run")), tuple(mistakes("With a run"))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a few files in it, where the user stands."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.txt").write_text("dog\ncat\n")
    (tmp_path / "broken.toml").write_text("[pictures\n")
    (tmp_path / "step.toml").write_text("[pictures]\nstep = 7\n")
    (tmp_path / "steps.toml").write_text("[pictures]\nsteps = 0\n")
    (tmp_path / "empty").mkdir()
    return tmp_path


def check(command: Command, home: Path, words: str, answer: str) -> None:
    said = command(*shlex.split(words))
    assert said.err.strip().replace(str(home), "HOME") == f"dnd-local: {answer}"
    assert (said.code, said.out) == (2, "")


@pytest.mark.parametrize(("words", "answer"), BEFORE, ids=[words for words, _ in BEFORE])
def test_a_mistake_before_there_is_a_run(
    command: Command, home: Path, words: str, answer: str
) -> None:
    check(command, home, words, answer)
    assert not (home / "workspace").exists()


def test_mistakes_with_a_run(command: Command, home: Path, bench: Bench) -> None:
    bench.run("0-2", name="mine")
    for words, answer in AFTER:
        check(command, home, words, answer)


def test_there_are_sixty_of_them() -> None:
    every = [words for words, _ in (*BEFORE, *AFTER)]
    assert len(set(every)) >= 60
    assert LAYER in TABLE.read_text(encoding="utf-8")
