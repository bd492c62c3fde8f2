"""Running another program."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from dnd_local.core.errors import UserError
from dnd_local.store.commands import output_of


def test_what_a_command_prints_comes_back():
    assert output_of(("sh", "-c", "echo $X"), {"X": "y"}) == "y\n"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("sh", "-c", "echo a; echo why >&2; exit 3"), "`sh -c .*` failed: why"),
        (("sh", "-c", "echo only this; exit 3"), "failed: only this"),
        (("false",), "failed: no output"),
        (("/no/such/program",), "cannot run /no/such/program: No such file"),
    ],
)
def test_what_fails_is_one_line(command: tuple[str, ...], message: str):
    with pytest.raises(UserError, match=message):
        output_of(command)


def test_what_takes_too_long_is_ended():
    with pytest.raises(UserError, match=r"gave no answer in 0\.05 s"):
        output_of(("sleep", "5"), limit_s=0.05)


def test_a_python_imports_nothing_from_the_folder_it_is_started_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "planted.py").write_text("print('ran')")
    monkeypatch.chdir(tmp_path)
    for environment in (None, dict(os.environ)):
        with pytest.raises(UserError, match="No module named 'planted'"):
            output_of((sys.executable, "-c", "import planted"), environment)
