"""Measure shortcuts against a redraw of the whole, on the embedded network, with forced rivals.

Most neurons of the embedded network have a single candidate, which any shortcut would find. So each
neuron gets as rivals the concepts of other neurons that excite it most, chosen on pictures that
nothing else is measured on. The winner by `topk-compare` over one draw of ten pictures a concept is
the answer. A second draw of all pictures agrees with it only part of the time: that is the redraw
noise. A shortcut that agrees as often as a redraw costs nothing that can be measured. Shortcuts:

- fewer steps, on fresh seeds as the redraw;
- racing: four pictures a candidate, then those that win fewer than one resampling in twenty are
  dropped; six, and again; ten for those that are left, unless one is left. On the same pictures as
  the answer, and on those of the redraw::

    python scripts/bench/shortcuts.py --workspace DIR
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dnd_local.core.config import Execution
from dnd_local.core.ranking import score_candidates
from dnd_local.core.sequences import distinct
from dnd_local.evaluate.intervals import bootstrap_mean
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.making import make_parts
from dnd_local.pipeline.plan import CONCEPTS, EXEMPLARS, PICTURES
from dnd_local.pipeline.race_rounds import picture_blocks
from dnd_local.pipeline.runner import dissect_neurons
from dnd_local.pipeline.selection import Selection
from dnd_local.pipeline.settings import default_data, make_config
from dnd_local.pipeline.stage import Item
from dnd_local.stages.pictures import join_blocks
from dnd_local.store.weights import default_root

LAYER: Final = "layer4"
RIVALS: Final = 4
BETA: Final = 5
ROUNDS: Final = (4, 6)
"""Pictures of each candidate after which the hopeless are dropped."""
RESAMPLINGS: Final = 200
HOPELESS: Final = 0.05

ANSWER, REDRAW, CHOOSING = {"seed": 0}, {"seed": 1}, {"seed": 2}


@dataclass(frozen=True, slots=True, eq=False)
class Draw:
    """One draw of pictures: for each concept, over its pictures, the responses of every neuron,
    (n_pictures, n_neurons), and the embeddings, (n_pictures, dimensions)."""

    responses: Mapping[str, NDArray[np.float32]]
    embeddings: Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True, eq=False)
class Contest:
    """A neuron and its candidates; `centre` is the mean embedding of its exemplars."""

    index: int
    texts: Sequence[str]
    centre: NDArray[np.float32]

    def values(self, draw: Draw, count: int) -> tuple[list[list[float]], list[list[float]]]:
        """Return responses and cosines of the first `count` pictures of each candidate."""
        return (
            [draw.responses[text][:count, self.index].tolist() for text in self.texts],
            [(draw.embeddings[text][:count] @ self.centre).tolist() for text in self.texts],
        )

    def winner(self, draw: Draw, count: int = 10) -> str:
        """Return the candidate of highest `topk-compare`."""
        return self.texts[best(*self.values(draw, count))]

    def race(self, draw: Draw) -> tuple[str, int]:
        """Return the winner of the race and how many pictures it took."""
        rng = np.random.default_rng(self.index)
        running, painted, before = list(range(len(self.texts))), 0, 0
        for count in (*ROUNDS, 10):
            if len(running) == 1:
                break
            painted += len(running) * (count - before)
            before = count
            if count < 10:
                running = self._still_running(draw, running, count, rng)
        finalists = Contest(self.index, [self.texts[i] for i in running], self.centre)
        return finalists.winner(draw), painted

    def _still_running(
        self, draw: Draw, running: list[int], count: int, rng: np.random.Generator
    ) -> list[int]:
        responses, cosines = self.values(draw, count)
        wins = np.zeros(len(self.texts))
        for _ in range(RESAMPLINGS):
            drawn = rng.integers(0, count, (len(running), count))
            won = best(
                [
                    [responses[i][j] for j in chosen]
                    for i, chosen in zip(running, drawn, strict=True)
                ],
                [[cosines[i][j] for j in chosen] for i, chosen in zip(running, drawn, strict=True)],
                max(1, BETA * count // 10),
            )
            wins[running[won]] += 1
        return [i for i in running if wins[i] >= HOPELESS * RESAMPLINGS]


def best(
    responses: Sequence[Sequence[float]], cosines: Sequence[Sequence[float]], beta: int = BETA
) -> int:
    """Return the place of the candidate of highest `topk-compare`; the first of equals."""
    scored = score_candidates([""] * len(responses), responses, cosines, beta)
    return int(np.argmax([candidate.topk_compare for candidate in scored]))


def paint(execution: Execution, concepts: Sequence[str], options: dict[str, Any]) -> Draw:
    """Return a draw of ten pictures of each concept under the preset and `options`."""
    config = make_config("pocket", options=options)
    lab = Lab(config, execution)
    try:
        blocks = PICTURES.missing(lab, picture_blocks(config, concepts))
        make_parts(PICTURES, lab, list(PICTURES.batches(config, blocks)), lambda done: None)
        parts = join_blocks(PICTURES.read(lab, picture_blocks(config, concepts)))
        lab.keep(())
        pixels = [lab.blobs.get(picture.blob) for part in parts for picture in part.pictures]
        responses = lab.target.responses(pixels, [LAYER])[LAYER]
        embeddings = lab.embedder.embed_pictures(pixels)
    finally:
        lab.close()
    size = config.pictures.count
    rows = {part.concept: slice(i * size, (i + 1) * size) for i, part in enumerate(parts)}
    return Draw(
        {text: responses[span] for text, span in rows.items()},
        {text: embeddings[span] for text, span in rows.items()},
    )


def contests(execution: Execution) -> tuple[list[Contest], list[str], Draw]:
    """Return a contest a neuron with forced rivals, all concepts, and the answers' draw."""
    config = make_config("pocket")
    result = dissect_neurons(config, execution, Selection((LAYER,)))
    lab = Lab(config, execution)
    neurons = [description.neuron for description in result.descriptions if description.labels]
    items = [Item.of_neuron(neuron) for neuron in neurons]
    own_texts = [[c.text for c in part.candidates] for part in CONCEPTS.read(lab, items)]
    concepts = distinct(text for texts in own_texts for text in texts)
    exemplars = EXEMPLARS.read(lab, items)
    seen = [lab.blobs.get(one.blob) for part in exemplars for one in part.exemplars]
    vectors = lab.embedder.embed_pictures(seen)
    lab.close()
    answers = paint(execution, concepts, ANSWER)
    choosing = paint(execution, concepts, CHOOSING)
    contested, first = [], 0
    for neuron, texts, part in zip(neurons, own_texts, exemplars, strict=True):
        centre = vectors[first : first + len(part.exemplars)].mean(axis=0)
        first += len(part.exemplars)
        others = [text for text in concepts if text not in texts]
        others.sort(key=lambda text: -float(choosing.responses[text][:, neuron.index].mean()))
        rivals = others[: max(0, RIVALS + 1 - len(texts))]
        contested.append(Contest(neuron.index, [*texts, *rivals], centre))
    return contested, concepts, answers


