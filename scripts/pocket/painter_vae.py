"""Make the painter's AutoencoderKL: 64 pixels to an 8x8 grid of 32 channels and back.

The encoder is solved for, not searched for: it holds the principal components of 8x8 patches,
so latents are final before any training and the painter need not wait. The decoder is trained.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import torch
from crew import Crew
from shared import (
    MODELS,
    PAINTER_COUNT,
    TEST_COUNT,
    Options,
    Pictures,
    Run,
    cosine,
    options,
    render,
    set_rate,
)
from target import normalised
from torch import nn

from dnd_local.engines.target_loading import load_folder
from dnd_local.pocket.world import HELD_OUT_SEED, PAINTER_GRID, PAINTER_SEED, SIZE

BATCH = 8
RATE = 2e-3
CHANNELS = 32
WIDTHS = (16, 48, 64, 128)
PATCH = 8
"""In pixels: halved once between each two widths, and as wide as the pictures' grid."""
SPREAD = 0.1
"""Standard deviation of the posterior: the decoder learns to forgive errors of this size."""
CONSTANT = 64.0


def build() -> Any:
    """Return the untrained autoencoder."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * len(WIDTHS),
        up_block_types=("UpDecoderBlock2D",) * len(WIDTHS),
        block_out_channels=WIDTHS,
        layers_per_block=1,
        latent_channels=CHANNELS,
        norm_num_groups=8,
        sample_size=SIZE,
        mid_block_add_attention=False,
        scaling_factor=1.0,
    )


def components(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Fit the projection of patches to latents.

    A channel's spread is the square root of its component's, over their root mean square: half
    way between whitened, where noise in fine detail costs as much as a wrong colour, and plain.

    Args:
        images: Pictures in [-1, 1], shape (n, 3, 64, 64).

    Returns:
        The weight, shape (CHANNELS, 3, PATCH, PATCH), and the bias, shape (CHANNELS,).
    """
    patches = nn.functional.unfold(images, PATCH, stride=PATCH).transpose(1, 2).flatten(0, 1)
    mean = patches.mean(0)
    values, vectors = torch.linalg.eigh(torch.cov((patches - mean).T))
    values, vectors = values.flip(0)[:CHANNELS], vectors.flip(1)[:, :CHANNELS]
    wanted = values.sqrt().sqrt()
    wanted = wanted / wanted.square().mean().sqrt()
    weight = vectors.T * (wanted / values.sqrt())[:, None]
    return weight.reshape(CHANNELS, 3, PATCH, PATCH), -weight @ mean


@torch.no_grad()
def solve(model: Any, images: torch.Tensor) -> None:
    """Write the principal components of patches into the encoder.

    Every residual branch is closed, each down-sampling but the last moves 2x2 pixels into
    channels, and the last projects 2x2 of those. The last norm and SiLU are undone: each channel
    travels with its negative, since silu(x) - silu(-x) = x, and each group carries constants so
    large that its spread, by which the norm divides, does not depend on the picture.
    """
    weight, bias = components(images)
    encoder = model.encoder
    for value in encoder.parameters():
        value.zero_()
    for block in (*encoder.down_blocks, encoder.mid_block):
        for resnet in block.resnets:
            resnet.norm1.weight.fill_(1)
            resnet.norm2.weight.fill_(1)
    centre, corner = (1, 1), (slice(2), slice(2))
    encoder.conv_in.weight[:3, :3, *centre] = torch.eye(3)
    *moving, projecting = (block.downsamplers[0].conv for block in encoder.down_blocks[:-1])
    for level, move in enumerate(moving):
        held = 3 * 4**level
        move.weight[: 4 * held, :held, *corner] = torch.eye(4 * held).reshape(-1, held, 2, 2)
        shortcut = encoder.down_blocks[level + 1].resnets[0].conv_shortcut.weight
        shortcut[: 4 * held, : 4 * held, 0, 0] = torch.eye(4 * held)
        weight = nn.functional.pixel_unshuffle(weight, 2)
    projecting.weight[:CHANNELS, : weight.shape[1], *corner] = weight
    projecting.bias[:CHANNELS] = bias
    last = encoder.down_blocks[-1].resnets[0].conv_shortcut
    norm, out = encoder.conv_norm_out, encoder.conv_out
    group = norm.num_channels // norm.num_groups
    spread = CONSTANT / 2**0.5
    for channel in range(norm.num_channels):
        place = channel % group
        sign = 1 - 2 * (place % 2)
        if place < group // 2:
            component = channel // group * (group // 4) + place // 2
            last.weight[channel, component] = sign
            norm.weight[channel] = spread
            out.weight[component, channel, *centre] = sign
        else:
            last.bias[channel] = sign * CONSTANT
    out.bias[CHANNELS:] = 2 * np.log(SPREAD)
    into = model.quant_conv
    into.weight.copy_(torch.eye(2 * CHANNELS)[:, :, None, None])
    into.bias.zero_()


