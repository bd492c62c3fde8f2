"""A reader sees the old file or the new one, whatever happens to the writer."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dnd_local.store.files import LEFT_AFTER_SECONDS, naming, read_whole, sweep, write_atomic


def test_a_file_is_written_whole_into_a_folder_that_is_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file.json"
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert os.listdir(path.parent) == ["file.json"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.json"
    write_atomic(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file.json"]


def test_an_error_names_its_file_whichever_call_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.json"

    def broken(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", broken)
        with pytest.raises(OSError, match="Input/output") as caught:
            write_atomic(path, b"new")
        assert caught.value.filename == str(path)
        patch.setattr(Path, "unlink", broken)
        with pytest.raises(OSError, match="Input/output") as caught:
            write_atomic(path, b"new")
        assert caught.value.filename == str(path)
    with pytest.raises(FileNotFoundError) as caught, naming(tmp_path / "other"):
        read_whole(path)
    assert caught.value.filename == str(path)


HELD = """
import os, sys, tempfile, time
from dnd_local.store import files
def stop(_):
    print("ready", flush=True)
    time.sleep(60)
os.fsync = stop
files.write_atomic(files.Path(sys.argv[1]), b"half")
"""


def test_what_a_killed_writer_left_is_swept_after_an_hour(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HELD, str(tmp_path / "a" / "part.json")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        writer.kill()
    (left,) = (tmp_path / "a").iterdir()
    assert sweep(tmp_path) == 0  # its writer may still be at it
    age(left)
    (tmp_path / "a" / "part.tmp").touch()
    age(tmp_path / "a" / "part.tmp")
    assert sweep(tmp_path) == 1
    assert os.listdir(tmp_path / "a") == ["part.tmp"]
    assert sweep(tmp_path / "nothing") == 0


def age(path: Path) -> None:
    before = time.time() - LEFT_AFTER_SECONDS - 1
    os.utime(path, (before, before))
