"""What pictures cost on disk: bytes and seconds as PNG and as WebP, with and without the flush.

Usage: .venv/bin/python scripts/bench/disk.py [--count 200] [--folder DIR]

The pictures are cut from scikit-learn's two sample photographs at 512 x 512 pixels, each elsewhere.
A picture is encoded, named by its hash, written, flushed (fsync) and renamed, as a run does it.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from sklearn.datasets import load_sample_images

from dnd_local.core.records import Pixels
from dnd_local.store.blobs import BlobFolder

SIDE = 512
SMALLEST = 400
"""Smallest side of a crop; the photographs have 427 pixels, so all are enlarged a little."""
QUALITIES = (0, 100, 95, 90, 80)
A_RUN = 2048 * 50
"""Pictures of 2,048 neurons with five candidates each, if no two neurons share one."""


def photographs(count: int) -> list[Pixels]:
    """Return `count` crops, each from another place."""
    rng = np.random.default_rng(0)
    whole = load_sample_images().images
    crops = []
    for i in range(count):
        image = whole[i % len(whole)]
        side = int(rng.integers(SMALLEST, min(image.shape[:2])))
        y, x = (int(rng.integers(0, length - side)) for length in image.shape[:2])
        crops.append(cv2.resize(image[y : y + side, x : x + side], (SIDE, SIDE)))
    return crops


def written(pictures: list[Pixels], quality: int, folder: Path) -> tuple[int, float]:
    """Return the bytes that `pictures` take and the seconds that storing them took."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        start = time.perf_counter()
        BlobFolder(Path(place)).put_all(pictures, quality)
        took = time.perf_counter() - start
        return sum(path.stat().st_size for path in Path(place).rglob("*.*")), took


def main() -> None:
    """Print one line a format."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--folder", type=Path, default=Path())
    args = parser.parse_args()
    pictures = photographs(args.count)
    print(f"{args.count} pictures of {SIDE} px, {os.cpu_count()} cores")
    print("format      kB each  pictures a second  the same without fsync  GB of 2,048 neurons")
    flush = os.fsync
    for quality in QUALITIES:
        size, took = written(pictures, quality, args.folder)
        try:
            os.fsync = lambda handle: None
            _, unflushed = written(pictures, quality, args.folder)
        finally:
            os.fsync = flush
        name = f"WebP {quality}" if quality else "PNG"
        print(
            f"{name:10} {size / args.count / 1000:8.0f} {args.count / took:18.1f} "
            f"{args.count / unflushed:23.1f} {size / args.count * A_RUN / 1e9:20.1f}"
        )


if __name__ == "__main__":
    main()
