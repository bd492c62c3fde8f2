"""Files that a user names: regular ones, of a sane size; nothing waits for ever."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dnd_local.core.regular import read_regular


def test_a_regular_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"text")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert read_regular(tmp_path / "a") == read_regular(tmp_path / "b", most=4) == b"text"
    with pytest.raises(OSError, match="larger than 3 bytes"):
        read_regular(tmp_path / "a", most=3)
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "c")


def test_a_pipe_that_nobody_writes_to_and_a_device_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(OSError, match="not a regular file"):
            read_regular(path)
    with pytest.raises(IsADirectoryError):
        read_regular(tmp_path)
