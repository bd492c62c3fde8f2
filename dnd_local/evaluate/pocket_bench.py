"""The bench of the pocket pack: each embedded model alone, then the whole method on known truth.

Every figure is a mean with its 95 % bootstrap interval.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np

from dnd_local.core.config import Config, Execution, NetworkConfig
from dnd_local.core.ranking import best_labels
from dnd_local.core.records import (
    RULES,
    Candidate,
    Captions,
    Concepts,
    Neuron,
    Pixels,
    Rule,
    Scores,
)
from dnd_local.core.sequences import distinct
from dnd_local.engines import registry
from dnd_local.evaluate.intervals import bootstrap_mean
from dnd_local.evaluate.planted_truth import TargetTruth, read_truth
from dnd_local.evaluate.pocket_figures import (
    Figures,
    canonical,
    oddity_figures,
    read_oddities,
    truth_figures,
)
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.plan import CAPTIONS, EXEMPLARS, PICTURES, SCORES
from dnd_local.pipeline.race_rounds import picture_blocks
from dnd_local.pipeline.runner import dissect_neurons as dissect
from dnd_local.pipeline.selection import Selection
from dnd_local.pipeline.session import Progress, Session, open_session
from dnd_local.pipeline.settings import make_config
from dnd_local.pipeline.stage import Item
from dnd_local.pocket import captions as grammar
from dnd_local.pocket import words, world
from dnd_local.stages.concepts import conceive
from dnd_local.stages.phrases import simplify
from dnd_local.stages.pictures import join_blocks
from dnd_local.stages.scores import score

TARGET, ODD = "pocket", "pocket-odd"
JUDGE = "pocket-judge"
CAPTIONED = 500
"""Held-out pictures that are captioned."""
PAINTED = 100
"""Pictures painted of combinations that the painter has never seen."""
LISTED = 4
"""Held-out caption lists a concept."""
DECOYS = 4
AT_ONCE = 8
"""Neurons that are scored together: their pictures are in memory at the same time."""


def run_bench(execution: Execution, progress: Progress | None = None, seed: int = 0) -> Figures:
    """Return every figure of the bench by its dotted name.

    Args:
        execution: where it is computed; its workspace keeps all parts, so a second bench is fast.
        progress: who is told how far it is.
        seed: of held-out choices and intervals.

    Raises:
        MissingWeights: a model of the pack is not there.
    """
    config = make_config(TARGET)
    lab = Lab(config, execution, execution.devices[0])
    truth = read_truth(lab, TARGET)
    figures: Figures = {}
    try:
        figures |= caption_figures(lab, seed)
        figures |= picture_figures(lab, seed)
        figures |= label_figures(lab, seed)
    finally:
        lab.close()
    descriptions = {}
    for layer in ("fc", "layer4"):
        chosen = Selection((layer,), tuple(truth.known(layer)))
        result = dissect(config, execution, chosen, f"bench-{layer}", progress)
        descriptions[layer] = result.descriptions
    figures |= truth_figures(descriptions, truth, seed)
    figures |= selection_figures(config, execution, truth, progress, seed)
    figures |= planted_figures(execution, progress, seed)
    return figures


# ---- each model alone --------------------------------------------------------------------------


def caption_figures(lab: Lab, seed: int) -> Figures:
    """Return how often a caption of a held-out picture names what it shows, all of it."""
    shown = [world.picture(world.HELD_OUT_SEED, index) for index in range(CAPTIONED)]
    texts = lab.captioner.caption([np.asarray(image, dtype=np.uint8) for image, _ in shown])
    checks = [
        grammar.named_exactly(text, attributes)
        for text, (_, attributes) in zip(texts, shown, strict=True)
    ]
    kinds: tuple[words.Kind, ...] = ("object", "colour", "pattern")
    return {
        f"captions.{kind}": bootstrap_mean([float(check[kind]) for check in checks], seed)
        for kind in kinds
    }


def picture_figures(lab: Lab, seed: int) -> Figures:
    """Return how often a judge finds in a painted picture what was asked for.

    The combinations are those that the painter has never seen; the judge is a classifier trained
    apart from the target, whose own figures on held-out pictures come first.
    """
    rng = random.Random(seed)
    combinations = list(world.held_out_combinations())
    rng.shuffle(combinations)
    asked = [combinations[i % len(combinations)] for i in range(PAINTED)]
    labels = [f"a {name} on a {grammar.ground(c, p)}" for name, c, p in asked]
    prompts = [lab.prompts.messages("picture", label=text)[-1].text for text in labels]
    painted = lab.painter.paint(prompts, [rng.randrange(2**31) for _ in prompts])
    real = [world.picture(world.HELD_OUT_SEED, CAPTIONED + i) for i in range(CAPTIONED)]
    single = [(np.asarray(i, dtype=np.uint8), a) for i, a in real if len(a.objects) == 1]
    figures = {}
    for name, pictures, truth in (
        ("judge", [p for p, _ in single], [(a.objects[0], a.colour, a.pattern) for _, a in single]),
        ("pictures", painted, asked),
    ):
        seen = _judged(lab, pictures)
        for place, kind in enumerate(("object", "colour", "pattern")):
            right = [float(s[place] == t[place]) for s, t in zip(seen, truth, strict=True)]
            figures[f"{name}.{kind}"] = bootstrap_mean(right, seed)
    return figures


def _judged(lab: Lab, pictures: Sequence[Pixels]) -> list[tuple[str, str, str]]:
    """Return the (object, colour, pattern) that the judge sees in each picture."""
    concepts = words.vocabulary().concepts()
    settings = NetworkConfig(name=JUDGE)
    folder = lab.weights.folder(JUDGE)
    with registry.open_target(settings, folder, lab.execution.devices) as judge:
        logits = judge.responses(pictures, ["fc"])["fc"]
    columns = {
        kind: [i for i, concept in enumerate(concepts) if concept.kind == kind]
        for kind in ("object", "colour", "pattern")
    }
    seen = []
    for row in logits:
        best = [members[int(row[members].argmax())] for members in columns.values()]
        seen.append((concepts[best[0]].name, concepts[best[1]].name, concepts[best[2]].name))
    return seen


def label_figures(lab: Lab, seed: int) -> Figures:
    """Return how often the language model names the concept that held-out captions share."""
    rng = random.Random(f"lists {seed}")
    asked: list[words.Concept] = []
    batch: list[Captions] = []
    for concept in words.vocabulary().concepts():
        for _ in range(LISTED):
            captions = [grammar.full_caption(a, rng) for a in _showing(concept, 10, rng)]
            batch.append(Captions(Neuron("lists", "captions", len(batch)), tuple(captions)))
            asked.append(concept)
    config = lab.config
    one = msgspec.structs.replace(config.concepts, count=1, max_draws=1)
    phrases = simplify(batch, lab.language_model, lab.prompts, config.llm, seed)
    conceived = conceive(phrases, lab.language_model, lab.prompts, config.llm, one, seed)
    texts = [concepts.candidates[0].text if concepts.candidates else "" for concepts in conceived]
    known = words.all_words()
    right = [
        float(known.answer(text, concept.name) == "right")
        for text, concept in zip(texts, asked, strict=True)
    ]
    short = [float(0 < len(text.split()) <= config.concepts.max_words) for text in texts]
    return {
        "labels.right": bootstrap_mean(right, seed),
        "labels.short": bootstrap_mean(short, seed),
    }


def _showing(concept: words.Concept, count: int, rng: random.Random) -> Iterable[world.Attributes]:
    """Return the attributes of held-out pictures that show a concept."""
    shown = 0
    index = rng.randrange(10**6) * 10**4
    while shown < count:
        _, attributes = world.picture(world.HELD_OUT_SEED, index)
        index += 1
        if concept in attributes.concepts():
            shown += 1
            yield attributes


# ---- the method --------------------------------------------------------------------------------


def planted_figures(execution: Execution, progress: Progress | None, seed: int) -> Figures:
    """Return whether the second target's oddities were handled, by describing them."""
    config = make_config(ODD)
    lab = Lab(config, execution, execution.devices[0])
    odd = read_oddities(lab, ODD)
    chosen = Selection(("layer4",), odd.neurons())
    result = dissect(config, execution, chosen, "bench-odd", progress)
    costly = []
    for index in odd.silent():
        item = Item.of_neuron(Neuron(config.network.name, "layer4", index)).name
        if any(not stage.parts(lab).missing([item]) for stage in (CAPTIONS, SCORES)):
            costly.append(index)
    return oddity_figures(result.descriptions, odd, costly, seed)


