"""Time the probe pass against a torchvision DataLoader on the same cores, side by side.

Both read the same JPEG files, use the same network, transform and batch, and take the mean of one
layer's map, each in a process of its own. Runs alternate, and the ratio is taken pair by pair::

    python scripts/bench/probe_pass.py --images 512 --pairs 3
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

from dnd_local.core.config import NetworkConfig
from dnd_local.engines.target_torch import TorchTarget
from dnd_local.stages.responses import respond
from dnd_local.store.probe_sets import FolderProbe, read_ahead

LAYER = "layer4"


def make_images(folder: Path, count: int) -> None:
    """Write photographs' worth of JPEGs, 500 x 375, smooth enough to have a photograph's size."""
    rng = np.random.default_rng(0)
    (folder / "one").mkdir(parents=True)
    for i in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
        fine = coarse.resize((500, 375), Image.Resampling.BICUBIC)
        fine.save(folder / "one" / f"{i:05d}.jpg", quality=90)


def network_and_transform() -> tuple[torch.nn.Module, Any]:
    """Return a ResNet-18 as a run loads it, but for its weights, and its transform."""
    torch.manual_seed(0)
    network = torchvision.models.resnet18().eval().to(memory_format=torch.channels_last)
    return network, torchvision.models.ResNet18_Weights.DEFAULT.transforms()


def ours(folder: Path, cores: int) -> float:
    """Return seconds of the probe pass as a run does it."""
    network, transform = network_and_transform()
    target = TorchTarget(network, transform, NetworkConfig(name="resnet18"), ("cpu",))
    probe = FolderProbe(folder, folder.parent / "cache")
    started = time.perf_counter()
    respond(read_ahead(probe, range(len(probe)), cores), 0, len(probe), [LAYER], target, 64)
    return time.perf_counter() - started


def theirs(folder: Path, cores: int) -> float:
    """Return seconds of a DataLoader with one worker a core feeding the same network."""
    network, transform = network_and_transform()
    images = ImageFolder(str(folder), transform)
    loader = DataLoader(images, batch_size=32, num_workers=cores, multiprocessing_context="fork")
    means = []
    hook = network.get_submodule(LAYER).register_forward_hook(
        lambda _module, _inputs, output: means.append(output.mean(dim=(2, 3)))
    )
    started = time.perf_counter()
    with torch.inference_mode():
        for pictures, _ in loader:
            network(pictures.to(memory_format=torch.channels_last))
    took = time.perf_counter() - started
    hook.remove()
    return took


def alone(side: Callable[[Path, int], float], folder: Path, cores: int) -> float:
    """Return what a function gives in a fresh process: neither side finds the other's memory."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(side, folder, cores).result()


def main() -> None:
    """Print every pair and the median ratio as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--pairs", type=int, default=3)
    given = parser.parse_args()
    cores = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "images"
        make_images(folder, given.images)
        pairs = []
        for _ in range(given.pairs):
            a, b = (alone(side, folder, cores) for side in (ours, theirs))
            pairs.append((round(a, 2), round(b, 2)))
    ratios = [b / a for a, b in pairs]
    print(
        json.dumps(
            {
                "images": given.images,
                "cores": cores,
                "seconds, ours and theirs": pairs,
                "times as fast, median": round(statistics.median(ratios), 3),
                "times as fast, lowest and highest": [round(min(ratios), 3), round(max(ratios), 3)],
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
