"""Measure a run against the released control flow on the same engines, on the embedded network.

The reference handles one neuron after the other as the released code does: the target is loaded
three times and CLIP once a neuron, ten pictures are painted a call, every forward and every
question to the language model is one by itself, and no neuron shares a picture. Pictures stay in
memory. Stages, engines, settings and seeds are those of an ordinary run, and so are the labels::

    python scripts/bench/reference.py --neurons 16 64

Beside the run with the reference's settings there are runs with shortcuts, each in a workspace of
its own: a race, a race with 8 of 20 steps (two fifths, as `fast` of 50), one with 4 (as `draft`).
Responses come from a pass over the probe set, which is timed apart and added to none.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from dnd_local.core.config import Config, Execution
from dnd_local.core.conversations import Reply, Request
from dnd_local.core.protocols import LanguageModel, Target
from dnd_local.core.ranking import best_labels
from dnd_local.core.records import BlobId, Neuron, Pixels
from dnd_local.pipeline import opening
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.plan import PICTURES, responses_of
from dnd_local.pipeline.runner import dissect_neurons, triage_layers
from dnd_local.pipeline.selection import Selection
from dnd_local.pipeline.settings import default_data, make_config
from dnd_local.pipeline.stage import Asked
from dnd_local.stages.captions import caption
from dnd_local.stages.concepts import conceive
from dnd_local.stages.exemplars import exemplify, top_images
from dnd_local.stages.phrases import simplify
from dnd_local.stages.pictures import paint
from dnd_local.stages.scores import score
from dnd_local.store.weights import default_root

LAYER = "layer4"
PICTURES_A_CALL = 10


class MemoryBlobs:
    """`Blobs` in a dictionary."""

    def __init__(self) -> None:
        self._kept: dict[BlobId, Pixels] = {}

    def put(self, pixels: NDArray[np.uint8]) -> BlobId:
        name = hashlib.sha256(pixels.tobytes()).hexdigest()
        self._kept[name] = pixels if pixels.ndim == 3 else np.stack([pixels] * 3, axis=-1)
        return name

    def get(self, blob: BlobId) -> Pixels:
        return self._kept[blob]

    def put_all(self, pictures: Sequence[NDArray[np.uint8]], quality: int = 0) -> list[BlobId]:
        return [self.put(picture) for picture in pictures]

    def get_all(self, blobs: Sequence[BlobId]) -> list[Pixels]:
        return [self.get(blob) for blob in blobs]


class OneByOne:
    """A language model that is asked one question at a time."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model

    def reply(self, requests: Sequence[Request]) -> list[Reply]:
        return [self._model.reply([request])[0] for request in requests]


class Reference:
    """The released control flow.

    Args:
        lab: where the responses of the layer lie.
        rest: the settings of an ordinary run.
    """

    def __init__(self, lab: Lab, config: Config) -> None:
        self._responses = lab
        alone = {
            part: msgspec.structs.replace(getattr(config, part), batch=1)
            for part in ("network", "captions", "llm", "clip")
        }
        ten = msgspec.structs.replace(config.pictures, batch=PICTURES_A_CALL)
        self._lab = Lab(msgspec.structs.replace(config, **alone, pictures=ten), lab.execution)
        self.pictures = 0

    def label(self, index: int) -> str:
        """Return a neuron's best label."""
        lab, config, blobs = self._lab, self._lab.config, MemoryBlobs()
        neuron = Neuron(config.network.name, LAYER, index)
        with self._opened("target"):
            top = top_images(
                responses_of(self._responses, LAYER), [index], config.exemplars.images, lab.eligible
            )
        with self._opened("target") as target:
            seen = exemplify([neuron], top, target, lab.probe, blobs, config.exemplars)
        captions = caption(seen, lab.captioner, blobs)
        model = OneByOne(lab.language_model)
        phrases = simplify(captions, model, lab.prompts, config.llm, config.seed, config.ledger)
        concepts = conceive(
            phrases, model, lab.prompts, config.llm, config.concepts, config.seed, config.ledger
        )
        painted = {}
        for candidate in concepts[0].candidates:
            block = (candidate.text, range(config.pictures.count))
            (painted[candidate.text],) = paint(
                [block], lab.painter, lab.prompts, blobs, config.seed
            )
            self.pictures += config.pictures.count
        pairs = list(zip(seen, concepts, strict=True))
        with self._opened("target") as target, self._opened("embedder") as embedder:
            (scores,) = score(pairs, painted, target, embedder, blobs, config.scores.beta)
        labels = best_labels(scores.candidates, config.scores.rule, 1)
        return labels[0].text if labels else ""

    def close(self) -> None:
        """Let go of captioner, language model and painter."""
        self._lab.close()

    @contextmanager
    def _opened(self, role: Any) -> Iterator[Any]:
        """Load a model anew; of the target, find its layers, as its first use does."""
        lab = self._lab
        with opening.open_engine(role, lab.config, lab.execution, lab.weights, "cpu") as engine:
            if isinstance(engine, Target):
                engine.layers()
            yield engine


