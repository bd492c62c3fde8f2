"""Networks of transformers: what is loaded, what pictures become, where patches lie."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from dnd_local.core.config import NetworkConfig
from dnd_local.core.errors import UserError
from dnd_local.engines import registry, target_hf
from tests.engines.tiny import widen

SIZE = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
    "patch_size": 8,
}  # fmt: skip
TALL = [48, 32]
CROP = {"height": 32, "width": 32}
CLIP = {"size": {"shortest_edge": 32}, "crop_size": CROP}
SQUASH = {"size": CROP}


def vision(prefix: str, side: Any = 32, **more: Any) -> Any:
    return getattr(transformers, f"{prefix}Config")(**SIZE, image_size=side, **more)


def text(prefix: str) -> dict[str, Any]:
    return {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 64, "vocab_size": 20, "max_position_embeddings": 8}  # fmt: skip


def both(prefix: str) -> Any:
    """The configuration of a model of pictures and texts."""
    small = {**SIZE, "image_size": 32}
    kind = getattr(transformers, f"{prefix}Config")
    return kind(vision_config=small, text_config=text(prefix))


KINDS: dict[str, tuple[str, Any, str, dict[str, Any], str, str]] = {
    "a ViT that classifies": (
        "ViTForImageClassification", lambda: vision("ViT", num_labels=3), "ViTImageProcessor",
        SQUASH, "vit.layers.1", "tokens:1+4x4",
    ),
    "a ViT for tall pictures": (
        "ViTModel", lambda: vision("ViT", TALL), "ViTImageProcessor",
        {"size": {"height": 48, "width": 32}}, "layers.1", "tokens:1+6x4",
    ),
    "DINOv2 with registers": (
        "Dinov2WithRegistersModel", lambda: vision("Dinov2WithRegisters", num_register_tokens=3),
        "BitImageProcessor", CLIP, "encoder.layer.1", "tokens:4+4x4",
    ),
    "DINOv2 on larger pictures than it was trained on": (
        "Dinov2Model", lambda: vision("Dinov2", 16), "BitImageProcessor", CLIP, "encoder.layer.1",
        "tokens:1+4x4",
    ),
    "the image tower of CLIP": (
        "CLIPModel", lambda: both("CLIP"), "CLIPImageProcessor", CLIP, "encoder.layers.1",
        "tokens:1+4x4",
    ),
    "the image tower of SigLIP": (
        "SiglipModel", lambda: both("Siglip"), "SiglipImageProcessor", SQUASH, "encoder.layers.1",
        "tokens:0+4x4",
    ),
}  # fmt: skip


def save(folder: Path, name: str) -> Path:
    """Save a kind's model and processor as the folder that transformers makes."""
    architecture, config, processor, settings, _, _ = KINDS[name]
    torch.manual_seed(0)
    model = getattr(transformers, architecture)(config())
    widen(model, 1, 0.1)
    model.save_pretrained(folder)
    getattr(transformers, processor)(**settings).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Any:
    base = tmp_path_factory.mktemp("hf")
    return lambda name: (base / name) if (base / name).is_dir() else save(base / name, name)


@pytest.mark.parametrize("name", KINDS)
def test_responses_and_maps_are_those_of_the_model_itself(folders, pictures, name):
    architecture, _, processor, _, layer, layout = KINDS[name]
    folder = folders(name)
    tower = {"CLIPModel": "CLIPVisionModel", "SiglipModel": "SiglipVisionModel"}
    kind = getattr(transformers, tower.get(architecture, architecture))
    model = kind.from_pretrained(folder).eval()
    prepare = getattr(transformers, f"{processor}Pil").from_pretrained(folder)
    inputs = torch.cat(
        [prepare(Image.fromarray(p), return_tensors="pt")["pixel_values"] for p in pictures]
    )
    with torch.inference_mode():
        states = model(inputs, output_hidden_states=True).hidden_states[2]
    special, grid = layout.removeprefix("tokens:").split("+")
    high, wide = map(int, grid.split("x"))
    patches = states[:, int(special) :]
    assert patches.shape[1] == high * wide
    maps = patches.transpose(1, 2).reshape(len(pictures), -1, high, wide).numpy()
    with registry.open_target(NetworkConfig(batch=4), folder, ("cpu",), "hf") as target:
        assert layout in target._config.layout
        given = target.responses(pictures, [layer])[layer]
        mapped = target.maps(pictures[:2], layer, [[0, 5]] * 2)
        assert all(target.framing(*picture.shape[:2]) for picture in pictures)
    np.testing.assert_allclose(given, patches.mean(1).numpy(), atol=1e-4)
    for row, one in zip(mapped, maps, strict=False):
        np.testing.assert_allclose(row[0].values, one[0], atol=1e-4)
        np.testing.assert_allclose(row[1].values, one[5], atol=1e-4)


