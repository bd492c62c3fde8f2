"""The same few images in every kind of probe set."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

COUNT = 5
IMAGES = np.random.default_rng(0).integers(0, 256, (COUNT, 32, 32, 3), dtype=np.uint8)


def png(image: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def save_folder(root: Path) -> Path:
    for index, image in enumerate(IMAGES):
        path = root / "photos" / f"class{index % 2}" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(image))
    return root / "photos"


def save_shards(root: Path) -> Path:
    """Two WebDataset shards: a sample is an image, its class and its JSON."""
    (root / "shards").mkdir(parents=True)
    for shard, rows in ((0, (0, 1, 2)), (1, (3, 4))):
        with tarfile.open(root / "shards" / f"{shard:03d}.tar", "w") as tar:
            for row in rows:
                add(tar, f"sample{row}.png", png(IMAGES[row]))
                add(tar, f"sample{row}.cls", b"1")
                add(tar, f"sample{row}.json", b"{}")
    return root / "shards"


def image_table(path_of: Callable[[int], str] = lambda row: f"{row}.png") -> pa.Table:
    """As `datasets` writes a column of the feature Image, beside a label."""
    rows = [{"bytes": png(image), "path": path_of(row)} for row, image in enumerate(IMAGES)]
    return pa.table({"image": rows, "label": list(range(COUNT))})


def save_parquet(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    pq.write_table(image_table(), root / "train.parquet", row_group_size=2)
    return root / "train.parquet"


def save_arrow(root: Path) -> Path:
    """As `save_to_disk`: a stream a file, JSON beside it, and a cache that is no data."""
    folder = root / "saved"
    folder.mkdir(parents=True)
    table = image_table()
    for part, rows in enumerate((table.slice(0, 3), table.slice(3))):
        path = folder / f"data-{part:05d}-of-00002.arrow"
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
            stream.write_table(rows)
    (folder / "cache-1234.arrow").write_bytes(b"")
    (folder / "dataset_info.json").write_text("{}")
    (folder / "state.json").write_text("{}")
    return folder


def save_array(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    np.save(root / "images.npy", IMAGES)
    return root / "images.npy"


def save_cifar(root: Path) -> Path:
    """CIFAR-10's binary version: a label, then the red, green and blue planes."""
    folder = root / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    records = [bytes([7]) + image.transpose(2, 0, 1).tobytes() for image in IMAGES]
    (folder / "data_batch_1.bin").write_bytes(b"".join(records[:3]))
    (folder / "test_batch.bin").write_bytes(b"".join(records[3:]))
    (folder / "readme.html").write_text("")
    return folder


SAVED = {
    "folder": save_folder, "tar": save_shards, "parquet": save_parquet, "arrow": save_arrow,
    "numpy": save_array, "CIFAR-10": save_cifar,
}  # fmt: skip
