"""BLIP and BLIP-2, tiny."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    AutoTokenizer,
    Blip2ForConditionalGeneration,
    BlipForConditionalGeneration,
    BlipImageProcessorPil,
)

from dnd_local.core.config import CaptionsConfig
from dnd_local.core.errors import MissingWeights, Refused, UserError
from dnd_local.engines.captioner_blip import BlipCaptioner
from tests.engines.contracts import SHAPE, CaptionerContract

CONFIG = CaptionsConfig(batch=SHAPE, dtype="float32", max_tokens=12)


@pytest.fixture(scope="module")
def captioners(models):
    return {name: BlipCaptioner(models(name), CONFIG) for name in ("blip", "blip2")}


class TestBlip(CaptionerContract):
    @pytest.fixture
    def captioner(self, captioners):
        return captioners["blip"]


class TestBlip2(CaptionerContract):
    @pytest.fixture
    def captioner(self, captioners):
        return captioners["blip2"]


@pytest.mark.parametrize(
    ("name", "kind", "skip"),
    [
        ("blip", BlipForConditionalGeneration, 1),
        ("blip2", Blip2ForConditionalGeneration, 5),
    ],
)
def test_captions_are_those_of_the_library(models, captioners, pictures, name, kind, skip):
    """Against transformers called as its manual says, one picture at a time."""
    processor = BlipImageProcessorPil.from_pretrained(models(name))
    tokenizer = AutoTokenizer.from_pretrained(models(name))
    model = kind.from_pretrained(models(name))
    for picture, caption in zip(pictures[:3], captioners[name].caption(pictures[:3]), strict=True):
        inputs = processor(images=Image.fromarray(picture), return_tensors="pt")
        with torch.no_grad():
            tokens = model.generate(**inputs, do_sample=False, min_new_tokens=5, max_new_tokens=12)
        assert caption == tokenizer.decode(tokens[0, skip:], skip_special_tokens=True)


@pytest.mark.parametrize("shape", [(3, 40), (1, 40), (40, 3), (40, 1)])
@pytest.mark.parametrize("name", ["blip", "blip2"])
def test_very_flat_pictures_reach_the_model_as_they_are(captioners, models, name, shape):
    """A crop 1 or 3 pixels high has two axes that could be taken for the channels."""
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    processor = BlipImageProcessorPil.from_pretrained(models(name))
    expected = processor(images=Image.fromarray(picture), return_tensors="pt")["pixel_values"]
    given = []
    captioner = captioners[name]
    hook = captioner.model.vision_model.register_forward_pre_hook(
        lambda _, inputs, named: given.extend([*inputs, named.get("pixel_values")]),
        with_kwargs=True,
    )
    try:
        captioner.caption([picture])
    finally:
        hook.remove()
    assert torch.equal(given[0][:1], expected)


def test_captions_keep_to_their_lengths(models, pictures):
    config = CaptionsConfig(batch=SHAPE, dtype="float32", min_tokens=3, max_tokens=4)
    tokens = []
    captioner = BlipCaptioner(models("blip"), config)
    generate = captioner.model.generate
    captioner.model.generate = lambda **how: tokens.append(generate(**how)) or tokens[-1]
    captions = captioner.caption(pictures[:3])
    assert all(len(caption.split()) <= 4 for caption in captions)
    end = captioner.model.config.text_config.sep_token_id
    assert tokens[0].shape[1] <= 1 + 4
    assert not (tokens[0][:, 1:4] == end).any()


@pytest.mark.parametrize("quantisation", ["int8", "int4"])
@pytest.mark.parametrize("name", ["blip", "blip2"])
def test_fewer_bits_caption_too(models, pictures, name, quantisation):
    config = CaptionsConfig(batch=1, dtype="float32", quantisation=quantisation, max_tokens=5)
    captioner = BlipCaptioner(models(name), config)
    kinds = {type(module).__name__ for module in captioner.model.modules()}
    assert {"int8": "Linear8bitLt", "int4": "Linear4bit"}[quantisation] in kinds
    captions = captioner.caption(pictures[:1])
    assert captions == captioner.caption(pictures[:1])
    assert all(captions)


def edited(models, tmp_path, file, **changes):
    folder = shutil.copytree(models("blip"), tmp_path / "edited")
    settings = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps(settings | changes))
    return folder


def test_another_architecture_is_refused(models, tmp_path):
    folder = edited(models, tmp_path, "config.json", architectures=["GitForCausalLM"])
    with pytest.raises(UserError, match="holds GitForCausalLM, which is no captioner"):
        BlipCaptioner(folder, CONFIG)
    folder = edited(models, tmp_path / "two", "config.json", architectures=None)
    with pytest.raises(UserError, match="holds none"):
        BlipCaptioner(folder, CONFIG)


@pytest.mark.parametrize("file", ["config.json", "preprocessor_config.json"])
def test_code_in_the_folder_is_refused(models, tmp_path, file):
    folder = edited(models, tmp_path, file, auto_map={"AutoModel": "code.Model"})
    with pytest.raises(Refused, match="auto_map"):
        BlipCaptioner(folder, CONFIG)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(MissingWeights):
        BlipCaptioner(tmp_path / "none", CONFIG)
