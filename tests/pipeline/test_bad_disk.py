"""A disk that fails at any call: one error that names its file, a rerun gives the same bytes."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dnd_local.core.errors import UserError, disk_error
from tests.bench import Bench

CALLS: dict[str, tuple[Any, str]] = {
    "flush": (os, "fsync"),
    "rename": (Path, "replace"),
    "temporary": (tempfile, "mkstemp"),
    "folder": (Path, "mkdir"),
    "read": (Path, "read_bytes"),
    "listing": (os, "scandir"),
    "write": (os, "fdopen"),
}
"""Everything that the workspace is written and read through."""

CODES = (
    errno.ENOSPC, errno.EIO, errno.EROFS, errno.EMFILE, errno.EDQUOT, errno.EACCES,
)  # fmt: skip


@contextmanager
def failing(call: str, at: int, code: int) -> Iterator[list[int]]:
    """Let the n-th call fail (`at` counts from 0; -1: none); hand over a list as long as calls."""
    place, name = CALLS[call]
    real: Callable[..., Any] = getattr(place, name)
    made: list[int] = []

    def counted(*words: Any, **options: Any) -> Any:
        made.append(1)
        if len(made) == at + 1:
            if call == "write":
                os.close(words[0])
            # The system's own mkdir and scandir name the folder; the others have an open file.
            named = (str(words[0]),) if call in ("folder", "listing") else ()
            raise OSError(code, os.strerror(code), *named)
        return real(*words, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place, name, counted)
        yield made


@pytest.fixture
def bench(tmp_path, monkeypatch) -> Bench:
    return Bench(tmp_path / "work", monkeypatch)


def files(folder: Path) -> dict[str, bytes]:
    """Return what a workspace holds, but for what says when."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("events.jsonl", "run.json", ".lock")
    }


@pytest.mark.parametrize("call", CALLS)
def test_an_error_at_any_call_loses_nothing(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    with failing(call, -1, 0) as made:
        bench.run("0,1", name="mine")
    whole, calls = files(bench.workspace), len(made)
    assert calls
    for number in sorted({*range(0, calls, -(-calls // 9)), calls - 1}):
        code = CODES[number % len(CODES)]
        broken = Bench(tmp_path / f"{call}-{number}", monkeypatch)
        told = told_by(broken, call, number, code)
        # The sweep of leftovers passes over a folder that it cannot list.
        assert told or call == "listing"
        if told:
            assert os.strerror(code) in told
            places = (str(tmp_path), "dnd_local/presets", "dnd_local/pocket/models")
            assert any(place in told for place in places)
        broken.run("0,1", name="mine")
        assert files(broken.workspace) == whole


def told_by(bench: Bench, call: str, at: int, code: int) -> str:
    """Return what a run says whose disk fails once, empty where the run did not need it."""
    try:
        with failing(call, at, code):
            bench.run("0,1", name="mine")
    except UserError as error:
        return str(error)
    except OSError as error:
        return str(disk_error(error))
    return ""
