"""Networks of timm: which settings decide, what pictures become, where patches lie."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from dnd_local.core.config import NetworkConfig
from dnd_local.core.errors import UnknownName, UserError
from dnd_local.engines import registry, target_timm
from dnd_local.engines.layers import find_outputs
from tests.engines.tiny import widen

timm = pytest.importorskip("timm")

VIT = "vit_tiny_patch16_224"
SMALL = {"img_size": [48, 32], "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2,
         "reg_tokens": 3}  # fmt: skip
DATA = {"tag": "mine", "input_size": [3, 48, 32], "mean": [0.5] * 3, "std": [0.25] * 3,
        "crop_pct": 1.0, "crop_mode": "squash", "interpolation": "bicubic",
        "classifier": "head"}  # fmt: skip


def save(folder: Path, **changes: Any) -> tuple[Path, torch.nn.Module]:
    """Save a small ViT with registers for tall pictures, as timm's own folders are."""
    torch.manual_seed(0)
    module = timm.create_model(VIT, pretrained=False, num_classes=3, **SMALL).eval()
    widen(module, 1, 0.1)
    folder.mkdir()
    save_file(module.state_dict(), folder / "model.safetensors")
    config = {"architecture": VIT, "num_classes": 3, "model_args": SMALL, "pretrained_cfg": DATA,
              "label_names": ["cat", "dog", "cow"]}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config | changes))
    return folder, module


def test_responses_and_maps_are_those_of_the_model_itself(tmp_path, pictures):
    folder, module = save(tmp_path / "net")
    small = [np.asarray(Image.fromarray(p).resize((32, 48), Image.Resampling.BICUBIC))
             for p in pictures]  # fmt: skip
    inputs = (torch.tensor(np.stack(small)).permute(0, 3, 1, 2) / 255 - 0.5) / 0.25
    with torch.inference_mode():
        states = module.forward_intermediates(
            inputs, indices=[0], norm=False, intermediates_only=True, output_fmt="NLC"
        )[0]
    maps = states.transpose(1, 2).reshape(len(pictures), 32, 6, 4).numpy()
    with registry.open_target(NetworkConfig(), folder, ("cpu",), f"timm:{VIT}") as target:
        given = target.responses(pictures, ["blocks.0"])["blocks.0"]
        (row,) = target.maps(pictures[:1], "blocks.0", [[7]])
        box = target.framing(60, 120)
    np.testing.assert_allclose(given, states.mean(1).numpy(), atol=1e-3)
    np.testing.assert_allclose(row[0].values, maps[0, 7], atol=1e-3)
    assert (box.left, box.top, box.right, box.bottom) == (0, 0, 120, 60)


def test_what_the_network_says_of_its_tokens_is_what_it_shows(tmp_path):
    folder, _ = save(tmp_path / "net")
    module, transform = target_timm.load(folder, VIT, "")
    assert target_timm.layout(module, transform) == "tokens:4+6x4"
    grey = torch.stack([transform(Image.new("RGB", (64, 64)))] * 2)
    output = find_outputs(module, grey).outputs["blocks.1"]
    assert (output.special, output.grid) == (4, (6, 4))
    assert target_timm.layout(timm.create_model("resnet18", pretrained=False), transform) == ""


def test_classes_are_those_that_the_settings_name(tmp_path):
    folder, _ = save(tmp_path / "net")
    assert registry.target_classes(folder, f"timm:{VIT}") == ("head", ("cat", "dog", "cow"))
    folder, _ = save(tmp_path / "bare", label_names=None)
    assert registry.target_classes(folder, f"timm:{VIT}") is None


def test_settings_come_from_a_tag_where_the_folder_has_none(tmp_path, monkeypatch):
    tags = ["resnet18.a1_in1k", "resnet18.tv_in1k"]
    monkeypatch.setattr(timm, "list_pretrained", lambda _: tags)
    with pytest.raises(
        UserError, match=r"2 settings of resnet18; say which: --source timm:resnet18\.a1"
    ):
        target_timm.load(tmp_path, "resnet18", "")
    with pytest.raises(UnknownName, match="unknown settings of resnet18 'b1_in1k'"):
        target_timm.load(tmp_path, "resnet18.b1_in1k", "")
    torch.manual_seed(0)
    module = timm.create_model("resnet18", pretrained=False)
    save_file(module.state_dict(), tmp_path / "model.safetensors")
    _, transform = target_timm.load(tmp_path, "resnet18.tv_in1k", "")
    assert "224" in str(transform)
    assert target_timm.classes(tmp_path, "resnet18.tv_in1k") is None


@pytest.mark.parametrize(
    ("published", "changes", "told"),
    [
        ("vit_tiny_patch16_22", {}, "unknown architecture of timm"),
        (VIT, {"architecture": "resnet18"}, "is of 'resnet18', not of vit_tiny"),
        (VIT, {"architecture": None}, "is of 'None'"),
        (VIT, {"pretrained_cfg": None}, "is of 'vit_tiny_patch16_224', not of"),
        (f"{VIT}.other", {}, "is of the tag 'mine', not 'other'"),
        (VIT, {"num_classes": 5}, "does not fit"),
    ],
)
def test_what_is_not_decided_is_refused(tmp_path, published, changes, told):
    folder, _ = save(tmp_path / "net", **changes)
    with pytest.raises(UserError, match=told):
        target_timm.load(folder, published, "")
