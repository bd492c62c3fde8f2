"""Libraries by name, and what is said where one is not there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dnd_local.core.errors import UserError
from dnd_local.core.libraries import check_libraries, library, not_installed


def test_a_library_that_is_here_is_returned() -> None:
    assert library("json.decoder") is sys.modules["json.decoder"]
    check_libraries(["json", "xml"])


def test_what_is_named_is_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "leaning.py").write_text("import no_such_prop.part\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UserError, match="library 'no_such_prop' is not installed; run: pip inst"):
        library("leaning")


def test_an_extra_is_named_and_several_are_said_together() -> None:
    with pytest.raises(UserError, match=r"'vllm' is not installed; run: pip install 'dnd-local\["):
        raise not_installed(ModuleNotFoundError(name="vllm.entrypoints"))
    with pytest.raises(UserError, match="libraries 'no_one', 'no_two' are not installed; run: pip"):
        check_libraries(["no_one", "json", "no_two"])


@pytest.mark.parametrize("name", ["dnd_local.no_such_part", None])
def test_a_part_of_ours_that_is_missing_is_our_fault(name: str | None) -> None:
    with pytest.raises(ModuleNotFoundError):
        not_installed(ModuleNotFoundError(name=name))
