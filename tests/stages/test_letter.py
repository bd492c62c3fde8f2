"""Replies and questions to the letter: the golden lines, the rules written out, and refusals."""

from __future__ import annotations

import random

import pytest

from dnd_local.core.conversations import Reply
from dnd_local.stages.letter import enter_letter, join_by_commas, read_letter, spell_list
from tests import oracles
from tests.golden import golden
from tests.stages.concepts_of import candidates_of

LABEL, PHRASE = 5, 0


def test_every_golden_line_agrees() -> None:
    lines = golden("replies")
    assert len(lines) == 1000
    for line in lines:
        if line["kind"] == "phrase":
            assert read_letter(Reply(line["reply"]), PHRASE, 0) == (line["text"], "")
        else:
            assert candidates_of(line["reply"], line["merged"]) == line["candidates"]


WORDS = (
    "red", "Blue", "dog", "a", "design", "Graphics", "designs.", "red.", "two.", "x:", ":",
    "Label:", "sofa,", ",", "dog;", '"cats"', "*", "-", "\n",
)  # fmt: skip


def made_up(draw: random.Random) -> str:
    return "".join(draw.choice(WORDS) + draw.choice(("", " ")) for _ in range(draw.randint(1, 6)))


def test_candidates_agree_with_the_method_written_out_on_1000_replies() -> None:
    draw = random.Random(22)
    several = 0
    for _ in range(1000):
        reply, merged = made_up(draw), made_up(draw)
        expected = oracles.released_candidates(reply, merged)
        assert candidates_of(reply, merged) == expected, (reply, merged)
        several += len(expected) > 1
    assert several > 20


def test_joined_texts_agree_with_the_method_written_out_on_1000_lists() -> None:
    draw = random.Random(23)
    for _ in range(1000):
        texts = [draw.choice(("x", "y", " x", "z, x", "")) for _ in range(draw.randint(1, 6))]
        assert join_by_commas(texts) == oracles.released_joining(texts)
        label = ",".join(texts)
        assert spell_list(label) == oracles.released_joining(label.split(","))


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        ("a: b: c", " b"),
        ("Label: red squares", " red squares"),
        ('"red" - *squares*', '"red" - *squares*'),
        (" red ", " red "),
        ("red\ngreen", "red\ngreen"),
        ("x" * 1000, "x" * 1000),
        ("?!", "?!"),
        ("<think>all: red</think> red", "red"),
        ("all: red\n</think>\n\nred", "red"),
    ],
)
def test_a_label_is_its_second_piece_with_every_mark(reply: str, text: str) -> None:
    assert read_letter(Reply(reply), LABEL, 0) == (text, "")


def test_a_phrase_is_kept_whole() -> None:
    assert read_letter(Reply("a: b: c."), PHRASE, 0) == ("a: b: c.", "")


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (Reply(""), "empty"),
        (Reply("Label: "), "empty"),
        (Reply("."), "empty"),
        (Reply("red squ", "length"), "cut off at the token limit"),
        (Reply("red\x00squares"), "has control characters"),
        (Reply("red\ud800squares"), "has control characters"),
        (Reply("<think>the label is red"), "never stopped thinking"),
        (Reply("Label: red", "content_filter"), "stopped by a content filter"),
        (Reply("red", "refusal"), "refused to answer"),
        (Reply("I'm sorry: I cannot"), "refused to answer"),
        (Reply("", "error: too long"), "error: too long"),
    ],
)
def test_what_cannot_be_painted_is_refused_on_the_released_side_too(
    reply: Reply, problem: str
) -> None:
    assert read_letter(reply, LABEL, 0)[1] == problem


@pytest.mark.parametrize(
    ("label", "candidates"),
    [
        ("Red.", ("red",)),
        ("red...", ("red..",)),
        ("A Design", ("a design", "a design background")),
        ("a design.", ("a design",)),
        (" graphics", (" graphics", " graphics background")),
        ("red", ("red",)),
        (" ", (" ",)),
    ],
)
def test_a_label_enters_in_lower_case_and_with_its_twin(
    label: str, candidates: tuple[str, ...]
) -> None:
    assert enter_letter(label) == candidates


@pytest.mark.parametrize(
    ("texts", "joined"),
    [
        (["x", "y", "z"], "x, y, z"),
        (["x", "y", "x"], "xy, x"),
        (["x", "x", "y"], "x, x, y"),
        (["x", "x"], "xx"),
        ([], ""),
    ],
)
def test_texts_that_equal_the_last_one_run_into_the_next(texts: list[str], joined: str) -> None:
    assert join_by_commas(texts) == joined


def test_a_list_to_be_merged_is_split_and_joined_with_two_blanks() -> None:
    assert spell_list("red, blue, green") == "red,  blue,  green"
    assert spell_list("red,blue,red") == "redblue, red"
