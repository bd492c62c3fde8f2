"""Archives become probe sets: whole or not at all, and nothing outside the folder."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from dnd_local.core.errors import DamagedFile, DiskError, Refused, UnknownName, UserError
from dnd_local.store import archives, content_hashes
from dnd_local.store.archives import prepare
from dnd_local.store.probe_sets import Prepared, open_probe, read_record


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (3, 2), value).save(buffer, "PNG")
    return buffer.getvalue()


IMAGES = {"val/one.png": png(1), "val/two.JPEG": png(2), "val/deep/three.png": png(3)}
OTHERS = {"readme.txt": b"text", "val/.hidden.png": png(4), "__MACOSX/val/._one.png": b"x"}


def make_tar(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        folder = tarfile.TarInfo("val")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def make_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("val/", b"")
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def run(
    tmp_path: Path,
    archive: Path,
    name: str = "broden",
    progress: Callable[[int], None] = lambda done: None,
) -> Prepared:
    return prepare(name, archive, tmp_path / "data", tmp_path / "cache", progress)


def files_in(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


MAKERS = {
    "a.tar": lambda path: make_tar(path, {**IMAGES, **OTHERS}),
    "a.tar.gz": lambda path: make_tar(path, {**IMAGES, **OTHERS}, "w:gz"),
    "a.tar.xz": lambda path: make_tar(path, {**IMAGES, **OTHERS}, "w:xz"),
    "a.zip": lambda path: make_zip(path, {**IMAGES, **OTHERS}),
}


@pytest.mark.parametrize("archive", MAKERS)
def test_only_images_come_out(tmp_path: Path, archive: str) -> None:
    done: list[int] = []
    prepared = run(tmp_path, MAKERS[archive](tmp_path / archive), progress=done.append)
    root = tmp_path / "data" / "broden"
    assert files_in(root) == {*IMAGES, "probe.json"}
    assert all((root / name).read_bytes() == data for name, data in IMAGES.items())
    assert (prepared.name, prepared.images, prepared.archive) == ("broden", 3, archive)
    assert done == [1, 2, 3]
    assert read_record(root) == prepared
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["broden"]


def test_any_kind_of_archive_gives_the_same_set(tmp_path: Path) -> None:
    digests = set()
    for name, make in MAKERS.items():
        place = tmp_path / f"{name}-place"
        place.mkdir()
        digests.add(run(place, make(place / name)).digest)
    assert len(digests) == 1


def test_the_set_opens_by_name_without_hashing_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = run(tmp_path, MAKERS["a.tar"](tmp_path / "a.tar"), "imagenet-val")

    def fail(path: Path) -> str:
        raise AssertionError(path)

    monkeypatch.setattr(content_hashes, "file_sha256", fail)
    probe = open_probe(["imagenet-val"], tmp_path / "data", tmp_path / "cache", {})
    assert (len(probe), probe.digest) == (3, prepared.digest)
    assert probe.name(0) == "val/deep/three.png"
    assert np.unique(probe.pixels(0)).tolist() == [3]


def test_broden_gives_the_images_of_its_index_and_not_its_masks(tmp_path: Path) -> None:
    index = "image,split,color\ndtd/a.jpg,train,dtd/a_color.png\nade/b.jpg,val,\n,,\n"
    files = {
        "broden1_227/index.csv": index.encode(),
        "broden1_227/images/dtd/a.jpg": png(1),
        "broden1_227/images/dtd/a_color.png": png(2),
        "broden1_227/images/ade/b.jpg": png(3),
        "broden1_227/images/ade/b_object.png": png(4),
    }
    assert run(tmp_path, make_zip(tmp_path / "b.zip", files)).images == 2
    root = tmp_path / "data" / "broden" / "broden1_227" / "images"
    assert files_in(root) == {"dtd/a.jpg", "ade/b.jpg"}


def test_an_index_of_something_else_is_no_index(tmp_path: Path) -> None:
    files = {"index.csv": b"image\nnot/here.jpg\n", **IMAGES}
    assert run(tmp_path, make_zip(tmp_path / "b.zip", files)).images == 3


# ---- again, and on ------------------------------------------------------------------------------


def test_again_does_nothing(tmp_path: Path) -> None:
    archive = MAKERS["a.zip"](tmp_path / "a.zip")
    first = run(tmp_path, archive)
    archive.unlink()
    done: list[int] = []
    assert run(tmp_path, archive, progress=done.append) == first
    assert done == []


def test_a_folder_of_the_users_own_is_left_alone(tmp_path: Path) -> None:
    own = tmp_path / "data" / "broden"
    own.mkdir(parents=True)
    (own / "mine.png").write_bytes(png(1))
    with pytest.raises(UserError, match="already there but was not prepared here; move it away"):
        run(tmp_path, MAKERS["a.zip"](tmp_path / "a.zip"))
    assert files_in(own) == {"mine.png"}


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    real = archives._write

    def counting(member: archives._Member, path: Path) -> None:
        names.append(path.name)
        real(member, path)

    monkeypatch.setattr(archives, "_write", counting)
    return names


def interrupt_after(count: int) -> Callable[[int], None]:
    def progress(done: int) -> None:
        if done == count:
            raise KeyboardInterrupt

    return progress


def test_it_goes_on_where_it_stopped(tmp_path: Path, written: list[str]) -> None:
    archive = MAKERS["a.tar"](tmp_path / "a.tar")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, archive, progress=interrupt_after(2))
    assert not (tmp_path / "data" / "broden").exists()
    # Half a file, as a power cut leaves it, is neither kept nor counted.
    partial = tmp_path / "data" / ".broden.partial" / "val"
    (partial / "one.png").write_bytes(b"half")
    (partial / ".three.png.part").write_bytes(b"half")
    written.clear()
    assert run(tmp_path, archive).images == 3
    assert written == ["one.png", "three.png"]
    assert (tmp_path / "data" / "broden" / "val" / "one.png").read_bytes() == png(1)


def test_another_archive_starts_afresh(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, MAKERS["a.tar"](tmp_path / "a.tar"), progress=interrupt_after(2))
    other = make_zip(tmp_path / "b.zip", {"only.png": png(9)})
    assert run(tmp_path, other).images == 1
    assert files_in(tmp_path / "data" / "broden") == {"only.png", "probe.json"}


# ---- refused ------------------------------------------------------------------------------------

OUTSIDE = [
    "../out.png", "a/../../out.png", "/tmp/out.png", "C:/out.png", "c:out.png",
    "a\\..\\out.png", "a/\x01.png", "a/new\nline.png", "../notes.txt",
]  # fmt: skip


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("make", [make_tar, make_zip])
def test_a_name_that_leaves_the_folder_is_refused(
    tmp_path: Path, make: Callable[[Path, dict[str, bytes]], Path], name: str
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    archive = make(place / "a", {"first.png": png(1), name: png(2)})
    before = files_in(tmp_path)
    with pytest.raises(Refused, match="would not stay in its folder"):
        run(place, archive)
    assert files_in(tmp_path) == before
    assert not (place / "data" / ".broden.partial").exists()


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
)
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        info = tarfile.TarInfo("a.png")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(Refused, match=r"a\.png is a link or device"):
        run(tmp_path, tmp_path / "a.tar")


def test_links_in_a_zip_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        info = zipfile.ZipInfo("a.png")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(Refused, match=r"a\.png is a link or device"):
        run(tmp_path, tmp_path / "a.zip")


def test_a_giant_member_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBER_BYTES", 10)
    with pytest.raises(Refused, match=r"one\.png has \d+ bytes; no image is so large"):
        run(tmp_path, MAKERS["a.zip"](tmp_path / "a.zip"))


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"a.png": png(1)})
    data = bytearray(archive.read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.rindex(signature) + flags
        data[at] |= 1
    archive.write_bytes(data)
    with pytest.raises(UserError, match="is encrypted; decrypt it first"):
        run(tmp_path, archive)


def test_an_unknown_set_offers_near_ones(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"Did you mean broden.*There are imagenet-val, broden"):
        run(tmp_path, tmp_path / "a.zip", "brodn")


def test_no_archive_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no archive at .*none\.tar"):
        run(tmp_path, tmp_path / "none.tar")
    with pytest.raises(UserError, match="no archive at"):
        run(tmp_path, tmp_path)


def test_what_is_no_archive_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"not an archive" * 100)
    with pytest.raises(UserError, match="is neither a tar nor a zip"):
        run(tmp_path, tmp_path / "a.tar")


def test_an_archive_without_images_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no image; is it the right archive"):
        run(tmp_path, make_tar(tmp_path / "a.tar", {"n01440764.tar": b"x"}))
    assert not any((tmp_path / "data").iterdir())


def cut_tar(path: Path) -> Path:
    make_tar(path, {"a.png": png(1) * 2000})
    path.write_bytes(path.read_bytes()[:60_000])
    return path


def cut_gz(path: Path) -> Path:
    make_tar(path, {"a.png": os.urandom(100_000)}, "w:gz")
    path.write_bytes(path.read_bytes()[:60_000])
    return path


def wrong_gz(path: Path) -> Path:
    make_tar(path, {"a.png": os.urandom(100_000)}, "w:gz")
    data = bytearray(path.read_bytes())
    data[-8] ^= 1  # its checksum
    path.write_bytes(data)
    return path


def wrong_zip(path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a.png", b"A" * 5000)
    path.write_bytes(path.read_bytes().replace(b"AAAA", b"AAAB", 1))
    return path


def odd_zip(path: Path) -> Path:
    make_zip(path, {"a.png": png(1)})
    data = bytearray(path.read_bytes())
    for signature, method in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        data[data.rindex(signature) + method] = 97
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("make", [cut_tar, cut_gz, wrong_gz, wrong_zip, odd_zip])
def test_a_damaged_archive_is_named(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    with pytest.raises(DamagedFile, match=r"broken-archive is damaged \(.*\); get it again"):
        run(tmp_path, make(tmp_path / "broken-archive"))
    assert not (tmp_path / "data" / "broden").exists()


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(UserError, match=r"the disk of .* is full; make room and run"):
        run(tmp_path, MAKERS["a.zip"](tmp_path / "a.zip"))


def test_what_the_disk_refuses_is_named(tmp_path: Path) -> None:
    files = {"a.png": png(1), "a.png/b.png": png(2)}
    with pytest.raises(UserError, match=r"cannot take .*a\.zip apart: .*: (Not a dir|File exists)"):
        run(tmp_path, make_zip(tmp_path / "a.zip", files))


def test_a_prepare_that_fails_leaves_nothing_and_one_without_room_what_is_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, cache = tmp_path / "data", tmp_path / "cache"
    left = data / ".broden.partial"
    (tmp_path / "text").write_bytes(b"no archive")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
        archive.writestr("readme.txt", "no image")
    for name in ("text", "empty.zip"):
        with pytest.raises(UserError, match=r"neither a tar nor a zip|holds no image"):
            prepare("broden", tmp_path / name, data, cache, lambda done: None)
        assert not left.exists()
    with zipfile.ZipFile(tmp_path / "good.zip", "w") as archive:
        archive.writestr("a.png", b"x" * 100)
    monkeypatch.setattr(archives, "SPARE_BYTES", 1 << 60)
    with pytest.raises(DiskError, match="is full; make room"):
        prepare("broden", tmp_path / "good.zip", data, cache, lambda done: None)
    assert left.is_dir()
