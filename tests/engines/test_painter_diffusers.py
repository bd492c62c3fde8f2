"""Stable Diffusion, tiny."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny, DPMSolverMultistepScheduler

from dnd_local.core.config import PicturesConfig
from dnd_local.core.errors import MissingWeights, Refused
from dnd_local.engines.painter_diffusers import DiffusersPainter
from tests.engines.contracts import SHAPE, PainterContract


def config(**changes):
    small = {"batch": SHAPE, "dtype": "float32", "steps": 3, "size": 16}
    return PicturesConfig(**(small | changes))


@pytest.fixture(scope="module")
def plain(models):
    return DiffusersPainter(models("stable_diffusion"), config())


@pytest.fixture(scope="module")
def small(models):
    return DiffusersPainter(models("stable_diffusion"), config(), decoder=models("small_decoder"))


class TestStableDiffusion(PainterContract):
    side = 16

    @pytest.fixture
    def painter(self, plain):
        return plain


class TestSmallDecoder(PainterContract):
    side = 16

    @pytest.fixture
    def painter(self, small):
        return small


def test_bitsandbytes_is_not_loaded_for_a_painter_and_nothing_is_printed():
    code = (
        "import sys, dnd_local.engines.painter_diffusers; sys.exit('bitsandbytes' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def count_passes(painter, prompts):
    """Return the batch sizes of the UNet's passes while `prompts` are painted."""
    passes = []
    hook = painter.pipeline.unet.register_forward_pre_hook(
        lambda _module, inputs: passes.append(len(inputs[0]))
    )
    painter.paint(prompts, list(range(len(prompts))))
    hook.remove()
    return passes


def test_every_group_costs_one_pass_a_step_twice_as_wide_for_guidance(models):
    painter = DiffusersPainter(models("stable_diffusion"), config(steps=4))
    assert count_passes(painter, ["a"] * 5) == [2 * SHAPE] * 8
    painter = DiffusersPainter(models("stable_diffusion"), config(guidance=1.0))
    assert count_passes(painter, ["a"]) == [SHAPE] * 3


def test_the_scheduler_is_dpm_solver_plus_plus_whatever_the_folder_says(plain):
    scheduler = plain.pipeline.scheduler
    assert isinstance(scheduler, DPMSolverMultistepScheduler)
    assert scheduler.config.algorithm_type == "dpmsolver++"
    assert scheduler.config.solver_order == 2
    assert scheduler.config.beta_schedule == "scaled_linear"
    assert plain.pipeline.safety_checker is None


def test_a_picture_is_what_the_pipeline_paints_for_its_seed(models):
    painter = DiffusersPainter(models("stable_diffusion"), config(batch=1))
    (found,) = painter.paint(["a red dog"], [7])
    expected = painter.pipeline(
        "a red dog",
        generator=torch.Generator().manual_seed(7),
        num_inference_steps=3,
        guidance_scale=7.5,
        height=16,
        width=16,
    ).images[0]
    assert np.array_equal(found, np.asarray(expected))


def test_batch_shapes_agree_within_rounding(models):
    painters = [
        DiffusersPainter(models("stable_diffusion"), config(batch=batch)) for batch in (1, 4)
    ]
    one, four = (p.paint(["a dog", "red"], [1, 2]) for p in painters)
    for left, right in zip(one, four, strict=True):
        assert np.abs(left.astype(int) - right.astype(int)).max() <= 1


@pytest.mark.parametrize(
    "change", [{"guidance": 2.0}, {"steps": 5}, {"size": 24}], ids=lambda change: next(iter(change))
)
def test_every_setting_counts(models, plain, change):
    (picture,) = plain.paint(["a dog"], [1])
    other = DiffusersPainter(models("stable_diffusion"), config(**change)).paint(["a dog"], [1])[0]
    assert not np.array_equal(picture, other)


def test_the_small_decoder_takes_the_place_of_the_pipelines_own(plain, small):
    assert isinstance(plain.pipeline.vae, AutoencoderKL)
    assert isinstance(small.pipeline.vae, AutoencoderTiny)


def test_prompts_and_seeds_come_in_pairs(plain):
    with pytest.raises(ValueError, match="zip"):
        plain.paint(["a", "b"], [1])


def test_folders_that_are_refused(models, tmp_path):
    with pytest.raises(MissingWeights, match=r"model_index\.json"):
        DiffusersPainter(tmp_path, config())
    folder = shutil.copytree(models("stable_diffusion"), tmp_path / "coded")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"auto_map": {"a": "b"}}))
    with pytest.raises(Refused, match="auto_map"):
        DiffusersPainter(folder, config())
