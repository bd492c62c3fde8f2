"""Folders of sparse autoencoders with random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor


def tensors_of(inputs: int, latents: int, seed: int = 0) -> dict[str, Tensor]:
    """Return the tensors of an autoencoder, those of every kind."""
    drawn = torch.Generator().manual_seed(seed)
    weight = torch.randn((inputs, latents), generator=drawn) / inputs**0.5
    return {
        "W_enc": weight,
        "b_enc": 0.1 * torch.randn(latents, generator=drawn),
        "W_dec": weight.T.contiguous(),
        "b_dec": 0.1 * torch.randn(inputs, generator=drawn),
        "threshold": 0.2 * torch.rand(latents, generator=drawn),
    }


def save_latents(
    folder: Path, inputs: int, latents: int, kind: str = "relu", seed: int = 0, **settings: Any
) -> Path:
    """Write an autoencoder as its folder is read, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = tensors_of(inputs, latents, seed)
    if kind != "jumprelu":
        del tensors["threshold"]
    save_file(tensors, folder / "sae.safetensors")
    said = {"kind": kind, "subtract_b_dec": True, **({"k": 3} if kind == "topk" else {})}
    (folder / "config.json").write_text(json.dumps({**said, **settings}))
    return folder
