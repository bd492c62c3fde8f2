"""Probe sets of every kind give the same images; a file of another kind is told its form."""

from __future__ import annotations

import errno
import gzip
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dnd_local.core.errors import DiskError, UnknownName, UserError
from dnd_local.core.protocols import ProbeSet, UnreadableImage
from dnd_local.store.probe_sets import JoinedProbe, open_probe, read_ahead
from dnd_local.store.probe_subset import parts_of
from tests.store.packed import COUNT, IMAGES, SAVED, add, image_table, png, save_shards


def opened(path: Path | str, home: Path) -> ProbeSet:
    return open_probe([str(path)], home / "data", home / "cache", {})


def in_order(kind: str) -> list[int]:
    """The folder's classes come one after the other."""
    return [0, 2, 4, 1, 3] if kind == "folder" else list(range(COUNT))


@pytest.mark.parametrize("kind", SAVED)
def test_every_kind_gives_the_same_pixels(kind, tmp_path):
    probe = opened(SAVED[kind](tmp_path), tmp_path)
    (part,) = parts_of(probe)
    assert (len(probe), part.kind) == (COUNT, kind)
    assert part.size_on_disk() > 0
    for (index, image), expected in zip(
        read_ahead(probe, range(COUNT), 2), in_order(kind), strict=True
    ):
        np.testing.assert_array_equal(image, IMAGES[expected], err_msg=probe.name(index))
    assert len({probe.name(index) for index in range(COUNT)}) == COUNT
    with pytest.raises(IndexError):
        probe.pixels(COUNT)


@pytest.mark.parametrize("kind", SAVED)
def test_a_digest_follows_the_bytes_and_nothing_else(kind, tmp_path):
    path = SAVED[kind](tmp_path / "one")
    first = opened(path, tmp_path / "here").digest
    assert opened(path, tmp_path / "here").digest == first  # remembered
    assert opened(SAVED[kind](tmp_path / "two"), tmp_path / "there").digest == first
    file = path if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())[0]
    if file.suffix == ".arrow" and file.name.startswith("cache"):
        file = sorted(path.glob("data-*"))[0]
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))
    assert opened(path, tmp_path / "here").digest != first


def test_names_say_where_an_image_lies(tmp_path):
    names = {kind: opened(save(tmp_path / kind), tmp_path).name(3) for kind, save in SAVED.items()}
    assert names == {
        "folder": "class1/1.png", "tar": "001.tar/sample3.png", "parquet": "train.parquet/3/3.png",
        "arrow": "data-00001-of-00002.arrow/0/3.png", "numpy": "images.npy/3",
        "CIFAR-10": "test_batch.bin/0",
    }  # fmt: skip


def test_sets_of_several_kinds_are_joined(tmp_path):
    kinds = [str(save(tmp_path / "sets")) for save in SAVED.values()]
    probe = open_probe(kinds, tmp_path / "data", tmp_path / "cache", {})
    assert isinstance(probe, JoinedProbe)
    assert (len(probe), [part.kind for part in parts_of(probe)]) == (COUNT * 6, list(SAVED))
    assert probe.name(COUNT) == "shards/000.tar/sample0.png"
    assert probe.bands == 0


# ---- tar ----------------------------------------------------------------------------------------


def test_shards_by_a_pattern_and_by_counting(tmp_path):
    shards = save_shards(tmp_path)
    whole = opened(shards, tmp_path).digest
    for pattern in ("*.tar", "{000..001}.tar", "{000,001}.tar", "00?.tar"):
        assert opened(shards / pattern, tmp_path).digest == whole
    assert len(opened(shards / "{001..001}.tar", tmp_path)) == 2
    assert parts_of(opened(shards, tmp_path))[0].ignored == 10
    with pytest.raises(UserError, match="no file is like"):
        opened(shards / "9*.tar", tmp_path)