@pytest.mark.parametrize("name", KINDS)
def test_what_the_settings_say_of_tokens_is_what_the_network_shows(folders, name):
    """Without the settings, the grid is found by changing corners of the picture."""
    *_, layer, layout = KINDS[name]
    module, transform = target_hf.load(folders(name), "", "")
    assert target_hf.layout(module, transform) == layout
    grey = torch.stack([transform(Image.new("RGB", (64, 64)))] * 2)
    from dnd_local.engines.layers import find_outputs

    output = find_outputs(module, grey).outputs[layer]
    assert f"tokens:{output.special}+{output.grid[0]}x{output.grid[1]}" == layout


def test_a_crop_shows_its_region_and_a_squashed_picture_all_of_it(folders):
    for name, region in (("DINOv2 with registers", (30, 0, 90, 60)),
                         ("a ViT that classifies", (0, 0, 120, 60))):  # fmt: skip
        with registry.open_target(NetworkConfig(), folders(name), ("cpu",), "hf") as target:
            box = target.framing(60, 120)
        found = (box.left, box.top, box.right, box.bottom)
        assert np.abs(np.subtract(found, region)).max() <= 3


def test_a_convolutional_classifier_needs_no_layout(tmp_path, pictures):
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", num_labels=2,
        id2label={0: "cat", 1: "dog"},
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.ResNetForImageClassification(config).save_pretrained(tmp_path)
    transformers.ConvNextImageProcessor(size={"shortest_edge": 64}).save_pretrained(tmp_path)
    module, transform = target_hf.load(tmp_path, "", "")
    assert target_hf.layout(module, transform) == ""
    assert registry.target_classes(tmp_path, "hf") == ("classifier.1", ("cat", "dog"))
    with registry.open_target(NetworkConfig(), tmp_path, ("cpu",), "hf") as target:
        assert target.responses(pictures, ["classifier.1"])["classifier.1"].shape == (7, 2)


def test_classes_have_names_or_there_are_none(folders):
    assert registry.target_classes(folders("a ViT that classifies"), "hf") is None
    assert registry.target_classes(folders("the image tower of CLIP"), "hf") is None


@pytest.fixture
def copied(folders, tmp_path) -> Path:
    return shutil.copytree(folders("a ViT that classifies"), tmp_path / "copy")


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_architectures_that_are_none(copied):
    for named, told in (("BertModel", "names BertModel, which is no classifier"),
                        ("TimmWrapperForImageClassification", "use --source timm:")):  # fmt: skip
        change(copied / "config.json", architectures=[named])
        with pytest.raises(UserError, match=told):
            target_hf.load(copied, "", "")


def test_a_processor_that_is_not_there_or_cannot_be_followed(copied):
    change(copied / "preprocessor_config.json", do_resize=False)
    with pytest.raises(UserError, match=r"cannot be followed.*inputs of shape"):
        target_hf.load(copied, "", "")
    (copied / "preprocessor_config.json").unlink()
    with pytest.raises(UserError, match=r"has no preprocessor_config\.json"):
        target_hf.load(copied, "", "")


def test_a_head_that_was_never_trained_is_refused(folders, tmp_path):
    folder = shutil.copytree(folders("a ViT for tall pictures"), tmp_path / "copy")
    change(folder / "config.json", architectures=["ViTForImageClassification"])
    with pytest.raises(UserError, match=r"lack \d+ tensors of a ViTForImageClassification"):
        target_hf.load(folder, "", "")
