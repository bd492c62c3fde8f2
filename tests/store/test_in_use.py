"""Writers share a workspace; cleaning up has it alone."""

from __future__ import annotations

import errno
import fcntl
from pathlib import Path

import pytest

from dnd_local.core.errors import Refused, UserError
from dnd_local.store.in_use import alone, at_work


def test_writers_share_and_cleaning_up_is_refused_beside_them(tmp_path: Path) -> None:
    writers = (at_work(tmp_path), at_work(tmp_path))
    with writers[0], writers[1], pytest.raises(Refused, match="at work"), alone(tmp_path):
        pass
    with alone(tmp_path):
        pass


def test_without_locks_writers_go_on_and_cleaning_up_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lockless(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", lockless)
    with at_work(tmp_path):
        pass
    with pytest.raises(Refused, match="without locks"), alone(tmp_path):
        pass


def test_a_workspace_that_cannot_be_made_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(refusal, "No")

    monkeypatch.setattr(Path, "mkdir", refuse)
    refusal = errno.ENOENT  # what /proc says to root, who has every right
    with pytest.raises(UserError, match="cannot be written: No; name another"):
        at_work(tmp_path / "w").__enter__()
    refusal = errno.ENOSPC
    with pytest.raises(OSError, match="No"):
        at_work(tmp_path / "w").__enter__()
