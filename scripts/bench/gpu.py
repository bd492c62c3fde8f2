"""Measure each engine on a device, at real size with random weights, and what a neuron costs.

For every role: seconds, and inputs a second. For the painter also the share of the device's peak
that it reaches (the peak is a large matrix product timed in the same run), and on a GPU the share
of the time in which the device waits. A neuron of the paper's setting has 5 candidates of 10
pictures, 50 exemplar forwards, 10 captions and about 15 replies::

    python scripts/bench/gpu.py --device 0
    python scripts/bench/gpu.py --device cpu --sizes tiny

It needs no weights, no network and no installation: `PYTHONPATH=.` will do. A role whose library is
not there is named and left out.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from random_models import MAKERS, REAL, TINY, Sizes
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from dnd_local.core.config import (
    CaptionsConfig,
    ClipConfig,
    Execution,
    LlmConfig,
    NetworkConfig,
    PicturesConfig,
)
from dnd_local.core.conversations import Message, Request
from dnd_local.core.errors import UserError
from dnd_local.engines import language_models, registry

CANDIDATES, PICTURES, EXEMPLARS, REPLIES = 5, 10, 10, 15


@dataclass(frozen=True, slots=True)
class Where:
    """The device, the sizes, and the folder of each role's model."""

    device: str
    sizes: Sizes
    folders: dict[str, Path]
    repeats: int

    @property
    def half(self) -> str:
        return "float32" if self.device == "cpu" else "float16"

    def wait(self) -> None:
        """Wait until the device has done all it was given."""
        if self.device != "cpu":
            torch.cuda.synchronize(int(self.device))


def timed(where: Where, call: Callable[[], object]) -> float:
    """Return the median seconds of a call; the first, which warms up, does not count."""
    call()
    seconds = []
    for _ in range(where.repeats):
        where.wait()
        started = time.perf_counter()
        call()
        where.wait()
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds))


def idle_share(where: Where, call: Callable[[], object]) -> float | None:
    """Return the share of a call's time in which a GPU runs no kernel; None on the CPU."""
    if where.device == "cpu":
        return None
    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        started = time.perf_counter()
        call()
        where.wait()
        seconds = time.perf_counter() - started
    busy = sum(event.self_device_time_total for event in profiled.key_averages()) / 1e6
    return 1 - busy / seconds


def peak_flops(where: Where) -> float:
    """Return the floating-point operations a second of a large matrix product."""
    side = 512 if where.sizes is TINY else 8192
    kind = torch.float32 if where.device == "cpu" else torch.float16
    place = "cpu" if where.device == "cpu" else f"cuda:{where.device}"
    matrix = torch.randn(side, side, dtype=kind, device=place)
    return 2 * side**3 / timed(where, lambda: matrix @ matrix)


def pictures(count: int, side: int) -> list[Any]:
    """Return noise as pictures."""
    rng = np.random.default_rng(0)
    return list(rng.integers(0, 256, (count, side, side, 3)).astype(np.uint8))


def measure_painter(where: Where) -> Iterator[dict[str, Any]]:
    """Yield the painter's figures: as released, in groups, and with fewer steps."""
    peak = peak_flops(where)
    full = where.sizes is REAL
    base = PicturesConfig(size=where.sizes.picture, dtype=where.half)
    modes = {
        "reference (ten a call, 50 steps)": {"batch": 10, "steps": 50 if full else 4},
        "paper (groups of 20)": {"batch": 20, "steps": 50 if full else 4},
        "fast (groups of 20, 20 steps)": {"batch": 20, "steps": 20 if full else 2},
    }
    for name, change in modes.items():
        config = msgspec.structs.replace(base, **change)
        opened = registry.open_built_in(
            "painter", config, [where.folders["painter"]], (where.device,)
        )
        with opened as painter:
            count = config.batch
            prompts, seeds = ["a dog"] * count, list(range(count))
            with FlopCounterMode(display=False) as counter:
                painter.paint(prompts, seeds)
            seconds = timed(where, lambda: painter.paint(prompts, seeds))  # noqa: B023
            idle = idle_share(where, lambda: painter.paint(prompts, seeds))  # noqa: B023
        flops = counter.get_total_flops()
        neuron = seconds / count * CANDIDATES * PICTURES
        yield {
            "part": "painter", "mode": name, "pictures_a_second": count / seconds,
            "seconds_a_neuron": neuron, "tflop_a_picture": flops / count / 1e12,
            "share_of_peak": flops / seconds / peak, "peak_tflops": peak / 1e12,
            "idle_share": idle,
        }  # fmt: skip


