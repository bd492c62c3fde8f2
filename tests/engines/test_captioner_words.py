"""CLIP with a list of words as a captioner: the nearest word, in any company."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dnd_local.core.config import CaptionsConfig, ClipConfig
from dnd_local.core.errors import MissingWeights, UserError
from dnd_local.core.records import Pixels
from dnd_local.engines.captioner_words import WordsCaptioner
from dnd_local.engines.embedder_open_clip import OpenClipEmbedder
from dnd_local.engines.registry import kind_of, open_built_in
from tests.engines.contracts import SHAPE, CaptionerContract

CONFIG = CaptionsConfig(batch=SHAPE, dtype="float32")
WORDS = ("dog", "cat", "red sky", "grass", "wheel", "striped cloth", "water", "a face", "dog")


def with_words(folder: Path, clip: Path, text: str) -> Path:
    shutil.copytree(clip, folder)
    (folder / "words.txt").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def folder(models: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    text = "\ufeff" + "\n".join(WORDS) + "\n\n  \n"
    return with_words(tmp_path_factory.mktemp("words") / "clip", models("open_clip"), text)


class TestWords(CaptionerContract):
    @pytest.fixture(scope="class")
    @classmethod
    def captioner(cls, folder: Path) -> WordsCaptioner:
        return WordsCaptioner(folder, CONFIG)


def test_a_caption_is_the_nearest_word(
    folder: Path, models: Callable[[str], Path], pictures: list[Pixels]
) -> None:
    captioner = WordsCaptioner(folder, CONFIG)
    assert captioner.words == list(WORDS[:-1])
    clip = OpenClipEmbedder(models("open_clip"), ClipConfig(batch=SHAPE))
    seen, texts = clip.embed_pictures(pictures), clip.embed_texts(WORDS[:-1])
    wanted = [WORDS[int(np.argmax([v @ t for t in texts]))] for v in seen]
    assert captioner.caption(pictures) == wanted
    captioner.close()


def test_the_folder_is_known_by_its_list(folder: Path, pictures: list[Pixels]) -> None:
    assert kind_of("captioner", folder).name == "CLIP with words"
    assert kind_of("embedder", folder).name == "open_clip"
    with open_built_in("captioner", CONFIG, [folder], ("cpu",)) as captioner:
        assert set(captioner.caption(pictures)) <= set(WORDS)


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"\n \n", "names no word"), ("h\u00fctte".encode("latin-1"), "is not UTF-8")],
)
def test_a_list_that_will_not_do_is_refused(
    models: Callable[[str], Path], tmp_path: Path, data: bytes, reason: str
) -> None:
    folder = with_words(tmp_path / "clip", models("open_clip"), "")
    (folder / "words.txt").write_bytes(data)
    with pytest.raises(UserError, match=reason):
        WordsCaptioner(folder, CONFIG)


def test_a_list_without_a_clip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("dog")
    with pytest.raises(MissingWeights, match="open_clip_config"):
        WordsCaptioner(tmp_path, CONFIG)
