"""Image generators of diffusers' layout as painters: Stable Diffusion 1, 2 and XL, FLUX.2 klein."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers.utils import import_utils, logging

from dnd_local.core.config import PicturesConfig
from dnd_local.core.records import Pixels
from dnd_local.engines.batching import OnBatches, PaddedBatches
from dnd_local.engines.device import CPU, dtype_of, home, make_deterministic, no_bars, placement
from dnd_local.engines.lora import add_lora
from dnd_local.engines.painter_kinds import Generator, generator_of

# The pipelines import bitsandbytes wherever it is installed, and bitsandbytes then looks for
# compiled code on a hub and reports that it found none. No painter here is quantised.
import_utils._bitsandbytes_available = False

import diffusers  # noqa: E402
from diffusers import AutoencoderTiny, DPMSolverMultistepScheduler, LCMScheduler  # noqa: E402


class DiffusersPainter(OnBatches):
    """A `Painter`: a pipeline of one of `painter_kinds.GENERATORS`.

    Stable Diffusion paints by DPM-Solver++ multistep unless the settings name another sampler; a
    distilled XL (its schedule is spaced "trailing") and FLUX.2 keep their own.

    Each picture has a noise generator of its own, on the CPU, so that it is the same on every
    device and in every batch.

    Args:
        folder: a verified local folder in diffusers' layout.
        config: size, steps, guidance, sampler, batch shape, precision.
        decoder: the folder of a small decoder (`AutoencoderTiny`); None for the pipeline's own.
        lora: the folder of a LoRA that is added to the denoising network.
        devices: as in `Execution.devices`.

    Raises:
        BadConfig, MissingWeights, DamagedFile, Refused, UserError: as `generator_of`; or the LoRA
            is of another network.
    """

    def __init__(
        self,
        folder: Path,
        config: PicturesConfig,
        decoder: Path | None = None,
        lora: Path | None = None,
        devices: Sequence[str] = CPU,
    ) -> None:
        make_deterministic()
        logging.disable_progress_bar()
        no_bars()
        logging.set_verbosity_error()
        kind = generator_of(folder, config)
        how = {
            "dtype": dtype_of(config.dtype),
            "local_files_only": True,
            "use_safetensors": True,
        }
        pipeline = getattr(diffusers, kind.name)
        self.pipeline: Any = pipeline.from_pretrained(folder, **kind.leave_out, **how)
        if decoder is not None:
            small = AutoencoderTiny.from_pretrained(decoder, **how)
            self.pipeline.register_modules(vae=small)
        if lora is not None:
            add_lora(self.pipeline.unet, lora)
        self._sample(kind, config)
        if kind.latent:
            self.pipeline.vae.enable_slicing()  # decoding a batch at once takes more than painting
        self.pipeline.set_progress_bar_config(disable=True)
        self._config = config
        self._batches = PaddedBatches(config.batch)
        self._place(folder, devices)

    def close(self) -> None:
        """Let go of the pipeline."""
        del self.pipeline

    def paint(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Pixels]:
        """Return one picture a (prompt, seed); the same pair has the same picture."""
        return self._batches.run(list(zip(prompts, seeds, strict=True)), self._paint)

    def _paint(self, asked: list[tuple[str, int]]) -> list[Pixels]:
        config = self._config
        pixels = self.pipeline(
            prompt=[prompt for prompt, _ in asked],
            generator=[torch.Generator().manual_seed(seed) for _, seed in asked],
            num_inference_steps=config.steps,
            guidance_scale=config.guidance,
            height=config.size,
            width=config.size,
            output_type="pt",
        ).images
        # On the device, so that bytes are what it hands over.
        eight_bit = (pixels.float() * 255).round().to(torch.uint8)
        return list(eight_bit.permute(0, 2, 3, 1).contiguous().cpu().numpy())

    def _sample(self, kind: Generator, config: PicturesConfig) -> None:
        """Give the pipeline its sampler."""
        schedule = self.pipeline.scheduler.config
        sampler = config.sampler
        if sampler == "auto":
            distilled = kind.distilled_says and schedule.get("timestep_spacing") == "trailing"
            sampler = "lcm" if config.lora else "own" if distilled or not kind.latent else "dpm++"
        if sampler == "dpm++":
            self.pipeline.scheduler = DPMSolverMultistepScheduler.from_config(
                schedule, algorithm_type="dpmsolver++"
            )
        elif sampler == "lcm":
            self.pipeline.scheduler = LCMScheduler.from_config(schedule)

    def _place(self, folder: Path, devices: Sequence[str]) -> None:
        """Put the pipeline on its device, part by part as each is needed if it is too large."""
        size = sum(path.stat().st_size for path in folder.glob("*/*.safetensors"))
        where, _ = placement(devices, size)
        if isinstance(where, str):
            self.pipeline.enable_model_cpu_offload(device=home(devices))  # GPU only
        else:
            self.pipeline.to(home(devices))
