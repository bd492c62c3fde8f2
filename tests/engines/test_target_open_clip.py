"""The image tower of an open_clip model."""

from __future__ import annotations

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from dnd_local.core.config import NetworkConfig
from dnd_local.core.errors import MissingWeights
from dnd_local.engines import registry, target_open_clip
from dnd_local.engines.layers import find_outputs

LAYER = "transformer.resblocks.1"


def test_responses_and_maps_are_those_of_the_tower_itself(models, pictures):
    folder = models("open_clip")
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    inputs = torch.stack([transform(Image.fromarray(picture)) for picture in pictures])
    with torch.inference_mode():
        states = model.eval().visual.forward_intermediates(
            inputs, indices=[1], normalize_intermediates=False, intermediates_only=True,
            output_fmt="NLC",
        )["image_intermediates"][0]  # fmt: skip
    with registry.open_target(NetworkConfig(), folder, ("cpu",), "open_clip") as target:
        given = target.responses(pictures, [LAYER])[LAYER]
        (row,) = target.maps(pictures[:1], LAYER, [[3]])
        assert target.framing(60, 120) is not None
    np.testing.assert_allclose(given, states.mean(1).numpy(), atol=1e-4)
    np.testing.assert_allclose(row[0].values.ravel(), states[0, :, 3].numpy(), atol=1e-4)


def test_what_the_tower_says_of_its_tokens_is_what_it_shows(models):
    module, transform = target_open_clip.load(models("open_clip"), "", "")
    assert target_open_clip.layout(module, transform) == "tokens:1+4x4"
    grey = torch.stack([transform(Image.new("RGB", (64, 64)))] * 2)
    output = find_outputs(module, grey).outputs[LAYER]
    assert (output.special, output.grid) == (1, (4, 4))
    assert target_open_clip.layout(torch.nn.Linear(1, 1), transform) == ""
    assert registry.target_classes(models("open_clip"), "open_clip") is None


def test_a_tower_of_timm_inside(models):
    timm = pytest.importorskip("timm")
    _, transform = target_open_clip.load(models("open_clip"), "", "")
    tower = torch.nn.Module()
    tower.trunk = timm.create_model(
        "vit_tiny_patch16_224", pretrained=False, img_size=32, patch_size=8, class_token=False,
        global_pool="avg",
    )  # fmt: skip
    assert target_open_clip.layout(tower, transform) == "tokens:0+4x4"


def test_weights_that_are_not_there(tmp_path):
    (tmp_path / "open_clip_config.json").write_text("{}")
    with pytest.raises(MissingWeights, match="no safetensors file for open_clip"):
        target_open_clip.load(tmp_path, "", "")