def measure_captioner(where: Where) -> Iterator[dict[str, Any]]:
    """Yield captions a second."""
    config = CaptionsConfig(dtype=where.half, batch=16)
    folders = [where.folders["captioner"]]
    with registry.open_built_in("captioner", config, folders, (where.device,)) as captioner:
        seen = pictures(config.batch, where.sizes.blip_vision["image_size"])
        seconds = timed(where, lambda: captioner.caption(seen))
    yield _figure("captioner", len(seen), seconds, EXEMPLARS)


def measure_embedder(where: Where) -> Iterator[dict[str, Any]]:
    """Yield pictures embedded a second."""
    config = ClipConfig(batch=32)
    folders = [where.folders["embedder"]]
    with registry.open_built_in("embedder", config, folders, (where.device,)) as embedder:
        seen = pictures(config.batch, where.sizes.picture)
        seconds = timed(where, lambda: embedder.embed_pictures(seen))
    yield _figure("embedder", len(seen), seconds, CANDIDATES * PICTURES + EXEMPLARS)


def measure_target(where: Where) -> Iterator[dict[str, Any]]:
    """Yield probe images a second, pictures decoded already."""
    name = "resnet50@IMAGENET1K_V1" if where.sizes is REAL else "resnet18@IMAGENET1K_V1"
    config = NetworkConfig(name=name.partition("@")[0], batch=32)
    folder = where.folders["target"]
    with registry.open_target(config, folder, (where.device,), f"torchvision:{name}") as target:
        seen = pictures(64, 256)
        seconds = timed(where, lambda: target.responses(seen, ["layer4"]))
    yield _figure("target", len(seen), seconds, CANDIDATES * PICTURES + 5 * EXEMPLARS)


def measure_language_model(where: Where) -> Iterator[dict[str, Any]]:
    """Yield replies a second of the engine in this process."""
    config = LlmConfig(engine="transformers", dtype="float32", batch=16, max_tokens=24)
    execution = Execution(workspace=Path(), weights=Path(), data=Path(), devices=(where.device,))
    turns = (Message("user", " ".join(["a red dog on the house"] * 20)),)
    asked = [Request(turns, 0.3, seed, 24) for seed in range(16)]
    folders = [where.folders["language-model"]]
    with language_models.open_language_model(config, folders, execution) as model:
        seconds = timed(where, lambda: model.reply(asked))
    yield _figure("language-model", len(asked), seconds, REPLIES)


def _figure(part: str, count: int, seconds: float, a_neuron: int) -> dict[str, Any]:
    rate = count / seconds
    return {"part": part, "a_second": rate, "seconds_a_neuron": a_neuron / rate}


MEASURES: dict[str, Callable[[Where], Iterator[dict[str, Any]]]] = {
    "target": measure_target,
    "captioner": measure_captioner,
    "language-model": measure_language_model,
    "painter": measure_painter,
    "embedder": measure_embedder,
}


def main() -> None:
    """Measure the roles asked for and print one JSON line a figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", help="cpu or a CUDA index")
    parser.add_argument("--sizes", choices=("real", "tiny"), default="real")
    parser.add_argument("--roles", nargs="+", choices=tuple(MEASURES), default=list(MEASURES))
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    name = "cpu" if given.device == "cpu" else torch.cuda.get_device_name(int(given.device))
    print(json.dumps({"device": name, "torch": torch.__version__, "sizes": given.sizes}))
    with tempfile.TemporaryDirectory() as scratch:
        sizes = REAL if given.sizes == "real" else TINY
        folders = {role: Path(scratch) / role for role in given.roles}
        where = Where(given.device, sizes, folders, given.repeats)
        for role in given.roles:
            try:
                MAKERS[role](folders[role], sizes)
                for figure in MEASURES[role](where):
                    print(json.dumps(figure), flush=True)
            except (ModuleNotFoundError, UserError) as error:
                print(json.dumps({"part": role, "left out": str(error)}), flush=True)


if __name__ == "__main__":
    main()