def test_where_images_lie_is_remembered_until_a_shard_changes(tmp_path, monkeypatch):
    shards = save_shards(tmp_path)
    opened(shards, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(tarfile, "open", lambda *_, **__: pytest.fail("read again"))
        assert len(opened(shards, tmp_path)) == COUNT
    with tarfile.open(shards / "001.tar", "a") as tar:
        add(tar, "late.png", png(IMAGES[0]))
    probe = opened(shards, tmp_path)
    np.testing.assert_array_equal(probe.pixels(COUNT), IMAGES[0])


def test_tars_that_will_not_do(tmp_path):
    shards = save_shards(tmp_path)
    packed = tmp_path / "packed.tar"
    packed.write_bytes(gzip.compress((shards / "000.tar").read_bytes()))
    with pytest.raises(UserError, match="is compressed, so its images cannot be read in place"):
        opened(packed, tmp_path)
    (tmp_path / "text.tar").write_text("no tar at all" * 100)
    with pytest.raises(UserError, match=r"cannot read .*text\.tar"):
        opened(tmp_path / "text.tar", tmp_path)
    with tarfile.open(tmp_path / "empty.tar", "w") as tar:
        add(tar, "a.cls", b"1")
    with pytest.raises(UserError, match="no image in it"):
        opened(tmp_path / "empty.tar", tmp_path)


def test_an_error_that_is_not_the_disks_is_the_images(tmp_path, monkeypatch):
    probe = opened(save_shards(tmp_path), tmp_path)

    def refused(*_, **__):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(UnreadableImage, match="broken image: Invalid argument"):
        probe.pixels(0)


def test_folders_in_a_tar_are_passed_over(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        folder = tarfile.TarInfo("photos")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        add(tar, "photos/0.png", png(IMAGES[0]))
    assert len(opened(tmp_path / "a.tar", tmp_path)) == 1


def test_an_image_that_a_shard_has_lost(tmp_path):
    shards = save_shards(tmp_path)
    with tarfile.open(shards / "000.tar", "w") as tar:
        add(tar, "broken.png", b"no image")
    probe = opened(shards, tmp_path)
    with pytest.raises(UnreadableImage, match="not an image"):
        probe.pixels(0)
    whole = (shards / "001.tar").read_bytes()
    (shards / "001.tar").write_bytes(whole[:600])
    with pytest.raises(UnreadableImage, match="its file ends within it"):
        probe.pixels(1)
    (shards / "001.tar").unlink()
    with pytest.raises(DiskError, match=r"001\.tar"):
        probe.pixels(1)


# ---- columns ------------------------------------------------------------------------------------


def test_the_column_is_named_where_it_is_not_plain(tmp_path):
    data = [png(image) for image in IMAGES]
    table = image_table().append_column("thumb", pa.array(data))
    pq.write_table(table, tmp_path / "a.parquet")
    assert parts_of(opened(tmp_path / "a.parquet", tmp_path))[0].column == "image"
    probe = opened(f"{tmp_path / 'a.parquet'}::thumb", tmp_path)
    np.testing.assert_array_equal(probe.pixels(4), IMAGES[4])
    assert probe.name(4) == "a.parquet/4"
    with pytest.raises(UnknownName, match="unknown column 'thumbs'"):
        opened(f"{tmp_path / 'a.parquet'}::thumbs", tmp_path)
    pq.write_table(pa.table({"left": data, "right": data}), tmp_path / "b.parquet")
    with pytest.raises(UserError, match=r"several columns of bytes .*say which: .*::left"):
        opened(tmp_path / "b.parquet", tmp_path)
    pq.write_table(pa.table({"label": [1]}), tmp_path / "c.parquet")
    with pytest.raises(UserError, match=r"no column of image bytes \(its columns: label\)"):
        opened(tmp_path / "c.parquet", tmp_path)
    pq.write_table(image_table().slice(0, 0), tmp_path / "d.parquet")
    with pytest.raises(UserError, match="no row in it"):
        opened(tmp_path / "d.parquet", tmp_path)
    (tmp_path / "e.parquet").write_text("x")
    with pytest.raises(UserError, match=r"cannot read .*e\.parquet"):
        opened(tmp_path / "e.parquet", tmp_path)


def test_files_of_a_set_have_the_column_all(tmp_path):
    folder = tmp_path / "parts"
    folder.mkdir()
    pq.write_table(image_table(), folder / "0.parquet")
    pq.write_table(pa.table({"label": [1]}), folder / "1.parquet")
    with pytest.raises(UserError, match="has no column 'image', as the first has"):
        opened(folder, tmp_path)


def test_an_image_of_which_the_column_has_the_path_alone(tmp_path):
    rows = [{"bytes": None, "path": "far/away.png"}, {"bytes": png(IMAGES[0]), "path": None}]
    pq.write_table(pa.table({"image": rows}), tmp_path / "a.parquet")
    probe = opened(tmp_path / "a.parquet", tmp_path)
    with pytest.raises(UnreadableImage, match="holds no bytes"):
        probe.pixels(0)
    assert (probe.name(0), probe.name(1)) == ("a.parquet/0/far/away.png", "a.parquet/1")


def test_an_arrow_file_that_is_no_stream(tmp_path):
    with (
        pa.OSFile(str(tmp_path / "a.arrow"), "wb") as file,
        pa.ipc.new_file(file, image_table().schema) as writer,
    ):
        writer.write_table(image_table())
    np.testing.assert_array_equal(opened(tmp_path / "a.arrow", tmp_path).pixels(2), IMAGES[2])


def test_an_arrow_column_of_bytes_alone(tmp_path):
    table = pa.table({"image": [png(image) for image in IMAGES]})
    with (
        pa.OSFile(str(tmp_path / "a.arrow"), "wb") as file,
        pa.ipc.new_stream(file, table.schema) as writer,
    ):
        writer.write_table(table)
    probe = opened(tmp_path / "a.arrow", tmp_path)
    assert probe.name(1) == "a.arrow/1"
    np.testing.assert_array_equal(probe.pixels(1), IMAGES[1])


# ---- arrays -------------------------------------------------------------------------------------


def test_grey_arrays_and_mnists_files(tmp_path):
    grey = IMAGES[:, :28, :28, 0]
    np.save(tmp_path / "grey.npy", grey)
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "train-images-idx3-ubyte").write_bytes(bytes(16) + grey.tobytes())
    (raw / "train-labels-idx1-ubyte").write_bytes(bytes(8 + COUNT))
    for path, kind in ((tmp_path / "grey.npy", "numpy"), (tmp_path / "MNIST", "MNIST")):
        probe = opened(path, tmp_path)
        assert parts_of(probe)[0].kind == kind
        np.testing.assert_array_equal(probe.pixels(1), np.repeat(grey[1][:, :, None], 3, axis=2))


def test_stl10_lies_in_columns(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    (tmp_path / "test_X.bin").write_bytes(image.transpose(2, 1, 0).tobytes())
    np.testing.assert_array_equal(opened(tmp_path / "test_X.bin", tmp_path).pixels(0), image)


def test_arrays_that_are_no_images(tmp_path):
    np.save(tmp_path / "first.npy", IMAGES.transpose(0, 3, 1, 2))
    with pytest.raises(UserError, match=r"numpy\.moveaxis\(array, 1, -1\)"):
        opened(tmp_path / "first.npy", tmp_path)
    np.save(tmp_path / "float.npy", IMAGES / 255)
    with pytest.raises(UserError, match=r"holds float64 .* need float\.toml beside it"):
        opened(tmp_path / "float.npy", tmp_path)
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match=r"cannot read .*objects\.npy"):
        opened(tmp_path / "objects.npy", tmp_path)
    (tmp_path / "test_batch.bin").write_bytes(bytes(100))
    with pytest.raises(UserError, match=r"no whole number of images of CIFAR-10"):
        opened(tmp_path / "test_batch.bin", tmp_path)


# ---- other files --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("a.zip", "take it apart into a folder"),
        ("a.tar.gz", "decompress it"),
        ("a.npz", r"numpy\.save"),
        ("a.h5", r"numpy\.save"),
        ("a.tfrecord", "WebDataset"),
        ("a.csv", "the folder of the images"),
        ("a.TIFF", r"tiles\.toml"),
        ("a.pkl", "it is a pickle"),
        ("data_batch_1", "binary version"),
        ("a.docx", r"what is read is a folder of images, \.tar"),
    ],
)
def test_a_file_of_another_kind_is_told_the_form(name, told, tmp_path):
    (tmp_path / name).write_bytes(pickle.dumps({}))
    with pytest.raises(UserError, match=f"is no probe set: .*{told}"):
        opened(tmp_path / name, tmp_path)


