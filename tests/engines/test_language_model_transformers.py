"""A language model in this process, tiny."""

import logging
import math
import warnings
from collections import Counter
from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from dnd_local.core.config import LlmConfig
from dnd_local.core.conversations import Message, Request
from dnd_local.core.errors import BadConfig, UserError
from dnd_local.engines import language_model_transformers
from dnd_local.engines.language_model_transformers import TransformersLanguageModel, _Row
from tests.engines import tiny
from tests.engines.contracts import SHAPE, LanguageModelContract, request

CONFIG = LlmConfig(engine="transformers", batch=SHAPE, dtype="float32")


@pytest.fixture(scope="module")
def language_model(models):
    return TransformersLanguageModel(models("llama"), CONFIG)


class TestLlama(LanguageModelContract):
    @pytest.fixture(scope="class")
    @classmethod
    def language_model(cls, models):
        return TransformersLanguageModel(models("llama"), CONFIG)


@pytest.mark.parametrize("text", ["dog", "a red dog on the tree", "car " * 70])
def test_temperature_0_is_the_librarys_greedy_decoding(models, language_model, text):
    folder = models("llama")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    turns = [{"role": "system", "content": "big"}, {"role": "user", "content": text}]
    inputs = tokenizer.apply_chat_template(
        turns, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    model = AutoModelForCausalLM.from_pretrained(folder)
    made = model.generate(
        input_ids=inputs["input_ids"],
        attention_mask=torch.ones_like(inputs["input_ids"]),
        do_sample=False,
        max_new_tokens=12,
    )
    new = made[0, inputs["input_ids"].shape[1] :]
    expected = tokenizer.decode(new, skip_special_tokens=True).lstrip().partition("\n")[0].strip()
    asked = Request((Message("system", "big"), Message("user", text)), 0.0, 0, 12)
    (reply,) = language_model.reply([asked])
    assert reply.text == expected
    ended = new[-1] == tokenizer.eos_token_id or "\n" in tokenizer.decode(new).lstrip()
    assert reply.finish == ("stop" if ended else "length")


def test_a_reply_warns_of_nothing(language_model, monkeypatch):
    # The library says these once a process, so an earlier test may have heard them already.
    said = []
    monkeypatch.setattr(
        logging.Logger, "warning_once", lambda _, *words: said.append(words), raising=False
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        language_model.reply([request("a red dog")])
    assert said == []


@pytest.mark.parametrize(
    ("tokens", "text", "finish"),
    [
        (["red", "dog", "</s>"], "reddog", "stop"),
        (["</s>"], "", "stop"),
        (["\n", "\n", "dog", "\n"], "dog", "stop"),
        (["red", "cat", "red", "cat", "red"], "redcatredcatred", "length"),
        (["house"] * 4, "househouse", "length"),  # more characters than asked for
    ],
)
def test_a_reply_ends_at_its_end_token_its_line_or_its_limits(
    language_model, monkeypatch, tokens, text, finish
):
    ids = language_model._tokenizer.convert_tokens_to_ids(tokens)
    monkeypatch.setattr(
        language_model_transformers._Row, "choose", lambda row, logits: ids[len(row.tokens)]
    )
    limit = 10 if tokens[0] == "house" else 200
    asked = Request((Message("user", "a dog"),), 0.0, 0, 5, limit)
    (reply,) = language_model.reply([asked])
    assert (reply.text, reply.finish) == (text, finish)


def test_tokens_are_drawn_as_often_as_they_are_likely():
    logits = torch.tensor([0.0, math.log(3), -1e9, math.log(4)]).double()
    draws = Counter(
        language_model_transformers._Row(request("x", temperature=1.0, seed=seed), 12).choose(
            logits
        )
        for seed in range(2000)
    )
    shares = [draws[token] / 2000 for token in range(4)]
    assert shares == pytest.approx([1 / 8, 3 / 8, 0, 4 / 8], abs=0.035)
    cold = Counter(
        language_model_transformers._Row(request("x", temperature=0.5, seed=seed), 12).choose(
            logits
        )
        for seed in range(2000)
    )
    assert cold[3] / 2000 == pytest.approx(16 / 26, abs=0.035)


def test_requests_of_every_limit_run_together(language_model):
    asked = [request("a dog", temperature=1.0, seed=3, max_tokens=n) for n in (1, 4, 12)]
    short, middle, long = (reply.text for reply in language_model.reply(asked))
    assert long.startswith(middle)
    assert middle.startswith(short)


def test_without_limits_a_reply_ends_with_the_context_and_has_any_lines(models, monkeypatch):
    model = TransformersLanguageModel(models("llama"), CONFIG)
    free = replace(request("a dog"), max_tokens=0, max_characters=0)
    room = 20
    model.model.config.max_position_embeddings = len(model._prompt(free)) + room
    spoken = []

    def never_the_end(row, logits):
        # A line break second, then one word over and over: no end token is ever chosen.
        spoken.append(row)
        return model._tokenizer.convert_tokens_to_ids("\n" if len(row.tokens) == 1 else "a")

    monkeypatch.setattr(_Row, "choose", never_the_end)
    (whole,) = model.reply([free])
    assert whole.finish == "length"
    assert len(spoken[0].tokens) == room
    assert "\n" in whole.text
    (line,) = model.reply([replace(free, max_characters=200)])
    assert line.finish == "stop"
    assert "\n" not in line.text


@pytest.mark.parametrize("quantisation", ["int8", "int4"])
def test_fewer_bits_reply_too(models, quantisation):
    config = LlmConfig(engine="transformers", batch=2, dtype="float32", quantisation=quantisation)
    language_model = TransformersLanguageModel(models("llama"), config)
    kinds = {type(module).__name__ for module in language_model.model.modules()}
    assert {"int8": "Linear8bitLt", "int4": "Linear4bit"}[quantisation] in kinds
    asked = [request("a dog"), request("red", temperature=1.0, seed=2)]
    assert language_model.reply(asked) == language_model.reply(asked)


def test_a_precision_for_servers_only_is_refused(models):
    config = LlmConfig(engine="transformers", dtype="float32", quantisation="fp8")
    with pytest.raises(BadConfig, match="fp8"):
        TransformersLanguageModel(models("llama"), config)


def test_a_model_without_a_chat_template_is_refused(tmp_path):
    folder = tiny.save_llama(tmp_path, template=None)
    with pytest.raises(UserError, match="has no chat template; use an instruct model"):
        TransformersLanguageModel(folder, CONFIG)


def test_every_end_token_of_a_model_counts():
    class Model:
        generation_config = type("G", (), {"eos_token_id": [5, 7]})

    class Silent:
        generation_config = type("G", (), {"eos_token_id": None})

    tokenizer = type("T", (), {"eos_token_id": 9})
    assert language_model_transformers._end_tokens(Model, tokenizer) == (5, 7)
    assert language_model_transformers._end_tokens(Silent, tokenizer) == (9,)


class TestThinking:
    """What is a thought and what an answer, in a reply that is being made."""

    def row(self, text, thinking=8):
        turns = (Message("user", "?"),)
        asked = Request(turns, temperature=0.0, seed=0, max_tokens=4, thinking=thinking)
        return _Row(asked, 12, text=text)

    @pytest.mark.parametrize(
        ("text", "parts"),
        [
            ("<think>a\nb", ("<think>a\nb", "")),
            ("<think>a\nb</think>\n\nred", ("<think>a\nb</think>", "red")),
            ("a</think>", ("a</think>", "")),
        ],
    )
    def test_a_thought_is_no_part_of_the_answer(self, text, parts):
        assert self.row(text).parts() == parts

    def test_without_thinking_all_is_answer(self):
        assert self.row("<think>a\nb", thinking=0).parts() == ("", "<think>a\nb")
