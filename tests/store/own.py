"""Folders of a user's own, a few numbers large, in the layouts that model hubs hand out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file


def tensors(path: Path, *names: str, dtype: Any = np.float32) -> Path:
    """Write a safetensors file of tensors of four numbers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: np.full(4, i, dtype) for i, name in enumerate(names or ("w",))}, path)
    return path


def settings(path: Path, values: Mapping[str, Any] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values or {}))
    return path


def single(folder: Path) -> Path:
    """A model in one file."""
    settings(folder / "config.json", {"model_type": "blip"})
    tensors(folder / "model.safetensors")
    return folder


def sharded(folder: Path) -> Path:
    """A model in two parts, with the whole in one file of another format beside them."""
    parts = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    for tensor, part in parts.items():
        tensors(folder / part, tensor, dtype=np.float16)
    settings(folder / "model.safetensors.index.json", {"weight_map": parts})
    settings(folder / "config.json")
    tensors(folder / "consolidated.safetensors", "a", "b")
    return folder


def pipeline(folder: Path) -> Path:
    """A Stable Diffusion as fine-tuned and published: half precision beside whole, a checker."""
    settings(
        folder / "model_index.json",
        {
            "_class_name": "StableDiffusionPipeline",
            "scheduler": ["diffusers", "PNDMScheduler"],
            "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
            "feature_extractor": [None, None],
            "unet": ["diffusers", "UNet2DConditionModel"],
            "vae": ["diffusers", "AutoencoderKL"],
        },
    )
    settings(folder / "scheduler/scheduler_config.json")
    for part in ("unet", "vae", "safety_checker"):
        settings(folder / part / "config.json")
    tensors(folder / "unet/diffusion_pytorch_model.safetensors")
    tensors(folder / "unet/diffusion_pytorch_model.fp16.safetensors", dtype=np.float16)
    tensors(folder / "vae/diffusion_pytorch_model.fp16.safetensors", dtype=np.float16)
    tensors(folder / "safety_checker/model.safetensors")
    tensors(folder / "everything-in-one.safetensors")
    return folder


def cached(root: Path) -> Path:
    """A snapshot in a model hub's cache, where files are links to blobs."""
    blobs, snapshot = root / "blobs", root / "snapshots/abc"
    single(blobs)
    snapshot.mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        (snapshot / name).symlink_to(f"../../blobs/{name}")
    return snapshot