def selection_figures(
    config: Config,
    execution: Execution,
    truth: TargetTruth,
    progress: Progress | None,
    seed: int,
) -> Figures:
    """Return how often each rule puts the true label before four decoys from the same world.

    Describing the neurons comes first: those without exemplars, as a duplicate is, are left out.
    """
    right: dict[Rule, list[float]] = {rule: [] for rule in RULES}
    rng = random.Random(f"decoys {seed}")
    with open_session(config, execution, ("fc", "layer4"), "bench-selection", progress) as session:
        for layer in ("fc", "layer4"):
            known = _with_exemplars(session.lab, layer, truth.known(layer))
            options = [_with_decoys(concept, rng) for concept in known.values()]
            for scored, concept in zip(
                _scored(session, layer, list(known), options), known.values(), strict=True
            ):
                for rule, values in right.items():
                    best = best_labels(scored.candidates, rule, 1)[0].text
                    values.append(float(best == canonical(concept)))
    return {f"selection.{rule}": bootstrap_mean(values, seed) for rule, values in right.items()}


def _with_exemplars(
    lab: Lab, layer: str, known: Mapping[int, words.Concept]
) -> dict[int, words.Concept]:
    files = {i: Item.of_neuron(Neuron(lab.config.network.name, layer, i)).name for i in known}
    missing = set(EXEMPLARS.parts(lab).missing(list(files.values())))
    return {i: concept for i, concept in known.items() if files[i] not in missing}


def _with_decoys(concept: words.Concept, rng: random.Random) -> list[str]:
    """Return a concept's plainest label among those of `DECOYS` others, in random order."""
    others = [other for other in words.vocabulary().concepts() if other != concept]
    options = [canonical(c) for c in (concept, *rng.sample(others, DECOYS))]
    rng.shuffle(options)
    return options


def _scored(
    session: Session, layer: str, neurons: Sequence[int], options: Sequence[Sequence[str]]
) -> Iterable[Scores]:
    """Yield the scores of each neuron's options, a few neurons at a time."""
    lab = session.lab
    texts = distinct(text for labels in options for text in labels)
    items = picture_blocks(lab.config, texts)
    session.make(PICTURES, items)
    pictures = {one.concept: one for one in join_blocks(PICTURES.read(lab, items))}
    batch = []
    for index, labels in zip(neurons, options, strict=True):
        neuron = Neuron(lab.config.network.name, layer, index)
        (exemplars,) = EXEMPLARS.read(lab, [Item.of_neuron(neuron)])
        batch.append(
            (exemplars, Concepts(neuron, tuple(Candidate(t, t, 0) for t in labels), (), ()))
        )
    for start in range(0, len(batch), AT_ONCE):
        yield from score(
            batch[start : start + AT_ONCE], pictures, lab.target, lab.embedder, lab.blobs,
            lab.config.scores.beta,
        )  # fmt: skip
