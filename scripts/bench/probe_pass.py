"""Time the probe pass against a torchvision DataLoader on the same cores, side by side.

Both read the same JPEG files, use the same network, transform and batch, and take the mean of one
layer's map. Runs alternate, and the ratio is taken pair by pair::

    python scripts/bench/probe_pass.py --images 512 --pairs 3
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

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


def ours(folder: Path, network: torch.nn.Module, transform: object, cores: int) -> float:
    """Return seconds of the probe pass as a run does it."""
    target = TorchTarget(network, transform, NetworkConfig(name="resnet18"), ("cpu",))
    probe = FolderProbe(folder, folder.parent / "cache")
    started = time.perf_counter()
    respond(read_ahead(probe, range(len(probe)), cores), 0, len(probe), [LAYER], target, 64)
    return time.perf_counter() - started


def theirs(folder: Path, network: torch.nn.Module, transform: object, cores: int) -> float:
    """Return seconds of a DataLoader with one worker a core feeding the same network."""
    network = network.to(memory_format=torch.channels_last)
    loader = DataLoader(ImageFolder(str(folder), transform), batch_size=32, num_workers=cores)
    found = []
    hook = network.get_submodule(LAYER).register_forward_hook(
        lambda _module, _inputs, made: found.append(made.mean(dim=(2, 3)))
    )
    started = time.perf_counter()
    with torch.inference_mode():
        for pictures, _ in loader:
            network(pictures.to(memory_format=torch.channels_last))
    took = time.perf_counter() - started
    hook.remove()
    return took


def main() -> None:
    """Print every pair and the median ratio as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--pairs", type=int, default=3)
    given = parser.parse_args()
    cores = torch.get_num_threads()
    weights = torchvision.models.ResNet18_Weights.DEFAULT
    transform = weights.transforms()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "images"
        make_images(folder, given.images)
        pairs = []
        for _ in range(given.pairs):
            torch.manual_seed(0)
            network = torchvision.models.resnet18().eval()
            a = ours(folder, network, transform, cores)
            b = theirs(folder, network, transform, cores)
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
