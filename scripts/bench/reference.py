"""Measure a run against the released control flow on the same engines, on the embedded network.

The reference handles one neuron after the other as the released code does: the target is loaded
three times and CLIP once a neuron, ten pictures are painted a call, every forward and every
question to the language model is one by itself, and no neuron shares a picture. Pictures stay in
memory. Stages, engines, settings and seeds are those of an ordinary run, and so are the labels::

    python scripts/bench/reference.py --neurons 16 64

Both read responses from one pass over the probe set, which is timed apart and added to neither.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
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
from dnd_local.pipeline.plan import responses_of
from dnd_local.pipeline.runner import dissect_neurons, triage_layers
from dnd_local.pipeline.selection import Selection
from dnd_local.pipeline.settings import default_data, make_config
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

    def put_all(self, pictures: Sequence[NDArray[np.uint8]]) -> list[BlobId]:
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


def compare(config: Config, execution: Execution, count: int) -> dict[str, Any]:
    """Return seconds, pictures and labels of both for the first `count` neurons of the layer."""
    clock = Clock()
    (triage,) = triage_layers(config, execution, (LAYER,))
    probe = clock.lap()
    live = [neuron.index for neuron in triage.neurons if neuron.verdict == "live"][:count]
    result = dissect_neurons(config, execution, Selection((LAYER,), tuple(live)))
    ours = clock.lap()
    reference = Reference(Lab(config, execution), config)
    labels = [reference.label(index) for index in live]
    reference.close()
    theirs = clock.lap()
    same = [
        description.labels[0].text == label
        for description, label in zip(result.descriptions, labels, strict=True)
        if description.labels
    ]
    pictures = sum(1 for _ in (execution.workspace / "artefacts").glob("pictures-*/*-*-*.json"))
    return {
        "neurons": len(live),
        "seconds": {"probe": probe[0], "run": ours[0], "reference": theirs[0]},
        "cpu_seconds": {"probe": probe[1], "run": ours[1], "reference": theirs[1]},
        "times_as_fast": theirs[0] / ours[0],
        "times_less_cpu": theirs[1] / ours[1],
        "stages": result.record.seconds,
        "blocks_of_two_painted": pictures,
        "pictures_of_the_reference": reference.pictures,
        "same_first_label": sum(same),
    }


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
    parser.add_argument("--steps", type=int, default=0, help="of the painter; 0: the preset's")
    given = parser.parse_args()
    pictures = {"steps": given.steps} if given.steps else {}
    config = make_config("pocket", options={"pictures": pictures})
    for count in given.neurons:
        with tempfile.TemporaryDirectory() as scratch:
            execution = Execution(
                workspace=Path(scratch), weights=default_root(), data=default_data()
            )
            print(json.dumps(compare(config, execution, count)), flush=True)


if __name__ == "__main__":
    main()
