"""Hashes of many files: right, remembered, and never older than the files."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from dnd_local.store import content_hashes as module
from dnd_local.store.content_hashes import UNREADABLE, content_hashes


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are read, as they are."""
    names: list[str] = []
    real = module.file_sha256

    def counting(path: Path) -> str:
        names.append(path.name)
        return real(path)

    monkeypatch.setattr(module, "file_sha256", counting)
    return names


def make(root: Path, **files: str) -> list[str]:
    root.mkdir(exist_ok=True)
    for name, text in files.items():
        (root / name).write_text(text)
    return list(files)


def expected(*texts: str) -> list[str]:
    return [hashlib.sha256(text.encode()).hexdigest() for text in texts]


def test_hashes_come_in_the_order_asked_for(tmp_path: Path) -> None:
    make(tmp_path / "set", a="1", b="2")
    assert content_hashes(tmp_path / "set", ["b", "a"], tmp_path / "m.json") == expected("2", "1")


def test_a_second_time_reads_no_file(tmp_path: Path, hashed: list[str]) -> None:
    names = make(tmp_path / "set", a="1", b="2")
    first = content_hashes(tmp_path / "set", names, tmp_path / "deep" / "m.json")
    assert sorted(hashed) == ["a", "b"]
    before = (tmp_path / "deep" / "m.json").stat().st_mtime_ns
    assert content_hashes(tmp_path / "set", names, tmp_path / "deep" / "m.json") == first
    assert sorted(hashed) == ["a", "b"]
    assert (tmp_path / "deep" / "m.json").stat().st_mtime_ns == before


def test_only_what_changed_is_read_again(tmp_path: Path, hashed: list[str]) -> None:
    names = make(tmp_path / "set", a="1", b="2")
    content_hashes(tmp_path / "set", names, tmp_path / "m.json")
    hashed.clear()
    # The same size, and a modification time that a careful program sets back.
    times = (tmp_path / "set" / "b").stat()
    (tmp_path / "set" / "b").write_text("3")
    os.utime(tmp_path / "set" / "b", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert content_hashes(tmp_path / "set", names, tmp_path / "m.json") == expected("1", "3")
    assert hashed == ["b"]


def test_added_and_removed_files(tmp_path: Path, hashed: list[str]) -> None:
    make(tmp_path / "set", a="1", b="2", c="3")
    content_hashes(tmp_path / "set", ["a", "b"], tmp_path / "m.json")
    hashed.clear()
    assert content_hashes(tmp_path / "set", ["b", "c"], tmp_path / "m.json") == expected("2", "3")
    assert hashed == ["c"]
    # What is no longer asked for is forgotten.
    assert b'"a"' not in (tmp_path / "m.json").read_bytes()


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"a":[[1,2],"x"]}', b'{"a":7}', b"\xff"])
def test_a_damaged_memory_is_as_good_as_none(tmp_path: Path, damage: bytes) -> None:
    make(tmp_path / "set", a="1")
    (tmp_path / "m.json").write_bytes(damage)
    assert content_hashes(tmp_path / "set", ["a"], tmp_path / "m.json") == expected("1")


def test_a_file_that_cannot_be_read_stands_as_such_and_is_tried_again(tmp_path: Path) -> None:
    make(tmp_path / "set", a="1")
    (tmp_path / "set" / "b").mkdir()
    names = ["a", "b", "gone"]
    found = content_hashes(tmp_path / "set", names, tmp_path / "m.json")
    assert found == [*expected("1"), UNREADABLE, UNREADABLE]
    make(tmp_path / "set", gone="4")
    assert content_hashes(tmp_path / "set", names, tmp_path / "m.json")[2:] == expected("4")


def test_where_nothing_can_be_kept_all_are_hashed_each_time(
    tmp_path: Path, hashed: list[str]
) -> None:
    make(tmp_path / "set", a="1")
    (tmp_path / "file").write_text("in the way of a folder")
    for _ in range(2):
        memory = tmp_path / "file" / "m.json"
        assert content_hashes(tmp_path / "set", ["a"], memory) == expected("1")
    assert hashed == ["a", "a"]


def test_a_name_that_is_no_text_is_hashed_each_time(tmp_path: Path, hashed: list[str]) -> None:
    make(tmp_path / "set", a="1")
    odd = "\udcff.png"  # as Python reads the byte 0xff where names are UTF-8
    (tmp_path / "set" / odd).write_text("2")
    for _ in range(2):
        found = content_hashes(tmp_path / "set", ["a", odd], tmp_path / "m.json")
        assert found == expected("1", "2")
    assert hashed.count("a") == 1
    assert hashed.count(odd) == 2


def test_an_interrupted_pass_is_not_lost(
    tmp_path: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{i:02d}" for i in range(10)]
    make(tmp_path / "set", **{name: name for name in names})
    monkeypatch.setattr(module, "BATCH", 4)
    real = module._hash

    def interrupted(path: Path, old: module.Known | None) -> module.Known:
        if path.name == "09":
            raise KeyboardInterrupt
        return real(path, old)

    monkeypatch.setattr(module, "_hash", interrupted)
    with pytest.raises(KeyboardInterrupt):
        content_hashes(tmp_path / "set", names, tmp_path / "m.json")
    monkeypatch.setattr(module, "_hash", real)
    hashed.clear()
    assert content_hashes(tmp_path / "set", names, tmp_path / "m.json") == expected(*names)
    assert sorted(hashed) == ["08", "09"]
