"""Each kind of image generator paints, tiny and with random weights; no real one is here."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    LCMScheduler,
    UNet2DConditionModel,
)
from safetensors.torch import load_file, save_file

from dnd_local.core.config import PicturesConfig
from dnd_local.core.errors import BadConfig, DamagedFile, UserError
from dnd_local.engines import registry
from dnd_local.engines.painter_diffusers import DiffusersPainter
from dnd_local.engines.painter_kinds import GENERATORS
from tests.engines import tiny_painters
from tests.engines.contracts import SHAPE, PainterContract


@pytest.fixture(scope="module")
def painters(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the function that gives the folder of a tiny generator, saved when first asked."""
    base = tmp_path_factory.mktemp("painters")

    def folder(name: str) -> Path:
        if not (base / name).exists():
            getattr(tiny_painters, f"save_{name}")(base / name)
        return base / name

    return folder


def config(**changes: Any) -> PicturesConfig:
    small = {"batch": SHAPE, "dtype": "float32", "steps": 2, "size": 16}
    return PicturesConfig(**(small | changes))


class TestStableDiffusion2(PainterContract):
    side = 16

    @pytest.fixture(scope="class")
    @classmethod
    def painter(cls, painters):
        return DiffusersPainter(painters("sd2"), config())


class TestXL(PainterContract):
    side = 16

    @pytest.fixture(scope="class")
    @classmethod
    def painter(cls, painters):
        return DiffusersPainter(painters("sdxl"), config())


class TestTurbo(PainterContract):
    side = 16

    @pytest.fixture(scope="class")
    @classmethod
    def painter(cls, painters):
        return DiffusersPainter(painters("sdxl_turbo"), config(guidance=0.0))


class TestFluxKlein(PainterContract):
    side = 32

    @pytest.fixture(scope="class")
    @classmethod
    def painter(cls, painters):
        return DiffusersPainter(painters("flux2_klein"), config(size=32, guidance=1.0))


def test_the_list_of_kinds_is_that_of_the_registry() -> None:
    (kind,) = registry.BUILT_IN["painter"]
    assert set(kind.types) == set(GENERATORS)


@pytest.mark.parametrize(
    ("name", "settings", "sampler"),
    [
        ("sd2", {}, DPMSolverMultistepScheduler),
        ("sdxl", {}, DPMSolverMultistepScheduler),
        ("sdxl", {"sampler": "lcm"}, LCMScheduler),
        ("sdxl_turbo", {}, EulerAncestralDiscreteScheduler),
        ("sdxl_turbo", {"sampler": "dpm++"}, DPMSolverMultistepScheduler),
        ("flux2_klein", {}, FlowMatchEulerDiscreteScheduler),
        ("flux2_klein", {"sampler": "own"}, FlowMatchEulerDiscreteScheduler),
    ],
)
def test_each_kind_has_its_sampler_and_the_setting_wins(painters, name, settings, sampler):
    painter = DiffusersPainter(painters(name), config(**settings))
    assert type(painter.pipeline.scheduler) is sampler
    predicts = painter.pipeline.scheduler.config.get("prediction_type", "epsilon")
    assert predicts == ("v_prediction" if name == "sd2" else "epsilon")


def test_what_a_kind_cannot_follow_is_refused_before_it_is_loaded(painters, tmp_path):
    flux = painters("flux2_klein")
    with pytest.raises(BadConfig, match="size is 24; a Flux2KleinPipeline paints multiples of 16"):
        DiffusersPainter(flux, config(size=24))
    with pytest.raises(BadConfig, match=r"pictures\.sampler lcm is for Stable Diffusion"):
        DiffusersPainter(flux, config(sampler="lcm"))
    with pytest.raises(BadConfig, match=r"pictures\.lora mine is for Stable Diffusion"):
        DiffusersPainter(flux, config(lora="mine"), lora=tmp_path)
    with pytest.raises(BadConfig, match=r"pictures\.decoder taesd is for Stable Diffusion"):
        DiffusersPainter(flux, config(decoder="taesd"), decoder=tmp_path)


