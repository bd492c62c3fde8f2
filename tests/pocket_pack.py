"""A stand-in for the embedded models: the same ids and layout, a few bytes each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from dnd_local.store.manifest import parse_manifest
from dnd_local.store.weights import Weights
from tests.store.hub import entry, put, weights

# What says which kind of model a folder holds is read before any of them is built.
SMALL = {"config.json": b"{}", "model.safetensors": bytes(range(200))}
FILES = {
    "target": SMALL,
    "captioner": {
        **SMALL,
        "config.json": b'{"model_type": "blip"}',
        "tokenizer.json": b'{"a": 1}',
    },
    "llm": {**SMALL, "chat_template.jinja": b"{{ messages }}"},
    "painter": {
        "model_index.json": b'{"_class_name": "StableDiffusionPipeline"}',
        "unet/config.json": b"{}",
        "unet/diffusion_pytorch_model.safetensors": bytes(300),
        "vae/diffusion_pytorch_model.safetensors": bytes(100),
    },
    "embedder": {"open_clip_config.json": b"{}", "open_clip_model.safetensors": bytes(50)},
}
"""Each model's files, by its folder."""


@dataclass(frozen=True, slots=True)
class PocketPack:
    """Models in a folder, and a manifest that names them."""

    home: Path

    @classmethod
    def made(cls, home: Path) -> PocketPack:
        """Return a pack whose files are written below `home`."""
        pack = cls(home)
        for folder, files in FILES.items():
            put(pack.models / folder, files)
        text = json.dumps({"schema": 1, "entries": _entries()})
        parse_manifest(text.encode())
        pack.manifest.write_text(text)
        return pack

    @property
    def models(self) -> Path:
        return self.home / "models"

    @property
    def manifest(self) -> Path:
        return self.home / "manifest.json"

    def weights(self) -> Weights:
        """Return the weights as a new process would see them."""
        return weights(self.home / "weights", *_entries(), models=self.models)


def _entries() -> list[dict[str, object]]:
    return [
        entry(f"pocket-{folder}", files, source={"kind": "shipped", "folder": folder})
        for folder, files in FILES.items()
    ]


def flip(path: Path, bit: int) -> None:
    """Change one bit of a file; `bit` counts from its first, round and round."""
    data = bytearray(path.read_bytes())
    place = bit % (8 * len(data))
    data[place // 8] ^= 1 << place % 8
    path.write_bytes(data)