def compare(
    config: Config, execution: Execution, count: int, shortcuts: Mapping[str, Config]
) -> dict[str, Any]:
    """Return seconds, pictures and labels for the first `count` neurons of the layer.

    Args:
        config: the settings of the reference and of the exact run.
        execution: where; each run gets a folder of its workspace.
        count: how many neurons.
        shortcuts: the settings of further runs by name.
    """
    first = _inside(execution, "exact")
    (triage,) = triage_layers(config, first, (LAYER,))
    live = [neuron.index for neuron in triage.neurons if neuron.verdict == "live"][:count]
    clock = Clock()
    reference = Reference(Lab(config, first), config)
    labels = [reference.label(index) for index in live]
    reference.close()
    wall, cpu = clock.lap()
    runs = {"exact": config, **shortcuts}
    return {
        "neurons": len(live),
        "reference": {"seconds": wall, "cpu_seconds": cpu, "pictures": reference.pictures},
        **{
            name: _run(settings, _inside(execution, name), live, labels, (wall, cpu))
            for name, settings in runs.items()
        },
    }


def _run(
    config: Config,
    execution: Execution,
    live: Sequence[int],
    labels: Sequence[str],
    theirs: tuple[float, float],
) -> dict[str, Any]:
    """Return the figures of one run beside the reference's labels and its seconds, wall and CPU."""
    triage_layers(config, execution, (LAYER,))
    clock = Clock()
    result = dissect_neurons(config, execution, Selection((LAYER,), tuple(live)))
    wall, cpu = clock.lap()
    same = [
        description.labels[0].text == label
        for description, label in zip(result.descriptions, labels, strict=True)
        if description.labels
    ]
    lab = Lab(config, execution)
    items = PICTURES.items(lab, Asked((LAYER,), result.record.wanted()))
    return {
        "seconds": wall,
        "cpu_seconds": cpu,
        "times_as_fast": theirs[0] / wall,
        "times_less_cpu": theirs[1] / cpu,
        "stages": result.record.seconds,
        "pictures": sum(item.count for item in items),
        "same_first_label": sum(same),
    }


def _inside(execution: Execution, name: str) -> Execution:
    return msgspec.structs.replace(execution, workspace=execution.workspace / name)


class Clock:
    """Seconds since it was last asked, of the wall and of this process on all its cores."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def lap(self) -> tuple[float, float]:
        wall, cpu = time.perf_counter(), time.process_time()
        passed = wall - self._wall, cpu - self._cpu
        self._wall, self._cpu = wall, cpu
        return passed


def main() -> None:
    """Print one JSON line for each number of neurons."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--neurons", type=int, nargs="+", default=[16, 64])
    given = parser.parse_args()
    config = make_config("pocket")
    shortcuts = {
        name: make_config("pocket", options={"scores": {"race": race}, "pictures": pictures})
        for name, race, pictures in (
            ("race 4", 4, {}),
            ("race 4, 8 steps", 4, {"steps": 8}),
            ("race 2, 4 steps", 2, {"steps": 4}),
        )
    }
    for count in given.neurons:
        with tempfile.TemporaryDirectory() as scratch:
            execution = Execution(
                workspace=Path(scratch), weights=default_root(), data=default_data()
            )
            print(json.dumps(compare(config, execution, count, shortcuts)), flush=True)


if __name__ == "__main__":
    main()
