"""Phrases: one a caption, shared captions asked about once, the caption where nothing else."""

from __future__ import annotations

from hypothesis import given

from dnd_local.core.conversations import Reply
from dnd_local.core.ledger import RELEASED
from dnd_local.core.records import Captions
from dnd_local.stages.phrases import simplify
from tests.fakes import Calls, FakeLanguageModel
from tests.stages.scripted import Answering, Scripted
from tests.stages.world import LLM, SEED, in_batches, neurons, prompts, splits, world


def captions(*texts: str, neuron: int = 0) -> Captions:
    return Captions(neurons(neuron)[0], texts)


def test_each_caption_has_its_phrase() -> None:
    model = Answering(lambda request: request.messages[-1].text.split()[-1])
    (found,) = simplify([captions("a red cat", "a dog", "a red cat")], model, prompts(), LLM, SEED)
    assert found.texts == ("cat", "dog", "cat")
    assert len(model.asked) == 2
    assert len(found.exchanges) == 2
    assert model.asked[0].messages == prompts().messages("simplify", caption="a red cat")


def test_a_caption_that_two_neurons_have_is_asked_about_once() -> None:
    model = Scripted("cat")
    batch = [captions("a red cat"), captions("a red cat", neuron=1)]
    one, other = simplify(batch, model, prompts(), LLM, SEED)
    assert len(model.asked) == 1
    assert one.exchanges == other.exchanges


def test_a_caption_stands_in_for_a_phrase_that_never_came() -> None:
    (found,) = simplify(
        [captions("a red cat", "a dog")], Scripted("", "dog", Reply("red c", "length")), prompts(),
        LLM, SEED,
    )  # fmt: skip
    assert found.texts == ("a red cat", "dog")
    assert [(e.attempt, e.problem) for e in found.exchanges] == [
        (0, "empty"), (1, "cut off at the token limit"), (0, ""),
    ]  # fmt: skip


def test_no_captions_no_questions() -> None:
    (found,) = simplify([captions()], Scripted("x"), prompts(), LLM, SEED)
    assert (found.texts, found.exchanges) == ((), ())


@given(splits(4))
def test_company_and_order_change_nothing(batches: list[list[int]]) -> None:
    def stage(batch):
        return simplify(batch, FakeLanguageModel(Calls()), prompts(), LLM, SEED)

    assert in_batches(world().captions, batches, stage) == world().phrases


def test_the_released_side_keeps_a_phrase_whole() -> None:
    model = Scripted('Phrase: "red cat".', "")
    (found,) = simplify([captions("a", "b")], model, prompts(), LLM, SEED, RELEASED)
    assert found.texts == ('Phrase: "red cat".', "b")
    assert len(model.asked) == 2
