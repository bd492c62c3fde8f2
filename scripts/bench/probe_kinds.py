#!/usr/bin/env python3
"""Images a second out of each kind of probe set, and out of a plain PyTorch DataLoader.

The same JPEG pictures lie in a folder, a tar, a Parquet and an Arrow column; `.npy` holds their
pixels. Each is read once in order, by `--threads` threads (the loader: as many processes), after
one pass that brings the files into the system's memory.

    python scripts/bench/probe_kinds.py [--count 2000] [--side 256] [--threads 2]
"""

from __future__ import annotations

import argparse
import io
import os
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms.functional import pil_to_tensor

from dnd_local.store.probe_sets import open_probe, read_ahead


def pictures(count: int, side: int) -> list[bytes]:
    """Return JPEGs of coarse noise, as large as photographs of their size are."""
    rng = np.random.default_rng(0)
    files = []
    for _ in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8))
        file = io.BytesIO()
        coarse.resize((side, side), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
        files.append(file.getvalue())
    return files


def save(root: Path, files: list[bytes]) -> dict[str, Path]:
    """Save the pictures in every kind; return where each lies."""
    (root / "folder" / "class").mkdir(parents=True)
    (root / "arrow").mkdir()
    for index, data in enumerate(files):
        (root / "folder" / "class" / f"{index:06d}.jpg").write_bytes(data)
    with tarfile.open(root / "images.tar", "w") as tar:
        for index, data in enumerate(files):
            info = tarfile.TarInfo(f"{index:06d}.jpg")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    table = pa.table({"image": [{"bytes": data, "path": None} for data in files]})
    pq.write_table(table, root / "images.parquet", row_group_size=100)
    path = str(root / "arrow" / "data.arrow")
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    arrays = [np.asarray(Image.open(io.BytesIO(data))) for data in files]
    np.save(root / "images.npy", np.stack(arrays))
    names = ("folder", "images.tar", "images.parquet", "arrow", "images.npy")
    return {name.removeprefix("images."): root / name for name in names}


def to_tensor(picture: Image.Image) -> torch.Tensor:
    return pil_to_tensor(picture)


def rate(read: Callable[[], int]) -> float:
    """Return images a second of a second pass."""
    read()
    began = time.perf_counter()
    return read() / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    files = pictures(asked.count, asked.side)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as home:
        root = Path(home)
        places = save(root, files)
        print(f"{asked.count} JPEGs of {asked.side} pixels, {sum(map(len, files)) / 1e6:.0f} MB, "
              f"{asked.threads} threads, {os.cpu_count()} cores")  # fmt: skip
        loader = DataLoader(
            ImageFolder(str(root / "folder"), to_tensor), batch_size=32, num_workers=asked.threads
        )
        print(f"DataLoader  {rate(lambda: sum(len(batch) for batch, _ in loader)):7.0f} images/s")
        for kind, place in places.items():
            began = time.perf_counter()
            probe = open_probe([str(place)], root, root / "cache", {})
            opened = time.perf_counter() - began
            everything = range(len(probe))
            a_second = rate(lambda: sum(1 for _ in read_ahead(probe, everything, asked.threads)))  # noqa: B023
            print(f"{kind:10}  {a_second:7.0f} images/s, opened in {opened:.2f} s")


if __name__ == "__main__":
    main()
