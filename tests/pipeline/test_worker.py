"""Worker processes: shares, answers, and two real ones against this process, byte for byte."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dnd_local.core.config import Config, Execution, read_config
from dnd_local.pipeline.runner import triage_layers

FACTORY = f"{Path(__file__).with_name('tiny_net.py')}:make"


def photos(folder: Path, count: int = 11) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(3)
    for i in range(count):
        noise = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{i}.png")
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


def settings(probe: Path) -> Config:
    network = {"name": FACTORY, "batch": 4}
    return read_config({"network": network, "probe": {"sets": [str(probe)], "chunk": 4}})


def execution(home: Path, workers: int) -> Execution:
    return Execution(workspace=home, weights=home / "weights", data=home / "data", workers=workers)


def parts_below(home: Path) -> dict[str, bytes]:
    files = sorted((home / "artefacts").rglob("*"))
    return {str(p.relative_to(home)): p.read_bytes() for p in files if p.is_file()}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_processes_make_what_one_makes_byte_for_byte(tmp_path: Path) -> None:
    config, layers = settings(photos(tmp_path / "photos")), ("0", "2")
    alone = triage_layers(config, execution(tmp_path / "one", 1), layers)
    together = triage_layers(config, execution(tmp_path / "two", 2), layers)
    assert together == alone
    assert [len(own.neurons) for own in together] == [5, 4]
    assert together[0].n_skipped == 1
    made = parts_below(tmp_path / "one")
    assert made == parts_below(tmp_path / "two")
    assert len(made) == 2 * 3 + 2 + 2
