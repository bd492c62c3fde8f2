"""What is made of a reply: taken, asked for once more, or put down with its reason."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnd_local.core.conversations import Message, Reply
from dnd_local.core.ledger import OURS, RELEASED, Ledger
from dnd_local.stages.asking import Question, ask, check, is_list
from tests.stages.scripted import Scripted
from tests.stages.world import LLM

WORDS = 5


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("red squares", "red squares"),
        ('  "red squares" \n', "red squares"),
        ("“red squares”", "red squares"),
        ("- red squares", "red squares"),
        ("* red squares", "red squares"),
        ("• “red squares”", "red squares"),
        ("1. red squares", "red squares"),
        ("1) red squares", "red squares"),
        ("(1) red squares", "red squares"),
        ("“1. red squares”", "red squares"),
        ("1.5 m of rope", "1.5 m of rope"),
        ("3 dogs", "3 dogs"),
        ('"stop" sign', '"stop" sign'),
        ('a "stop" sign', 'a "stop" sign'),
        ('"stop" or "go"', '"stop" or "go"'),
        ("dogs' tails", "dogs' tails"),
        ("red dogs'", "red dogs'"),
        ("'50s cars", "'50s cars"),
        ('wheels of 12"', 'wheels of 12"'),
        ("dog_house", "dog_house"),
        ("#1 on a shirt", "#1 on a shirt"),
        ("I see a dog", "I see a dog"),
        ("sorry looking dog", "sorry looking dog"),
        ("as an old man", "as an old man"),
        ("- 'red squares'", "red squares"),
        ("<think>Hm.\nSquares, all red.</think>\n\nred squares", "red squares"),
        ("Squares, all red.\n</think>\n\nred squares", "red squares"),
        ("<think>\n\n</think>\nred squares", "red squares"),
        ("red, green", "red, green"),
        ("Label: red, green", "Label: red, green"),
    ],
)
def test_what_is_taken_and_what_is_taken_off(text: str, label: str) -> None:
    assert check(Reply(text), WORDS, 200) == (label, "")


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (Reply(""), "empty"),
        (Reply(' "" '), "empty"),
        (Reply("<think>all red</think>"), "empty"),
        (Reply("red squ", "length"), "cut off at the token limit"),
        (Reply("<think>red, I", "length"), "never stopped thinking"),
        (Reply("<think>red</think>blue <think>or", "length"), "cut off at the token limit"),
        (Reply("red", "content_filter"), "stopped by a content filter"),
        (Reply("red squares", "refusal"), "refused to answer"),
        (Reply("I'm sorry, but no"), "refused to answer"),
        (Reply("I’m so sorry"), "refused to answer"),
        (Reply('"I am sorry"'), "refused to answer"),
        (Reply("Sorry."), "refused to answer"),
        (Reply("<think>No.</think>\nI cannot do that"), "refused to answer"),
        (Reply("I can't help"), "refused to answer"),
        (Reply("I don't know"), "refused to answer"),
        (Reply("I am unable to see"), "refused to answer"),
        (Reply("As an AI, no"), "refused to answer"),
        (Reply("as a large language model"), "refused to answer"),
        (Reply("As an AI language model"), "refused to answer"),
        (Reply("I apologize"), "refused to answer"),
        (Reply("My apologies"), "refused to answer"),
        (Reply("Unfortunately, there is nothing"), "refused to answer"),
        (Reply("**red squares**"), "has markup"),
        (Reply("red `squares`"), "has markup"),
        (Reply("_red_ squares"), "has markup"),
        (Reply("# red squares"), "has markup"),
        (Reply("[red](http://x)"), "has markup"),
        (Reply("red &amp; green"), "has markup"),
        (Reply(r"\text{red}"), "has markup"),
        (Reply("<think>red, I guess"), "never stopped thinking"),
        (Reply("red\ngreen"), "more than one line"),
        (Reply("- red\n- green"), "more than one line"),
        (Reply("red\x07squares"), "has control characters"),
        (Reply("red\rsquares"), "has control characters"),
        (Reply("x" * 201), "longer than 200 characters"),
        (Reply("?!"), "has no letter or digit"),
        (Reply("one two three four five six"), "6 words, more than 5"),
        (Reply("Label: red"), "is not a bare label"),
        (Reply("<b>red</b>"), "has markup"),
        (Reply("red < green"), "is not a bare label"),
        (Reply("", "error: too long"), "error: too long"),
    ],
)
def test_what_is_not_taken_says_why(reply: Reply, problem: str) -> None:
    assert check(reply, WORDS, 200)[1] == problem


def test_a_phrase_may_be_longer_than_a_label() -> None:
    assert check(Reply("one two three: four five six"), 0, 200)[1] == ""


@given(st.text(max_size=60), st.sampled_from(["stop", "length", "abort"]))
def test_what_is_taken_is_always_one_short_printable_line(text: str, finish: str) -> None:
    found, problem = check(Reply(text, finish), WORDS, 40)
    if not problem:
        assert found.isprintable()
        assert 0 < len(found) <= 40
        assert is_list(found) or len(found.split()) <= WORDS


def question(about: str, text: str = "?", draw: int = 0) -> Question:
    return Question("summarise", (Message("user", text),), (about,), draw, WORDS)


def test_a_bad_reply_is_asked_for_once_more_with_another_seed() -> None:
    model = Scripted("", "red", "green")
    made = ask([question("a"), question("b")], model, LLM, 0)
    assert [[e.problem for e in one] for one in made] == [["empty", ""], [""]]
    assert made[0][-1].text == "green"
    assert [e.attempt for e in made[0]] == [0, 1]
    first, second = (e.request for e in made[0])
    assert first.messages == second.messages
    assert first.seed != second.seed


def test_no_more_than_once() -> None:
    model = Scripted("")
    (made,) = ask([question("a")], model, LLM, 0)
    assert [e.problem for e in made] == ["empty", "empty"]
    assert len(model.rounds) == 2


def test_the_same_question_goes_out_once() -> None:
    model = Scripted("red")
    made = ask([question("a")] * 3, model, LLM, 0)
    assert len(model.asked) == 1
    assert [one[-1].text for one in made] == ["red"] * 3


def test_a_request_carries_the_settings_and_a_seed_of_its_own() -> None:
    model = Scripted("red")
    ask([question("a"), question("b"), question("a", draw=1)], model, LLM, 0)
    ask([question("a")], model, LLM, 1)
    assert len({request.seed for request in model.asked}) == 4
    assert {(r.temperature, r.max_tokens) for r in model.asked} == {(LLM.temperature, 40)}


def test_a_reply_has_no_limit_on_the_released_side_unless_the_user_sets_one() -> None:
    limited = msgspec.structs.replace(LLM, max_tokens=11)
    for llm, ledger, tokens, characters in (
        (LLM, OURS, 40, 200), (limited, OURS, 11, 200), (LLM, RELEASED, 0, 0),
        (limited, RELEASED, 11, 0), (LLM, Ledger(draws="released"), 0, 200),
        (LLM, Ledger(wording="released"), 40, 0),
    ):  # fmt: skip
        model = Scripted("red")
        ask([question("a")], model, llm, 0, ledger)
        (request,) = model.asked
        assert (request.max_tokens, request.max_characters) == (tokens, characters)


def test_nothing_is_asked_where_nothing_is_to_be_asked() -> None:
    model = Scripted("red")
    assert ask([], model, LLM, 0) == []


def test_the_released_side_never_asks_again() -> None:
    model = Scripted("", "red")
    (made,) = ask([question("a")], model, LLM, 0, RELEASED)
    assert [e.problem for e in made] == ["empty"]
    assert len(model.asked) == 1


def test_a_cut_off_thought_whose_first_tag_the_template_wrote_is_no_answer() -> None:
    thinking = msgspec.structs.replace(LLM, thinking=8)
    question = Question("summarise", (Message("user", "x"),), ("x",), max_words=WORDS)
    thought = Reply("perhaps these are red squares", "length")
    for ledger in (OURS, RELEASED):
        ((*_, last),) = ask([question], Scripted(thought), thinking, 0, ledger)
        assert (last.text, last.problem) == ("", "never stopped thinking")
    ((*_, last),) = ask([question], Scripted(thought), LLM, 0)
    assert last.problem == "cut off at the token limit"
    ended = Reply("perhaps</think>red squares", "stop")
    ((last,),) = ask([question], Scripted(ended), thinking, 0)
    assert (last.text, last.problem) == ("red squares", "")