def test_a_folder_of_other_files_is_told_the_form(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in ("batches.meta", "data_batch_1"):
        (folder / name).write_bytes(pickle.dumps({}))
    with pytest.raises(UserError, match="of data_batch_1: it is a pickle"):
        opened(folder, tmp_path)
    (folder / "data_batch_1").unlink()
    with pytest.raises(UserError, match="holds no image"):
        opened(folder, tmp_path)
    (folder / "a.tar").write_bytes(b"")
    (folder / "b.npy").write_bytes(b"")
    with pytest.raises(UserError, match=r"several kinds \(tar, array\)"):
        opened(folder, tmp_path)
    with pytest.raises(UserError, match="files of several kinds"):
        opened(folder / "*", tmp_path)
    with pytest.raises(UserError, match="only Parquet and Arrow files have columns"):
        opened(f"{folder / 'b.npy'}::image", tmp_path)


def test_a_pattern_over_folders_is_refused(tmp_path):
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "a.tar").write_bytes(b"")
    with pytest.raises(UserError, match="files of several folders"):
        opened(tmp_path / "*" / "a.tar", tmp_path)


def test_what_is_not_there(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        opened(tmp_path / "nowhere", tmp_path)


def test_a_damaged_column_of_paths_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pq.write_table(image_table(), tmp_path / "a.parquet")
    probe = parts_of(opened(tmp_path / "a.parquet", tmp_path))[0]

    def broken(column: str) -> list[str]:
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")

    monkeypatch.setattr(probe._tables[0], "paths", broken)
    with pytest.raises(UserError, match=r"cannot read .*a\.parquet: .*invalid start byte"):
        probe.name(0)