def measure(execution: Execution, steps: Sequence[int]) -> dict[str, Any]:
    """Return the share of neurons whose winner is the answer's, for a redraw and each shortcut."""
    asked, concepts, answers = contests(execution)
    right = [contest.winner(answers) for contest in asked]

    def agreement(winners: Sequence[str]) -> dict[str, Any]:
        return asdict(bootstrap_mean([float(a == b) for a, b in zip(winners, right, strict=True)]))

    redraw = paint(execution, concepts, REDRAW)
    figures: dict[str, Any] = {
        "neurons": len(asked),
        "concepts": len(concepts),
        "candidates_a_neuron": float(np.mean([len(contest.texts) for contest in asked])),
        "redraw": agreement([contest.winner(redraw) for contest in asked]),
    }
    whole = sum(10 * len(contest.texts) for contest in asked)

    def raced(draw: Draw) -> dict[str, Any]:
        races = [contest.race(draw) for contest in asked]
        share = sum(painted for _, painted in races) / whole
        return {**agreement([winner for winner, _ in races]), "share_of_pictures": share}

    figures["racing, same pictures"] = raced(answers)
    figures["racing, redraw"] = raced(redraw)
    for number in steps:
        draw = paint(execution, concepts, {**REDRAW, "pictures": {"steps": number}})
        figures[f"{number} steps"] = agreement([contest.winner(draw) for contest in asked])
        figures[f"racing, {number} steps"] = raced(draw)
    return figures


def main() -> None:
    """Print every figure as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--steps", type=int, nargs="*", default=[12, 8, 4])
    given = parser.parse_args()
    execution = Execution(
        workspace=given.workspace, weights=default_root(), data=default_data()
    )  # fmt: skip
    print(json.dumps(measure(execution, given.steps), indent=2))


if __name__ == "__main__":
    main()
