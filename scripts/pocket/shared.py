"""What all training scripts share: options, pictures, checkpoints, the clock, fp16 saving."""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file

import dnd_local.pocket
from dnd_local.pocket.words import Concept, vocabulary
from dnd_local.pocket.world import Attributes, picture

MODELS = Path(dnd_local.pocket.__file__).parent / "models"
REPOSITORY = Path(dnd_local.pocket.__file__).parents[2]
TRAIN_COUNT = 24_000
TEST_COUNT = 2_000
PAINTER_COUNT = 20_000


@dataclass(frozen=True, slots=True)
class Options:
    """How a training script was asked to run.

    Attributes:
        work: Folder of rendered pictures, checkpoints and logs.
        threads: How many CPU threads to use.
        device: Where tensors live, ``cpu`` or ``cuda``.
        minutes: How long to train; checkpoints count, so a second call continues.
        fresh: Whether to forget an earlier checkpoint.
        save_only: Whether to write the model out without training further.
    """

    work: Path
    threads: int
    device: torch.device
    minutes: float
    fresh: bool
    save_only: bool


def options(description: str | None, minutes: float) -> Options:
    """Read the command line that every training script has.

    Args:
        description: The script's own sentence.
        minutes: The default length of training, in minutes on two CPU cores.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--work", type=Path, default=REPOSITORY / ".pocket-training")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--minutes", type=float, default=minutes)
    parser.add_argument("--fresh", action="store_true", help="ignore an earlier checkpoint")
    parser.add_argument("--save-only", action="store_true", help="write the model, train no more")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    seed_everything(0)
    given.work.mkdir(parents=True, exist_ok=True)
    return Options(
        given.work,
        given.threads,
        torch.device(given.device),
        given.minutes,
        given.fresh,
        given.save_only,
    )


def seed_everything(seed: int) -> None:
    """Seed the generators of Python, NumPy and torch."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def _draw(job: tuple[int, int, int]) -> tuple[npt.NDArray[np.uint8], Attributes]:
    image, attributes = picture(*job)
    return np.asarray(image), attributes


@dataclass(frozen=True, slots=True)
class Pictures:
    """Rendered pictures of one seed.

    Attributes:
        pixels: uint8, shape (n, 64, 64, 3).
        attributes: One record a picture.
    """

    pixels: npt.NDArray[np.uint8]
    attributes: tuple[Attributes, ...]

    def tensor(self, rows: npt.NDArray[np.int64] | slice, device: torch.device) -> torch.Tensor:
        """Return chosen pictures as float32 in [0, 1], shape (n, 3, 64, 64)."""
        chosen = torch.from_numpy(self.pixels[rows]).to(device)
        return chosen.permute(0, 3, 1, 2).float().div_(255)

    def labels(self, concepts: tuple[Concept, ...]) -> npt.NDArray[np.float32]:
        """Return 1 where a concept holds, shape (n, concepts)."""
        labels = np.zeros((len(self.attributes), len(concepts)), dtype=np.float32)
        place = {concept: column for column, concept in enumerate(concepts)}
        for row, attributes in enumerate(self.attributes):
            for concept in attributes.concepts():
                labels[row, place[concept]] = 1.0
        return labels


def render(work: Path, seed: int, count: int, grid: int = 1) -> Pictures:
    """Draw pictures 0..count-1 of a seed, or read them back from the work folder."""
    name = f"world{vocabulary().version}-seed{seed}-grid{grid}-{count}"
    pixels, records = work / f"{name}.npy", work / f"{name}.json"
    if not (pixels.exists() and records.exists()):
        with ProcessPoolExecutor(2) as pool:
            jobs = ((seed, index, grid) for index in range(count))
            drawn = list(pool.map(_draw, jobs, chunksize=500))
        np.save(pixels, np.stack([image for image, _ in drawn]))
        rows = [(a.objects, a.boxes, a.colour, a.pattern) for _, a in drawn]
        records.write_text(json.dumps(rows))
    attributes = tuple(
        Attributes(tuple(objects), tuple(map(tuple, boxes)), colour, pattern)
        for objects, boxes, colour, pattern in json.loads(records.read_text())
    )
    return Pictures(np.load(pixels), attributes)


def mirrored(images: torch.Tensor) -> torch.Tensor:
    """Flip each picture of a batch left to right with probability one half."""
    flip = torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5
    return torch.where(flip, images.flip(-1), images)


def cosine(share: float, warmup: float = 0.02, floor: float = 0.02) -> float:
    """Return the learning rate's factor after a share (0..1) of the training time."""
    if share < warmup:
        return max(share / warmup, 0.02)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))


