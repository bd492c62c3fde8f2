"""Train the painter: UNet and text encoder over the autoencoder's latents.

The UNet predicts the picture, not the noise: it has fewer channels than noise has directions, and
noise that it cannot carry through unharmed would be seen as grain in every picture.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from crew import Crew
from painter_vae import CHANNELS, PATCH, latents
from shared import (
    MODELS,
    PAINTER_COUNT,
    Average,
    Options,
    Pictures,
    Run,
    cosine,
    halve,
    options,
    render,
    set_rate,
)
from tokens import clip_tokenizer, tidy
from torch import nn

from dnd_local.pocket.captions import prompt
from dnd_local.pocket.world import PAINTER_GRID, PAINTER_SEED, SIZE, kept_from_painter

LENGTH = 32
WIDTH = 128
BATCH = 16
RATE = 1e-3
DROPPED = 0.1
PROMPTS = 8
STEPS = 1000
GRID = SIZE // PATCH
HEAVIEST = 8.0
"""The most that a nearly clean picture counts, against 1 for pure noise."""


def scheduler(kind: str) -> Any:
    """Return the noise schedule, for training (``ddpm``) or drawing (``solver``).

    Linear, and rescaled to end in pure noise: a grid this small gives its colours and patterns
    away in all but the noisiest steps, and where it does the prompt teaches nothing. So many
    steps have to be that noisy.
    """
    from diffusers import DDPMScheduler, DPMSolverMultistepScheduler

    common = {
        "num_train_timesteps": STEPS,
        "beta_schedule": "linear",
        "beta_start": 1e-4,
        "beta_end": 0.02,
        "rescale_betas_zero_snr": True,
        "prediction_type": "sample",
    }
    if kind == "ddpm":
        return DDPMScheduler(**common)
    return DPMSolverMultistepScheduler(
        **common,
        algorithm_type="dpmsolver++",
        solver_order=2,
        timestep_spacing="trailing",
        steps_offset=1,
    )


def build(tokens: int, end: int, start: int) -> tuple[Any, Any]:
    """Return the untrained UNet and text encoder."""
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    unet = UNet2DConditionModel(
        sample_size=GRID,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=(128, 160),
        layers_per_block=1,
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
        norm_num_groups=16,
        # A pooled view of the prompt beside the timestep: colours and patterns, which belong
        # to the whole picture, follow the prompt much sooner than by attention alone.
        addition_embed_type="text",
        addition_embed_type_num_heads=4,
        encoder_hid_dim=None,
    )
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=tokens,
            hidden_size=WIDTH,
            intermediate_size=2 * WIDTH,
            projection_dim=WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=LENGTH,
            bos_token_id=start,
            eos_token_id=end,
            pad_token_id=end,
        )
    )
    return unet, text


class Painter(nn.Module):
    """UNet and text encoder as one module, for one optimiser and one average."""

    def __init__(self, tokenizer: Any) -> None:
        """Build both halves for a tokenizer."""
        super().__init__()
        self.unet, self.text = build(len(tokenizer), tokenizer.eos_token_id, tokenizer.bos_token_id)


def allowed(data: Pictures) -> npt.NDArray[np.int64]:
    """Return the rows without any combination kept from the painter."""
    return np.array(
        [
            row
            for row, shown in enumerate(data.attributes)
            if not any(kept_from_painter(o, shown.colour, shown.pattern) for o in shown.objects)
        ]
    )


def encode_prompts(tokenizer: Any, data: Pictures) -> torch.Tensor:
    """Return PROMPTS tokenised prompts a picture, shape (n, PROMPTS, LENGTH)."""
    rng = random.Random(0)
    said = [prompt(shown, rng) for shown in data.attributes for _ in range(PROMPTS)]
    ids = tokenizer(said, padding="max_length", truncation=True, max_length=LENGTH)["input_ids"]
    return torch.tensor(ids).reshape(len(data.attributes), PROMPTS, LENGTH)


class Lessons:
    """Batches of pictures and prompts, and the loss of a painter on one."""

    def __init__(self, grids: torch.Tensor, prompts: torch.Tensor, empty: torch.Tensor) -> None:
        """Keep latents (n, CHANNELS, GRID, GRID), prompts (n, PROMPTS, LENGTH), none (LENGTH,)."""
        self.grids, self.prompts, self.empty = grids, prompts, empty
        self.noise = scheduler("ddpm")
        self.noise.alphas_cumprod = self.noise.alphas_cumprod.to(grids.device)

    @classmethod
    def of(cls, given: Options, tokenizer: Any) -> Lessons:
        """Return the lessons of the painter's own pictures."""
        data = render(given.work, PAINTER_SEED, PAINTER_COUNT, PAINTER_GRID)
        rows = allowed(data)
        grids = latents(given, data)[rows]
        prompts = encode_prompts(tokenizer, data).to(given.device)[rows]
        empty = tokenizer("", padding="max_length", max_length=LENGTH)["input_ids"]
        return cls(grids, prompts, torch.tensor(empty, device=given.device))

    def __call__(self, model: Any) -> torch.Tensor:
        """Return the loss of a painter on a random batch."""
        device = self.grids.device
        chosen = np.random.randint(0, len(self.grids), BATCH)
        clean = self.grids[chosen].contiguous(memory_format=torch.channels_last)
        ids = self.prompts[chosen, np.random.randint(0, PROMPTS, BATCH)]
        ids[torch.rand(BATCH, device=device) < DROPPED] = self.empty
        times = torch.randint(0, STEPS, (BATCH,), device=device)
        added = torch.randn_like(clean)
        noisy = self.noise.add_noise(clean, added, times)
        guess = model.unet(noisy, times, model.text(ids).last_hidden_state).sample
        # The error of the velocity, as far as that is reasonable.
        weight = (1 / (1 - self.noise.alphas_cumprod[times])).clamp_max(HEAVIEST)
        return ((guess - clean).square().mean((1, 2, 3)) * weight).mean()


