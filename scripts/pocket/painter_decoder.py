"""Train the autoencoder's decoder further, its encoder frozen, so that pictures get sharper.

The painter works on latents, which this leaves as they are: it can run beside the painter's own
training, and the last decoder is put into the pipeline when the painter is saved.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from painter_vae import Likeness, edges
from shared import (
    TEST_COUNT,
    TRAIN_COUNT,
    Options,
    Pictures,
    Run,
    cosine,
    options,
    render,
    set_rate,
)
from torch import nn

from dnd_local.pocket.world import HELD_OUT_SEED, TRAIN_SEED

BATCH = 6
RATE = 1.5e-3
LATENTS = 12_000
"""Training pictures that are encoded, once."""
NOISE = 0.05
"""Spread of the noise that is added to latents (whose own spread is 1): the painter's miss too."""


def open_autoencoder(given: Options) -> Any:
    """Return the autoencoder of the work folder."""
    from diffusers import AutoencoderKL

    return AutoencoderKL.from_pretrained(given.work / "vae", local_files_only=True).float()


@torch.no_grad()
def encoded(model: Any, data: Pictures, device: torch.device) -> torch.Tensor:
    """Return the latents of the first `LATENTS` pictures, shape (n, channels, 16, 16)."""
    return torch.cat(
        [
            model.encode(data.tensor(slice(at, at + 50), device) * 2 - 1).latent_dist.mean
            for at in range(0, LATENTS, 50)
        ]
    )


def train(run: Run, given: Options, model: Any, data: Pictures) -> None:
    """Train the decoder and the convolution before it."""
    model.encoder.requires_grad_(False)
    model.quant_conv.requires_grad_(False)
    part = nn.ModuleList([model.decoder, model.post_quant_conv])
    optimiser = torch.optim.AdamW(part.parameters(), RATE, weight_decay=0.0)

    def state() -> dict[str, Any]:
        return {"part": part.state_dict(), "optimiser": optimiser.state_dict()}

    def load(saved: Any) -> None:
        part.load_state_dict(saved["part"])
        optimiser.load_state_dict(saved["optimiser"])

    run.restore(load)
    likeness = Likeness().to(given.device)
    latents = encoded(model, data, given.device)
    for share in run.steps(state):
        set_rate(optimiser, RATE * cosine(share))
        rows = np.random.randint(0, LATENTS, BATCH)
        images = data.tensor(rows, given.device) * 2 - 1
        chosen = latents[torch.from_numpy(rows)]
        again = model.decode(chosen + NOISE * torch.randn_like(chosen)).sample
        plain = (again - images).abs().mean()
        loss = plain + 0.5 * (again - images).square().mean() + 0.5 * edges(again, images)
        loss = loss + 0.2 * likeness(again, images)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(part.parameters(), 1.0)
        optimiser.step()
        run.loss(plain.item())


def main() -> None:
    """Train, put the decoder back into the work folder's autoencoder, and measure it."""
    given = options(__doc__, minutes=60)
    run = Run("painter_decoder", given)
    model = open_autoencoder(given).to(given.device)
    train(run, given, model, render(given.work, TRAIN_SEED, TRAIN_COUNT))
    model.eval().save_pretrained(given.work / "vae")
    test = render(given.work, HELD_OUT_SEED, TEST_COUNT)
    with torch.no_grad():
        images = test.tensor(slice(0, 200), given.device) * 2 - 1
        again = model.decode(model.encode(images).latent_dist.mean).sample.clamp(-1, 1)
    run.log(f"held out: mean absolute error {(again - images).abs().mean() / 2:.4f} of 1")


if __name__ == "__main__":
    main()
