"""Measure shortcuts against a redraw of the whole, on the embedded network, with forced rivals.

Most neurons of the embedded network have a single candidate, which any shortcut would find. So each
neuron gets as rivals the concepts of other neurons that excite it most, chosen on pictures that
nothing else is measured on. The winner by `topk-compare` over one draw of ten pictures a concept is
the answer. A second draw of all pictures agrees with it only part of the time: that is the redraw
noise. A shortcut that agrees as often as a redraw costs nothing that can be measured. Shortcuts:

- fewer steps, on fresh seeds as the redraw;
- a race, by the code of `dissect --race`, from two, four and six pictures a candidate on: on the
  same pictures as the answer, and on those of the redraw, with all steps and with fewer::

    python scripts/bench/shortcuts.py --workspace DIR

Pictures of a race are counted for each neuron by itself, and as a run paints them: a concept that
several neurons share once, as often as the one that needs it most.
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
from dnd_local.core.racing import goes_on, judge_round, pictures_by_round, pictures_of_each
from dnd_local.core.ranking import best_labels, score_candidates
from dnd_local.core.records import Neuron, RaceRound, Scores
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
RULE: Final = "topk-compare"
BETA: Final = 5
WHOLE: Final = 10
FIRST: Final = (2, 4, 6)
"""Pictures of each candidate in the first round of a race."""

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

    def scores(self, draw: Draw, counts: Mapping[str, int]) -> Scores:
        """Return the scores of the first `counts` pictures of each candidate."""
        neuron, texts = Neuron("pocket", LAYER, self.index), self.texts
        responses = [draw.responses[t][: counts[t], self.index].tolist() for t in texts]
        cosines = [(draw.embeddings[t][: counts[t]] @ self.centre).tolist() for t in texts]
        return Scores(neuron, score_candidates(texts, responses, cosines, BETA, whole=WHOLE))

    def winner(self, draw: Draw) -> str:
        """Return the candidate that scores best on all pictures."""
        scores = self.scores(draw, dict.fromkeys(self.texts, WHOLE))
        return best_labels(scores.candidates, RULE, 1)[0].text

    def race(self, draw: Draw, first: int) -> tuple[str, dict[str, int]]:
        """Return the winner of a race from `first` pictures on, and each candidate's pictures."""
        by_round, rounds = pictures_by_round(first, WHOLE), list[RaceRound]()
        while True:
            counts = pictures_of_each(self.texts, rounds, by_round)
            scores = self.scores(draw, counts)
            if len(rounds) == len(by_round) - 1 or not goes_on(self.texts, rounds):
                return best_labels(scores.candidates, RULE, 1)[0].text, counts
            running = rounds[-1].running if rounds else self.texts
            rounds.append(judge_round(scores, running, RULE, BETA, WHOLE, 0))


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
    whole = sum(WHOLE * len(contest.texts) for contest in asked)

    def raced(draw: Draw, first: int) -> dict[str, Any]:
        races = [contest.race(draw, first) for contest in asked]
        most: dict[str, int] = {}
        for _, counts in races:
            for text, count in counts.items():
                most[text] = max(count, most.get(text, 0))
        return {
            **agreement([winner for winner, _ in races]),
            "share_of_pictures": sum(sum(counts.values()) for _, counts in races) / whole,
            "share_painted": sum(most.values()) / (WHOLE * len(most)),
        }

    for first in FIRST:
        figures[f"race from {first}, same pictures"] = raced(answers, first)
        figures[f"race from {first}, redraw"] = raced(redraw, first)
    for number in steps:
        draw = paint(execution, concepts, {**REDRAW, "pictures": {"steps": number}})
        figures[f"{number} steps"] = agreement([contest.winner(draw) for contest in asked])
        for first in FIRST:
            figures[f"race from {first}, {number} steps"] = raced(draw, first)
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