class Part(Protocol):
    """What a checkpoint can hold: a module, an optimiser, an average."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, saved: Any, /) -> object: ...


class Run:
    """One model's training: the clock over all sessions, checkpoints, a log and the loss.

    A checkpoint holds the parts that ``restore`` was given, and how many minutes were spent, so
    that a killed run loses at most ``every`` seconds and the learning rate goes on where it was.
    """

    def __init__(self, name: str, given: Options, every: float = 120.0) -> None:
        """Name the run after its model and open its log in the work folder."""
        self.name, self.given, self.every = name, given, every
        self.path = given.work / f"{name}.pt"
        self.log_path = given.work / f"{name}.log"
        self.step, self.spent = 0, 0.0
        self._losses: list[float] = []
        self._parts: dict[str, Part] = {}

    def restore(self, **parts: Part) -> None:
        """Keep these parts in checkpoints; set them as the last one has them, if there is one."""
        self._parts = parts
        if self.given.fresh or not self.path.exists():
            return
        saved = torch.load(self.path, map_location=self.given.device, weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(saved["state"][name])
        self.step, self.spent = saved["step"], saved["spent"]
        self.log(f"continues at step {self.step}, {self.spent / 60:.1f} minutes spent")

    def save(self) -> None:
        """Write a checkpoint under a temporary name, then rename it."""
        state = {name: part.state_dict() for name, part in self._parts.items()}
        partial = self.path.with_suffix(".partial")
        torch.save({"state": state, "step": self.step, "spent": self.spent}, partial)
        partial.replace(self.path)

    def steps(self) -> Iterator[float]:
        """Yield the share of the time that is gone, once a step, until none is left."""
        total = 60 * self.given.minutes
        if self.given.save_only:
            return
        last, saved = _worked(), time.monotonic()
        while self.spent < total:
            yield self.spent / total
            self.step += 1
            now = _worked()
            self.spent, last = self.spent + now - last, now
            if time.monotonic() - saved > self.every:
                self.save()
                saved = time.monotonic()
        self.save()

    def loss(self, value: float, each: int = 100) -> None:
        """Collect a loss and log the mean of every ``each`` steps."""
        self._losses.append(value)
        if len(self._losses) == each:
            self.log(f"step {self.step + 1} loss {float(np.mean(self._losses)):.4f}")
            self._losses.clear()

    def log(self, text: str) -> None:
        """Print a line and keep it in the log file."""
        line = f"{self.name} {self.spent / 60:6.1f} min  {text}"
        print(line, flush=True)
        with self.log_path.open("a") as handle:
            handle.write(line + "\n")


def _worked() -> float:
    """Return the seconds that this process has worked, however long it waited for its turn."""
    return time.process_time() / torch.get_num_threads()


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every group."""
    for group in optimiser.param_groups:
        group["lr"] = rate


def descend(loss: torch.Tensor, optimiser: torch.optim.Optimizer) -> None:
    """Take one step down a loss, by a gradient of length 1 at most."""
    optimiser.zero_grad()
    loss.backward()
    parameters = [one for group in optimiser.param_groups for one in group["params"]]
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimiser.step()


class Average:
    """An exponential moving average of a model's floating point state."""

    def __init__(self, model: torch.nn.Module, decay: float = 0.999) -> None:
        """Start the average at the model's present state."""
        self.decay, self.count = decay, 0
        self.state = {key: value.detach().clone() for key, value in model.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        """Return the average and the number of models in it."""
        return {"state": self.state, "count": self.count}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self.state, self.count = saved["state"], saved["count"]

    @torch.no_grad()
    def update(self, model: torch.nn.Module) -> None:
        """Move the average towards the model; faster at the beginning."""
        self.count += 1
        share = 1 - min(self.decay, (1 + self.count) / (10 + self.count))
        for key, value in model.state_dict().items():
            if value.is_floating_point():
                self.state[key].lerp_(value, share)
            else:
                self.state[key].copy_(value)


def halve(folder: Path) -> None:
    """Rewrite every safetensors file under a folder with its floats in fp16."""
    for path in sorted(folder.rglob("*.safetensors")):
        tensors = {key: value.clone() for key, value in load_file(path).items()}
        halved = {
            key: value.half() if value.is_floating_point() else value
            for key, value in tensors.items()
        }
        save_file(halved, path, metadata={"format": "pt"})


def write_json(path: Path, value: object) -> None:
    """Write JSON that a person can read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
