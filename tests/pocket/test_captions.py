"""Captions say what a picture shows, labels something true of it."""

from __future__ import annotations

import random

from dnd_local.pocket import captions
from dnd_local.pocket.words import mentions, vocabulary
from dnd_local.pocket.world import Attributes, picture

SHOWN = [picture(9, index)[1] for index in range(200)]
DOG = Attributes(("dog",), ((0, 0, 40, 40),), "red", "striped")
PAIR = Attributes(("apple", "cat"), ((0, 0, 30, 30), (32, 0, 60, 28)), "orange", "plain")
BARE = Attributes((), (), "blue", "dotted")


def test_a_full_caption_names_everything_and_nothing_else() -> None:
    rng = random.Random(0)
    for shown in SHOWN:
        for text in (captions.full_caption(shown, rng), captions.plain_caption(shown)):
            wanted = {c for c in shown.concepts() if c.kind != "category"}
            assert set(mentions(text)) == wanted, text


def test_a_label_is_true_and_short() -> None:
    rng = random.Random(1)
    said = set()
    for shown in SHOWN * 5:
        text = captions.label(shown, rng)
        named = set(mentions(text))
        assert named, text
        assert named <= shown.concepts()
        said |= {concept.kind for concept in named}
    assert said == {"object", "category", "colour", "pattern"}


def test_wordings_vary() -> None:
    rng = random.Random(2)
    assert len({captions.full_caption(DOG, rng) for _ in range(60)}) > 10
    assert len({captions.prompt(DOG, rng) for _ in range(60)}) > 20


def test_plain_wordings() -> None:
    assert captions.plain_caption(DOG) == "a dog on a striped red background"
    assert captions.plain_caption(PAIR) == "an apple and a cat on a plain orange background"
    assert captions.plain_caption(BARE) == "there is a dotted blue background"
    assert captions.short_phrase(DOG) == "dog, striped red background"
    assert captions.short_phrase(BARE) == "dotted blue background"


def test_some_prompts_follow_the_picture_template() -> None:
    rng = random.Random(3)
    prompts = [captions.prompt(DOG, rng) for _ in range(100)]
    framed = sum(text.startswith("one realistic picture of ") for text in prompts)
    assert 25 < framed < 75


def test_the_corpus_holds_every_word() -> None:
    words = {word for text in captions.corpus() for word in text.split()}
    for concept in vocabulary().concepts():
        assert concept.name in words
