"""Digests kept by the stamps of the files they were made from."""

from __future__ import annotations

import os
from pathlib import Path

from dnd_local.store.kept_digests import keep_digest, kept_digest, stamps_of


def test_a_digest_is_kept_until_one_of_its_files_is_written(tmp_path: Path) -> None:
    files = [tmp_path / "net.py", tmp_path / "parts.py"]
    for file in files:
        file.write_text("x = 1")
    place = tmp_path / "cache" / "one.json"
    assert kept_digest(place) == ""
    keep_digest(place, stamps_of(files), "abc")
    assert kept_digest(place) == "abc"
    before = files[1].stat()
    files[1].write_text("x = 2")
    os.utime(files[1], ns=(before.st_atime_ns, before.st_mtime_ns))
    assert kept_digest(place) == ""
    keep_digest(place, stamps_of(files), "new")
    assert kept_digest(place) == "new"
    files[0].unlink()
    assert kept_digest(place) == ""


def test_a_damaged_memory_is_none_and_one_that_cannot_be_written_is_no_matter(
    tmp_path: Path,
) -> None:
    place = tmp_path / "one.json"
    place.write_text("{")
    assert kept_digest(place) == ""
    keep_digest(place / "below", {}, "abc")
    assert not (place / "below").exists()
