"""A folder as a probe set: which files, in which order, under which digest."""

from __future__ import annotations

import codecs
import os
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dnd_local.core.errors import UserError
from dnd_local.core.protocols import UnreadableImage
from dnd_local.store import content_hashes
from dnd_local.store.probe_folder import FolderProbe, shown


def picture(path: Path, value: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 3), value).save(path)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A nested folder with images, other files and a broken image."""
    root = tmp_path / "set"
    for i, name in enumerate(("b.png", "a/c.jpg", "a.png", "a/B.PNG", "z/deep/er/x.webp")):
        picture(root / name, 10 * i)
    (root / "a" / "readme.txt").write_text("no image")
    (root / "no_ending").write_bytes(b"")
    (root / "broken.jpg").write_bytes(b"\xff\xd8 not much of an image")
    return root


def names(probe: FolderProbe) -> list[str]:
    return [probe.name(i) for i in range(len(probe))]


def open_folder(root: Path) -> FolderProbe:
    return FolderProbe(root, root.parent / "cache")


def test_images_are_found_by_ending_and_sorted_by_path(root: Path) -> None:
    probe = open_folder(root)
    assert names(probe) == [
        "a.png",
        "a/B.PNG",
        "a/c.jpg",
        "b.png",
        "broken.jpg",
        "z/deep/er/x.webp",
    ]
    assert probe.ignored == 2


def test_pixels_are_those_of_the_name(root: Path) -> None:
    probe = open_folder(root)
    assert probe.pixels(1).tolist() == np.full((3, 4, 3), 30).tolist()
    with pytest.raises(UnreadableImage):
        probe.pixels(4)


def test_the_order_does_not_hang_on_the_file_system(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = open_folder(root)
    real = os.scandir

    class Backwards:
        def __init__(self, path: Path) -> None:
            with real(path) as entries:
                self.entries = sorted(entries, key=lambda entry: entry.name, reverse=True)

        def __enter__(self) -> list[os.DirEntry[str]]:
            return self.entries

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(os, "scandir", Backwards)
    backwards = open_folder(root)
    assert names(backwards) == names(straight)
    assert backwards.digest == straight.digest


@pytest.mark.skipif(
    codecs.lookup(sys.getfilesystemencoding()).name != "utf-8",
    reason="in this locale names of files are not UTF-8",
)
def test_composed_and_decomposed_names_are_one(tmp_path: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "é.png") for form in ("NFC", "NFD"))
    picture(tmp_path / "one" / composed)
    picture(tmp_path / "two" / decomposed)
    one, two = open_folder(tmp_path / "one"), open_folder(tmp_path / "two")
    assert one.name(0) == two.name(0) == composed
    assert one.digest == two.digest
    assert two.pixels(0).shape == (3, 4, 3)


def test_a_name_that_is_no_utf8_is_shown_with_escapes(tmp_path: Path) -> None:
    picture(tmp_path / "set" / "a.png").rename(tmp_path / "set" / os.fsdecode(b"\xff\xe9.png"))
    probe = open_folder(tmp_path / "set")
    assert probe.name(0) == "\\xff\\xe9.png"
    assert probe.pixels(0).shape == (3, 4, 3)
    assert len(probe.digest) == 64
    assert shown("a/b.png") == "a/b.png"


def test_dotted_names_are_passed_over(root: Path) -> None:
    before = open_folder(root)
    picture(root / ".thumbnails" / "t.png")
    picture(root / "._a.png")
    (root / ".DS_Store").write_bytes(b"x")
    after = open_folder(root)
    assert names(after) == names(before)
    assert after.ignored == before.ignored


def test_links_are_followed(root: Path, tmp_path: Path) -> None:
    picture(tmp_path / "elsewhere" / "far.png")
    (root / "link").symlink_to(tmp_path / "elsewhere")
    (root / "one.png").symlink_to(tmp_path / "elsewhere" / "far.png")
    assert {"link/far.png", "one.png"} <= set(names(open_folder(root)))


def test_a_loop_of_links_ends(root: Path) -> None:
    before = names(open_folder(root))
    (root / "a" / "loop").symlink_to(root)
    (root / "self").symlink_to(root / "self")
    (root / "z" / "deep" / "up").symlink_to(root / "z")
    (root / "dangling.png").symlink_to(root / "nothing.png")
    # Only what a link leads back up to is not entered a second time below itself.
    assert names(open_folder(root)) == before


def test_two_ways_into_one_folder_are_two(root: Path) -> None:
    (root / "again").symlink_to(root / "a")
    assert {"a/c.jpg", "again/c.jpg"} <= set(names(open_folder(root)))


def test_a_pipe_is_not_opened(root: Path) -> None:
    os.mkfifo(root / "pipe.png")
    assert "pipe.png" not in names(open_folder(root))


def test_the_record_of_a_prepared_set_is_not_counted(root: Path) -> None:
    before = open_folder(root).ignored
    (root / "probe.json").write_text("{}")
    assert open_folder(root).ignored == before
    (root / "a" / "probe.json").write_text("{}")
    assert open_folder(root).ignored == before + 1


# ---- digest -------------------------------------------------------------------------------------


def test_the_digest_is_the_same_wherever_the_folder_lies(root: Path) -> None:
    before = open_folder(root).digest
    moved = root.rename(root.parent / "moved")
    assert open_folder(moved).digest == before
    assert len(before) == 64


@pytest.mark.parametrize("change", ["content", "name", "added", "removed"])
def test_the_digest_tells_of_every_change(root: Path, change: str) -> None:
    before = open_folder(root).digest
    if change == "content":
        picture(root / "a.png", 99)
    elif change == "name":
        (root / "a.png").rename(root / "aa.png")
    elif change == "added":
        picture(root / "new.png")
    else:
        (root / "a.png").unlink()
    assert open_folder(root).digest != before


def test_the_digest_tells_swapped_contents_apart(root: Path) -> None:
    before = open_folder(root).digest
    (root / "a.png").rename(root / "t.png")
    (root / "b.png").rename(root / "a.png")
    (root / "t.png").rename(root / "b.png")
    assert open_folder(root).digest != before


def test_other_files_are_not_in_the_digest(root: Path) -> None:
    before = open_folder(root).digest
    (root / "more.txt").write_text("x")
    assert open_folder(root).digest == before


def test_the_decoding_rules_are_in_the_digest(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_folder(root).digest
    monkeypatch.setattr("dnd_local.store.probe_folder.DECODING", 99)
    assert open_folder(root).digest != before


def test_a_second_start_reads_no_image(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_folder(root).digest

    def fail(path: Path) -> str:
        raise AssertionError(path)

    monkeypatch.setattr(content_hashes, "file_sha256", fail)
    assert open_folder(root).digest == before
    # The same folder by another spelling, and one that will be renamed to it.
    again = root.parent / "set" / ".." / "set"
    assert FolderProbe(again, root.parent / "cache").digest == before
    moved = root.rename(root.parent / "moved")
    assert FolderProbe(moved, root.parent / "cache", cached_as=root).digest == before


def test_two_folders_do_not_share_a_memory(tmp_path: Path) -> None:
    picture(tmp_path / "one" / "a.png", 1)
    picture(tmp_path / "two" / "a.png", 2)
    assert open_folder(tmp_path / "one").digest != open_folder(tmp_path / "two").digest
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_size_on_disk_counts_images_that_are_there(root: Path) -> None:
    probe = open_folder(root)
    total = sum((root / name).stat().st_size for name in names(probe))
    assert probe.size_on_disk() == total
    gone = (root / "a.png").stat().st_size
    (root / "a.png").unlink()
    assert probe.size_on_disk() == total - gone


# ---- what is wrong ------------------------------------------------------------------------------


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.txt").write_text("x")
    with pytest.raises(UserError, match=r"set holds no image \(1 other files\)"):
        open_folder(tmp_path / "set")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read probe folder .*none: No such file"):
        open_folder(tmp_path / "none")
    (tmp_path / "file.png").write_bytes(b"x")
    with pytest.raises(UserError, match=r"file.png: Not a directory"):
        open_folder(tmp_path / "file.png")


def test_the_whole_file_system_is_no_probe_set(tmp_path: Path) -> None:
    for root in (Path("/"), Path("/tmp/..")):
        with pytest.raises(UserError, match="/ is the whole file system; name a folder of images"):
            FolderProbe(root, tmp_path)
