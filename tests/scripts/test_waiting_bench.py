"""Engines that sleep as long as a GPU computes are kept busy while pictures go to the disk."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from dnd_local.store.blobs import BlobFolder

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "bench"))

import waiting

FREE = 0.15
"""Seconds in which two free cores store ten pictures."""


def crowding(folder: Path) -> float:
    """Return how many times as long as on two free cores it takes to store ten pictures."""
    pictures = [waiting.Sleeper().crop(seed) for seed in range(50)]
    started = time.perf_counter()
    BlobFolder(folder).put_all(pictures)
    took = (time.perf_counter() - started) / 5
    return max(1.0, took / FREE * min(1.0, (os.cpu_count() or 1) / 2))


# Alone on the machine, by hand: beside other tests it would measure them.
@pytest.mark.long
@pytest.mark.timeout(1200)
def test_painter_and_scorer_do_not_wait_for_the_disk(tmp_path: Path) -> None:
    shares = {}
    for attempt in range(3):
        # Among other programs the engines are slowed down as the cores are.
        speed = 1 / (2 * crowding(tmp_path / f"crowd-{attempt}") - 1)
        shares = waiting.measure(
            tmp_path / str(attempt), concepts=20, neurons=32, images=512, speed=speed
        )
        if shares["painter"] >= 0.97 and shares["scorer"] >= 0.9:
            return
    pytest.fail(f"{shares}")


def test_what_is_slept_is_what_is_measured(tmp_path: Path) -> None:
    shares = waiting.measure(tmp_path, concepts=2, neurons=2, images=200, speed=20)
    assert set(shares) == {"probe pass", "captioner", "painter", "scorer"}
    assert all(0 < share < 1 for share in shares.values())