def test_another_pipeline_is_refused_by_its_name(painters, tmp_path):
    folder = shutil.copytree(painters("sd2"), tmp_path / "other")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(
        json.dumps(index | {"_class_name": "KandinskyPipeline"})
    )
    with pytest.raises(
        UserError, match="holds a KandinskyPipeline; painted is with StableDiffusion"
    ):
        DiffusersPainter(folder, config())
    with pytest.raises(UserError, match=r"diffusers \(has model_index.json of StableDiffusionPip"):
        registry.kind_of("painter", folder)


# ---- LoRA ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lora(painters: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    unet = UNet2DConditionModel.from_pretrained(painters("sd2") / "unet")
    return tiny_painters.save_lora(tmp_path_factory.mktemp("lora") / "lcm", unet)


def test_a_lora_is_added_to_the_weights_and_brings_its_sampler(painters, lora):
    plain = DiffusersPainter(painters("sd2"), config())
    with registry.open_built_in(
        "painter", config(lora="lcm", guidance=1.0), [painters("sd2"), lora], ("cpu",)
    ) as painter:
        assert type(painter.pipeline.scheduler) is LCMScheduler
        tensors = load_file(lora / "pytorch_lora_weights.safetensors")
        changed = 0
        for name, module in painter.pipeline.unet.named_modules():
            key = f"lora_unet_{name.replace('.', '_')}"
            if f"{key}.alpha" in tensors:
                down, up = (tensors[f"{key}.lora_{way}.weight"] for way in ("down", "up"))
                before = plain.pipeline.unet.get_submodule(name).weight
                product = torch.einsum("or,ri...->oi...", up.flatten(1), down)
                torch.testing.assert_close(module.weight, before + product / 2)
                changed += 1
        assert changed > 8
        (one,) = painter.paint(["a dog"], [1])
    (other,) = plain.paint(["a dog"], [1])
    assert not np.array_equal(one, other)


def change(lora: Path, folder: Path, **changes: Any) -> Path:
    """Save a LoRA again, with tensors taken out (None) or in another form."""
    tensors = load_file(lora / "pytorch_lora_weights.safetensors")
    first = sorted(tensors)[0].partition(".")[0]
    for part, value in changes.items():
        name = f"{first}.{part.replace('__', '.')}"
        tensors.pop(name, None)
        if value is not None:
            tensors[name] = value
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"lora_up__weight": None}, r"lacks a part \(alpha, lora_down"),
        ({"dora_scale": torch.ones(1)}, "no LoRA in the form that is read: it holds 'lora_unet_"),
        ({"lora_up__weight": torch.ones(3, 2)}, "another image generator's adapter"),
    ],
)
def test_loras_that_do_not_fit(painters, lora, tmp_path, changes, told):
    with pytest.raises(UserError, match=told):
        DiffusersPainter(painters("sd2"), config(), lora=change(lora, tmp_path / "x", **changes))


def test_a_lora_of_another_network_and_files_that_are_none(painters, lora, tmp_path):
    alpha = {"alpha": None}  # left out, it is the rank
    DiffusersPainter(painters("sd2"), config(), lora=change(lora, tmp_path / "bare", **alpha))
    other = tmp_path / "other"
    other.mkdir()
    one = torch.ones(1, 1)
    parts = {f"lora_unet_mid.lora_{way}.weight": one.clone() for way in ("up", "down")}
    save_file(parts, other / "a.safetensors")
    with pytest.raises(UserError, match=r"1 layers are not in it \(lora_unet_mid, …\)"):
        DiffusersPainter(painters("sd2"), config(), lora=other)
    save_file({}, other / "a.safetensors")
    with pytest.raises(UserError, match="it is empty"):
        DiffusersPainter(painters("sd2"), config(), lora=other)
    (other / "a.safetensors").write_text("x")
    with pytest.raises(DamagedFile, match="not a whole safetensors"):
        DiffusersPainter(painters("sd2"), config(), lora=other)