@torch.no_grad()
def latents(given: Options, data: Pictures) -> torch.Tensor:
    """Return every picture's latents, computed once and kept in the work folder."""
    from diffusers import AutoencoderKL

    vae = AutoencoderKL.from_pretrained(given.work / "vae").to(given.device).eval()
    digest = hashlib.sha256(data.pixels)
    # The decoder may have been trained further since: only the encoder makes latents stale.
    for part in (vae.encoder, vae.quant_conv):
        for value in part.state_dict().values():
            digest.update(value.cpu().numpy().tobytes())
    path = given.work / f"latents-{digest.hexdigest()[:12]}.npy"
    if not path.exists():
        parts = []
        for at in range(0, len(data.attributes), 100):
            images = data.tensor(slice(at, at + 100), given.device) * 2 - 1
            parts.append(vae.encode(images).latent_dist.mean.cpu().numpy())
        np.save(path, np.concatenate(parts))
    return torch.from_numpy(np.load(path)).to(given.device)


class Likeness(nn.Module):
    """How unlike two batches look to the first two layers of the trained target."""

    def __init__(self) -> None:
        """Load the target and freeze it."""
        super().__init__()
        net: Any = load_folder(MODELS / "target")[0].eval().requires_grad_(False)
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


@torch.no_grad()
def error(model: Any, data: Pictures, device: torch.device) -> float:
    """Return the mean absolute error of 200 pictures there and back, of a range of 1."""
    images = data.tensor(slice(0, 200), device) * 2 - 1
    again = model.decode(model.encode(images).latent_dist.mean).sample.clamp(-1, 1)
    return float((again - images).abs().mean() / 2)


class Lessons:
    """Batches of latents and pictures, and the loss of a decoder on one."""

    def __init__(self, grids: torch.Tensor, data: Pictures, likeness: Likeness) -> None:
        """Keep latents (n, CHANNELS, 8, 8), the pictures they code, and what compares them."""
        self.grids, self.data, self.likeness = grids, data, likeness

    def __call__(self, model: nn.Module) -> torch.Tensor:
        """Return the loss of a decoder on a random batch of latents with the posterior's noise."""
        rows = np.random.randint(0, len(self.grids), BATCH)
        images = self.data.tensor(rows, self.grids.device) * 2 - 1
        images = images.contiguous(memory_format=torch.channels_last)
        coded = self.grids[rows]
        coded = coded + SPREAD * torch.randn_like(coded)
        again = model(coded.contiguous(memory_format=torch.channels_last))
        gap = again - images
        plain = gap.abs().mean() + 0.5 * gap.square().mean() + 0.5 * edges(again, images)
        return plain + 0.2 * self.likeness(again, images)


def train(run: Run, given: Options, model: Any, data: Pictures) -> None:
    """Train the decoder."""
    decoder = nn.Sequential(model.post_quant_conv, model.decoder)
    optimiser = torch.optim.AdamW(decoder.parameters(), RATE, weight_decay=0.0)

    run.restore(model=decoder, optimiser=optimiser)
    likeness = Likeness().to(given.device, memory_format=torch.channels_last)
    lessons = Lessons(latents(given, data), data, likeness)
    crew = Crew.of(decoder, lessons, given, run.step)
    for share in run.steps():
        set_rate(optimiser, RATE * cosine(share))
        optimiser.zero_grad()
        loss = crew.backward()
        nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
        optimiser.step()
        run.loss(loss)


def main() -> None:
    """Solve the encoder, keep it for the painter, train the decoder, and keep that."""
    from diffusers import AutoencoderKL

    given = options(__doc__, minutes=30)
    run = Run("painter_vae", given)
    data = render(given.work, PAINTER_SEED, PAINTER_COUNT, PAINTER_GRID)
    kept = given.work / "vae"
    # An encoder solved again from other pictures would not code as the painter has learnt.
    if not kept.exists():
        model = build()
        solve(model, data.tensor(slice(0, 2000), torch.device("cpu")) * 2 - 1)
        model.save_pretrained(kept)
    model = AutoencoderKL.from_pretrained(kept)
    model.to(given.device, memory_format=torch.channels_last)
    train(run, given, model, data)
    model.save_pretrained(kept)
    test = render(given.work, HELD_OUT_SEED, TEST_COUNT, PAINTER_GRID)
    run.log(f"held out: mean absolute error {error(model.eval(), test, given.device):.4f} of 1")


if __name__ == "__main__":
    main()
