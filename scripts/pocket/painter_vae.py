"""Train the painter's AutoencoderKL: 64 pixels to a 16x16 grid of 8 channels and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from shared import (
    MODELS,
    TEST_COUNT,
    TRAIN_COUNT,
    Options,
    Pictures,
    Run,
    cosine,
    mirrored,
    options,
    render,
    set_rate,
)
from target import normalised
from torch import nn

from dnd_local.pocket import target
from dnd_local.pocket.world import HELD_OUT_SEED, SIZE, TRAIN_SEED

BATCH = 6
RATE = 2e-3
CHANNELS = 8


def build() -> Any:
    """Return the untrained autoencoder."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 32, 64),
        layers_per_block=1,
        latent_channels=CHANNELS,
        norm_num_groups=8,
        sample_size=SIZE,
        mid_block_add_attention=False,
        scaling_factor=1.0,
    )


class Likeness(nn.Module):
    """How unlike two batches look to the first two layers of the trained target."""

    def __init__(self) -> None:
        """Load the target and freeze it."""
        super().__init__()
        net = target.load(MODELS / "target").requires_grad_(False)
        self.stem = nn.Sequential(net.conv1, net.bn1, net.relu)
        self.layers = nn.ModuleList([net.layer1, net.layer2])

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """Return the mean absolute difference of the features; inputs are in [-1, 1]."""
        both = self.stem(normalised(torch.cat([first, second]) / 2 + 0.5))
        total = torch.zeros((), device=first.device)
        for layer in (None, *self.layers):
            both = both if layer is None else layer(both)
            one, other = both.chunk(2)
            total = total + (one - other.detach()).abs().mean()
        return total


def edges(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return the mean absolute difference of neighbouring-pixel steps."""
    gap = first - second
    return gap.diff(dim=-1).abs().mean() + gap.diff(dim=-2).abs().mean()


def train(run: Run, given: Options, data: Pictures) -> Any:
    """Train the autoencoder and return it."""
    model = build().to(given.device, memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(model.parameters(), RATE, weight_decay=0.0)

    def state() -> dict[str, Any]:
        return {"model": model.state_dict(), "optimiser": optimiser.state_dict()}

    def load(saved: Any) -> None:
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])

    run.restore(load)
    likeness = Likeness().to(given.device, memory_format=torch.channels_last)
    for share in run.steps(state):
        set_rate(optimiser, RATE * cosine(share))
        rows = np.random.randint(0, len(data.attributes), BATCH)
        images = mirrored(data.tensor(rows, given.device)) * 2 - 1
        images = images.contiguous(memory_format=torch.channels_last)
        posterior = model.encode(images).latent_dist
        again = model.decode(posterior.sample()).sample
        plain = (again - images).abs().mean()
        loss = plain + 0.5 * (again - images).square().mean() + 0.5 * edges(again, images)
        loss = loss + 0.2 * likeness(again, images) + 1e-6 * posterior.kl().mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        run.loss(plain.item())
    return model.eval()


@torch.no_grad()
def standardise(model: Any, data: Pictures, device: torch.device) -> None:
    """Fold each latent channel's mean and spread into the 1x1 convolutions around it.

    The painter then meets channels of mean 0 and spread 1, with a scaling factor of 1.
    """
    latents = torch.cat(
        [
            model.encode(data.tensor(slice(at, at + 100), device) * 2 - 1).latent_dist.mean
            for at in range(0, 2000, 100)
        ]
    )
    mean = latents.mean((0, 2, 3))
    spread = latents.std((0, 2, 3)).clamp_min(1e-4)
    count = len(mean)
    into, out = model.quant_conv, model.post_quant_conv
    out.bias += out.weight[:, :, 0, 0] @ mean
    out.weight *= spread[None, :, None, None]
    into.weight[:count] /= spread[:, None, None, None]
    into.bias[:count] = (into.bias[:count] - mean) / spread
    into.bias[count:] -= 2 * spread.log()


def main() -> None:
    """Train, standardise, and keep the result in the work folder for the painter."""
    given = options(__doc__, minutes=10)
    run = Run("painter_vae", given)
    data = render(given.work, TRAIN_SEED, TRAIN_COUNT)
    model = train(run, given, data)
    standardise(model, data, given.device)
    model.save_pretrained(given.work / "vae")
    test = render(given.work, HELD_OUT_SEED, TEST_COUNT)
    with torch.no_grad():
        images = test.tensor(slice(0, 200), given.device) * 2 - 1
        again = model.decode(model.encode(images).latent_dist.mean).sample.clamp(-1, 1)
    run.log(f"held out: mean absolute error {(again - images).abs().mean() / 2:.4f} of 1")


if __name__ == "__main__":
    main()