def train(run: Run, given: Options, tokenizer: Any) -> dict[str, torch.Tensor]:
    """Train and return the averaged weights."""
    model = Painter(tokenizer).to(given.device, memory_format=torch.channels_last)
    average = Average(model)
    optimiser = torch.optim.AdamW(model.parameters(), RATE, weight_decay=1e-3)

    run.restore(model=model, average=average, optimiser=optimiser)
    if given.save_only:
        return average.state
    for group in optimiser.param_groups:
        group["fused"] = True
    lessons = Lessons.of(given, tokenizer)
    run.log(
        f"{sum(p.numel() for p in model.parameters())} parameters, {len(lessons.grids)} pictures"
    )
    crew = Crew.of(model, lessons, given, run.step)
    for share in run.steps():
        set_rate(optimiser, RATE * cosine(share))
        optimiser.zero_grad()
        loss = crew.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        average.update(model)
        run.loss(loss)
    return average.state


def save(given: Options, tokenizer: Any, weights: dict[str, torch.Tensor], folder: Path) -> None:
    """Write the whole pipeline folder, in fp16."""
    from diffusers import AutoencoderKL, StableDiffusionPipeline

    model = Painter(tokenizer)
    model.load_state_dict(weights)
    pipeline = StableDiffusionPipeline(
        vae=AutoencoderKL.from_pretrained(given.work / "vae"),
        text_encoder=model.text,
        tokenizer=tokenizer,
        unet=model.unet,
        scheduler=scheduler("solver"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    fresh = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(fresh, ignore_errors=True)
    pipeline.save_pretrained(fresh)
    halve(fresh)
    tidy(fresh)
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)


def main() -> None:
    """Train, or with ``--save-only`` write out what the last checkpoint holds."""
    given = options(__doc__, minutes=60)
    run = Run("painter", given)
    tokenizer = clip_tokenizer(LENGTH)
    weights = train(run, given, tokenizer)
    save(given, tokenizer, weights, MODELS / "painter")


if __name__ == "__main__":
    main()
