"""Measure how much of the time an engine is kept busy while real pictures go to and from the disk.

The engines sleep instead of computing, as if a GPU did the work, so that the figures hold on any
machine. A painter takes 0.3 s for ten pictures of 512 px, a captioner 0.1 s for sixteen, target and
embedder 0.1 s each for 32. The pictures are crops of photographs, and the storage is the real one.
The probe pass reads JPEGs of 512 px in chunks of 128::

    python scripts/bench/waiting.py

prints for each stage its busy share: seconds slept over seconds that the stage took. The first
group is always waited for, since nothing can be computed before it is read: long runs do better.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images

from dnd_local.core.config import Execution
from dnd_local.core.records import Candidate, Concepts, Exemplar, Exemplars, Neuron, Pixels
from dnd_local.pipeline import opening
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.making import make_parts
from dnd_local.pipeline.plan import CAPTIONS, CONCEPTS, EXEMPLARS, PICTURES, RESPONSES, SCORES
from dnd_local.pipeline.race_rounds import picture_blocks
from dnd_local.pipeline.settings import default_data, make_config
from dnd_local.pipeline.stage import Item, Stage
from dnd_local.store.weights import default_root

SIDE, CANDIDATES, EXEMPLAR_COUNT = 512, 5, 10
CONCEPTS_PAINTED, NEURONS, IMAGES = 60, 48, 1024
CHUNK = 128
LAYER = "layer4"


class Sleeper:
    """Every engine at once: sleeps as long as a GPU would compute, and adds up how long it slept.

    Args:
        speed: divides every duration.
    """

    bands = 0

    def __init__(self, speed: float = 1.0) -> None:
        self.speed, self.slept = speed, 0.0
        self._photographs = [np.tile(image, (2, 2, 1)) for image in load_sample_images().images]

    def paint(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Pixels]:
        """Return a crop of a photograph for each seed."""
        self._sleep(len(seeds), 10, 0.3)
        return [self.crop(seed) for seed in seeds]

    def caption(self, pictures: Sequence[Pixels]) -> list[str]:
        """Return one caption for all."""
        self._sleep(len(pictures), 16, 0.1)
        return ["a photograph"] * len(pictures)

    def responses(
        self, pictures: Sequence[Pixels], layers: Sequence[str]
    ) -> dict[str, NDArray[np.float32]]:
        """Return the mean of each picture as the response of every neuron."""
        self._sleep(len(pictures), 32, 0.1)
        return {layer: np.ones((len(pictures), 96), np.float32) for layer in layers}

    def embed_pictures(self, pictures: Sequence[Pixels]) -> NDArray[np.float32]:
        """Return the same unit vector for every picture."""
        self._sleep(len(pictures), 32, 0.1)
        return np.full((len(pictures), 4), 0.5, np.float32)

    def crop(self, seed: int) -> Pixels:
        """Return 512 x 512 pixels of a photograph, from a place that `seed` says."""
        top, left = seed // 2 % 300, seed // 7 % 500
        return self._photographs[seed % 2][top : top + SIDE, left : left + SIDE]

    def _sleep(self, count: int, batch: int, seconds: float) -> None:
        wanted = -(-count // batch) * seconds / self.speed
        started = time.perf_counter()
        time.sleep(wanted)
        self.slept += time.perf_counter() - started


@contextmanager
def sleeping_lab(workspace: Path, speed: float) -> Iterator[tuple[Lab, Sleeper]]:
    """Hand over a lab over an empty workspace, whose every engine is one sleeper."""
    sleeper = Sleeper(speed)
    real = opening.open_engine

    @contextmanager
    def asleep(*_: Any) -> Iterator[Sleeper]:
        yield sleeper

    opening.open_engine = asleep
    images = workspace / "images"
    images.mkdir()
    config = make_config(
        "pocket",
        options={
            "pictures": {"size": SIDE, "batch": 10, "count": 10},
            "probe": {"sets": [str(images)], "chunk": CHUNK},
        },
    )
    execution = Execution(workspace=workspace, weights=default_root(), data=default_data())
    lab = Lab(config, execution)
    try:
        yield lab, sleeper
    finally:
        lab.close()
        opening.open_engine = real


def busy_share(lab: Lab, sleeper: Sleeper, stage: Stage[Any], items: Sequence[Item]) -> float:
    """Return the share of a stage's time in which its engines are busy."""
    groups = list(stage.batches(lab.config, items))
    sleeper.slept, started = 0.0, time.perf_counter()
    make_parts(stage, lab, groups, lambda done: None)
    return sleeper.slept / (time.perf_counter() - started)


def prepare(lab: Lab, sleeper: Sleeper, neurons: int, concepts: Sequence[str]) -> list[Item]:
    """Write exemplars and candidates of neurons of a layer; candidates go round the concepts."""
    items = []
    for index in range(neurons):
        neuron = Neuron("pocket", LAYER, index)
        items.append(Item.of_neuron(neuron))
        seeds = range(index * EXEMPLAR_COUNT, (index + 1) * EXEMPLAR_COUNT)
        seen = lab.blobs.put_all([sleeper.crop(seed % 200) for seed in seeds])
        exemplars = tuple(Exemplar(0, "photograph", None, 1.0, blob) for blob in seen)
        EXEMPLARS.parts(lab).write(items[-1].name, Exemplars(neuron, exemplars))
        texts = [concepts[(CANDIDATES * index + i) % len(concepts)] for i in range(CANDIDATES)]
        candidates = tuple(Candidate(text, text, i) for i, text in enumerate(texts))
        CONCEPTS.parts(lab).write(items[-1].name, Concepts(neuron, candidates, (), ()))
    return items


def measure(
    workspace: Path,
    concepts: int = CONCEPTS_PAINTED,
    neurons: int = NEURONS,
    images: int = IMAGES,
    speed: float = 1.0,
) -> dict[str, float]:
    """Return the busy share of the target over the probe set, captioner, painter and scorer.

    Args:
        workspace: an empty folder.
        concepts: how many are painted, ten pictures each.
        neurons: how many are captioned and scored.
        images: in the probe set.
        speed: of the engines, 1 for the durations above.
    """
    with sleeping_lab(workspace, speed) as (lab, sleeper):
        for number in range(images):
            picture = Image.fromarray(sleeper.crop(number))
            picture.save(workspace / "images" / f"{number:05d}.jpg", quality=90)
        chunks = [Item.of_chunk(LAYER, i) for i in range(lab.chunks)]
        texts = [f"concept {number}" for number in range(concepts)]
        items = prepare(lab, sleeper, neurons, texts)
        blocks = picture_blocks(lab.config, texts)
        return {
            "probe pass": busy_share(lab, sleeper, RESPONSES, chunks),
            "captioner": busy_share(lab, sleeper, CAPTIONS, items),
            "painter": busy_share(lab, sleeper, PICTURES, blocks),
            "scorer": busy_share(lab, sleeper, SCORES, items),
        }


def main() -> None:
    """Print the busy shares as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--concepts", type=int, default=CONCEPTS_PAINTED)
    parser.add_argument("--neurons", type=int, default=NEURONS)
    parser.add_argument("--images", type=int, default=IMAGES)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        shares = measure(Path(scratch), given.concepts, given.neurons, given.images)
    print(json.dumps({name: round(share, 3) for name, share in shares.items()}))


if __name__ == "__main__":
    main()
