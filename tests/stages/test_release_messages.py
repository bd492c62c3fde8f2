"""Prompts read from a release, sent by the stages: the messages that the release's code sends.

The release here is made up (`tests/store/test_release_prompts.py`): its functions are run with a
`post` that keeps what they would send, and the stages must send the same, byte for byte.
"""

from __future__ import annotations

import importlib.util
import random
from pathlib import Path
from typing import Any

import pytest

from dnd_local.core.config import ConceptsConfig
from dnd_local.core.conversations import Reply, Request
from dnd_local.core.ledger import RELEASED
from dnd_local.core.records import Captions, Phrases
from dnd_local.stages.concepts import conceive
from dnd_local.stages.phrases import simplify
from dnd_local.store.openai_batch import chat_messages
from dnd_local.store.prompts import PromptFolder
from dnd_local.store.release_prompts import import_release
from tests.stages.scripted import Scripted
from tests.stages.world import LLM, SEED, neurons
from tests.store.test_release_prompts import MODELS, checkout

__all__ = ["checkout"]

TEXTS = ("red dog", "a cat.", "red, blue", " x", "costs $5", "{}", "", "red dog")


class Release:
    """The made-up release's functions and what they sent."""

    def __init__(self, folder: Path) -> None:
        source = MODELS.replace("import nothing_that_exists", "").replace(
            'raise SystemExit("this file must never run")', ""
        )
        (folder / "release.py").write_text(source)
        spec = importlib.util.spec_from_file_location("release", folder / "release.py")
        assert spec is not None
        assert spec.loader is not None
        self.code: Any = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.code)
        self.sent: list[list[dict[str, str]]] = []
        self.reply = ""
        self.code.post = self._post

    def _post(self, url: str, json: dict[str, Any]) -> dict[str, list[str]]:
        self.sent.append(json["messages"])
        return {"choices": [self.reply]}


@pytest.fixture
def release(tmp_path: Path) -> Release:
    return Release(tmp_path)


def sent(requests: list[Request]) -> list[list[dict[str, str]]]:
    return [chat_messages(request) for request in requests]


def test_the_messages_are_the_releases_to_the_byte(
    checkout: Path, tmp_path: Path, release: Release
) -> None:
    import_release(checkout, tmp_path / "prompts")
    prompts = PromptFolder(tmp_path / "prompts")
    draw = random.Random(24)
    config = ConceptsConfig(count=1, max_draws=1)
    merged = 0
    for _ in range(200):
        phrases = [draw.choice(TEXTS) for _ in range(draw.randint(1, 6))]
        reply = draw.choice(("red", "Label: red, blue", "red, blue, red", "a:b, c: d", "x,x"))
        release.sent, release.reply = [], reply
        release.code.GPT_model_single(phrases)
        model = Scripted(Reply(reply), Reply("colours"))
        own = Phrases(neurons(0)[0], tuple(phrases), ())
        conceive([own], model, prompts, LLM, config, SEED, RELEASED)
        assert sent(model.asked) == release.sent
        merged += len(release.sent) == 2
    assert merged > 50


def test_a_caption_goes_out_as_the_release_sends_it(
    checkout: Path, tmp_path: Path, release: Release
) -> None:
    import_release(checkout, tmp_path / "prompts")
    captions = ("a red dog", "costs $5, or {}")
    model = Scripted("red dog")
    simplify(
        [Captions(neurons(0)[0], captions)], model, PromptFolder(tmp_path / "prompts"), LLM, SEED,
        RELEASED,
    )  # fmt: skip
    release.sent = []
    for caption in captions:
        release.code.GPT_simplify(caption, headers={})
    assert sent(model.asked) == release.sent
