"""Runs written part by part, without any engine: for many neurons, and for hostile texts."""

from __future__ import annotations

import random

import numpy as np

from dnd_local.core.config import Config
from dnd_local.core.conversations import Exchange, Message, Reply, Request
from dnd_local.core.ranking import score_candidates
from dnd_local.core.records import (
    Box,
    Candidate,
    Captions,
    Concepts,
    Exemplar,
    Exemplars,
    LayerTriage,
    Neuron,
    Phrases,
    Picture,
    Pictures,
    Reject,
    Responses,
    Scores,
    Triage,
)
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.plan import (
    CAPTIONS,
    CONCEPTS,
    EXEMPLARS,
    PHRASES,
    PICTURES,
    RESPONSES,
    SCORES,
    TRIAGE,
)
from dnd_local.pipeline.reading import StoredRun
from dnd_local.pipeline.stage import Item
from dnd_local.store.runs import RunFolder
from tests.bench import Bench
from tests.fakes import flat

WORDS = (
    "red", "green", "blue", "striped", "spotted", "wooden", "furry", "shiny", "old", "wet",
    "dog", "cat", "bird", "car", "tree", "sky",
)  # fmt: skip
SCRIPT = "<script>document.title='owned'</script>"
HOSTILE = (
    SCRIPT,
    '"><img src=x onerror="document.title=\'owned\'">',
    "javascript:document.title='owned'",
    "'; --></style></title><b>bold</b> {{ 7 * 7 }} {% raw %}",
    "../../../etc/passwd",
)


def plain_label(neuron: int, draw: int) -> str:
    """Return a label of two words that depends on nothing but its arguments."""
    own = random.Random(neuron * 31 + draw)
    return f"{own.choice(WORDS[:10])} {own.choice(WORDS[10:])}"


def hostile_label(neuron: int, draw: int) -> str:
    """Return one of the texts that try to break out of a page."""
    return HOSTILE[(neuron + draw) % len(HOSTILE)]


def write_run(
    bench: Bench, count: int, name: str = "synthetic", layer: str = "colours", *,
    label=plain_label,
) -> StoredRun:  # fmt: skip
    """Write every part of a run of `count` live neurons of `layer`; the last one is dead."""
    config: Config = bench.config()
    lab = Lab(config, bench.execution())
    folder = RunFolder(bench.workspace, name)
    record = folder.extend(config, {layer: range(count)})
    generator = np.random.default_rng(0)
    for chunk in range(lab.chunks):
        rows = min(config.probe.chunk, len(lab.probe) - chunk * config.probe.chunk)
        values = generator.gamma(1.0, size=(rows, count)).astype(np.float16)
        part = Responses(layer, chunk * config.probe.chunk, values)
        RESPONSES.parts(lab).write(Item.of_chunk(layer, chunk).name, part)
    triage = tuple(
        Triage(i, "dead" if i == count - 1 else "live", 0.0, 1.0, 9.0, 1.0, 1.0)
        for i in range(count)
    )
    TRIAGE.parts(lab).write(layer, LayerTriage(layer, triage, len(lab.probe), 0))
    blobs = [lab.blobs.put(flat(i % 3, 60 + 9 * i)) for i in range(12)]
    grey = lab.blobs.put(np.arange(16, dtype=np.uint8).reshape(4, 4) * 17)
    for neuron in record.wanted()[: count - 1]:
        _write_neuron(lab, neuron, blobs, grey, label)
    return StoredRun(record, folder, lab)


def _write_neuron(lab: Lab, neuron: Neuron, blobs: list[str], grey: str, label) -> None:
    item, n = Item.of_neuron(neuron), neuron.index
    texts = list(dict.fromkeys(label(n, draw) for draw in range(3)))
    box = Box(1, 1, 6, 7)
    exemplars = tuple(
        Exemplar(
            image=i, name=f"{label(n, i)}.jpg", box=box if i == 2 else None,
            response=9.0 - i, blob=blobs[(n + i) % 12], map=grey, seen=Box(0, 0, 8, 8),
        )
        for i in range(5)
    )  # fmt: skip
    EXEMPLARS.parts(lab).write(item.name, Exemplars(neuron, exemplars, ((2, (box,)),)))
    captions = tuple(f"there is {label(n, i)}" for i in range(5))
    CAPTIONS.parts(lab).write(item.name, Captions(neuron, captions))
    request = Request((Message("system", "Shorten."), Message("user", captions[0])), 0.3, 7, 40)
    exchange = Exchange("simplify", 0, 0, request, Reply(texts[0]), texts[0])
    phrases = tuple(label(n, i) for i in range(5))
    PHRASES.parts(lab).write(item.name, Phrases(neuron, phrases, (exchange,)))
    concepts = Concepts(
        neuron,
        tuple(Candidate(text, text.upper(), draw) for draw, text in enumerate(texts)),
        (Reject(label(n, 1), "is not a bare label", 3),),
        (Exchange("summarise", 0, 0, request, Reply(texts[0]), "", "empty"),),
    )
    CONCEPTS.parts(lab).write(item.name, concepts)
    for text in texts:
        painted = tuple(Picture(blobs[(n + i) % 12], i) for i in range(2))
        own = Pictures(text, f"a picture of {text}", "select", painted)
        PICTURES.parts(lab).write(Item.of_block(text, 0, 2).name, own)
    responses = [[float(n % 5 + i), float(i)] for i in range(len(texts))]
    scored = score_candidates(texts, responses, [[0.5, 0.6]] * len(texts), 5)
    SCORES.parts(lab).write(item.name, Scores(neuron, scored))
