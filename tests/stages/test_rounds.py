"""Rounds of further candidates: who goes on, what is asked, what counts as new."""

from __future__ import annotations

import numpy as np

from dnd_local.core.config import ConceptsConfig
from dnd_local.core.ranking import score_candidates
from dnd_local.core.records import Candidate, Concepts, Neuron, Phrases, Scores
from dnd_local.stages.rounds import Tried, in_lines, refine
from tests.stages.scripted import Scripted
from tests.stages.world import LLM, SEED, neurons, prompts

NATURAL = np.arange(100.0)


def tried(
    neuron: Neuron, texts: tuple[str, ...] = ("red", "blue"), before: tuple[str, ...] | None = None
) -> Tried:
    """The first text excites most."""
    responses = [[90.5 - 30 * i] * 2 for i in range(len(texts))]
    scores = Scores(neuron, score_candidates(texts, responses, [[0.5] * 2] * len(texts), 2))
    last = None if before is None else Concepts(neuron, candidates(*before), (), ())
    phrases = Phrases(neuron, ("red square", "red dot"), ())
    return Tried(phrases, scores, last, ("a dog", "a dog"), (), NATURAL)


def candidates(*texts: str) -> tuple[Candidate, ...]:
    return tuple(Candidate(text, text, 0) for text in texts)


def run(model: Scripted, *batch: Tried, number: int = 0) -> list[list[str]]:
    config = ConceptsConfig(count=2, max_draws=4)
    found = refine(
        batch, model, prompts(), LLM, config, "topk-compare", SEED, number
    )  # fmt: skip
    assert [one.neuron for one in found] == [one.trial.neuron for one in batch]
    return [[candidate.text for candidate in one.candidates] for one in found]


def test_the_question_shows_what_was_tried_and_the_images_that_excite_less() -> None:
    model = Scripted("crimson", "scarlet")
    assert run(model, tried(neurons(0)[0])) == [["crimson", "scarlet"]]
    last = model.asked[0].messages[-1].text
    assert "tried:\nred: 91\nblue: 61" in last
    assert "cold:\na dog\ntried:" in last
    assert "half:\nnone\ncold:" in last
    assert {"red square", "red dot"} <= set(last.splitlines())


def test_what_was_tried_already_is_no_new_candidate() -> None:
    model = Scripted("blue", "Red.", "crimson", "blue")
    assert run(model, tried(neurons(0)[0])) == [["crimson"]]


def test_a_neuron_goes_on_while_a_round_gives_the_best_label() -> None:
    first, second, third = neurons(0, 1, 2)
    model = Scripted("crimson", "scarlet")
    batch = (
        tried(first, before=("red",)),  # its best came from the round before
        tried(second, before=("blue",)),  # what was proposed then is not the best
        tried(third, texts=(), before=None),  # nothing was ever usable
    )
    assert run(model, *batch, number=1) == [["crimson", "scarlet"], [], []]
    assert len(model.asked) == 2


def test_nobody_is_asked_where_no_neuron_goes_on() -> None:
    model = Scripted()
    assert run(model, tried(neurons(0)[0], before=()), number=1) == [[]]
    assert model.asked == []


def test_every_round_has_seeds_that_are_not_another_rounds() -> None:
    (neuron,) = neurons(0)
    asked = []
    for number in (0, 1):
        model = Scripted("crimson", "scarlet")
        run(model, tried(neuron, before=("red",)), number=number)
        asked += [request.seed for request in model.asked]
    assert len(set(asked)) == 4


def test_texts_stand_once_and_a_line_says_that_there_is_none() -> None:
    assert in_lines(["a", "b", "a"]) == "a\nb"
    assert in_lines([]) == "none"
