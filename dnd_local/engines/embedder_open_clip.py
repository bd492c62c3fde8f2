"""CLIP as embedder of pictures and texts, through open_clip."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from PIL import Image

from dnd_local.core.config import ClipConfig
from dnd_local.core.errors import MissingWeights
from dnd_local.core.records import Pixels
from dnd_local.engines.ahead import Preparation
from dnd_local.engines.batching import OnBatches, PaddedBatches
from dnd_local.engines.device import CPU, dtype_of, home, make_deterministic
from dnd_local.engines.folders import settings_of

_PRECISIONS: Final = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}


class OpenClipEmbedder(OnBatches):
    """An `Embedder`: any CLIP that open_clip can build from a folder.

    Args:
        folder: a verified local folder with `open_clip_config.json` and one of
            `open_clip_model.safetensors`, `open_clip_pytorch_model.safetensors`,
            `model.safetensors`.
        config: batch shape and precision.
        devices: as in `Execution.devices`; a CLIP is small, the first one takes it all.

    Raises:
        MissingWeights: the configuration or the weights are not there.
        Refused: the folder asks to run code of its own.
    """

    def __init__(self, folder: Path, config: ClipConfig, devices: Sequence[str] = CPU) -> None:
        make_deterministic()
        settings_of(folder, "open_clip_config.json")
        if not any(folder.glob("*.safetensors")):  # else open_clip would take a pickle, or none
            raise MissingWeights(f"{folder} holds no safetensors file for open_clip")
        self._home, self._dtype = home(devices), dtype_of(config.dtype)
        name = f"local-dir:{folder}"
        self.model: Any
        self.model, _, self._transform = open_clip.create_model_and_transforms(
            name,
            precision=_PRECISIONS[config.dtype],
            device=self._home,
            pretrained_text=False,
            require_pretrained=True,
        )
        self.model.eval()
        self._tokenizer: Any = open_clip.get_tokenizer(name)
        self._batches = PaddedBatches(config.batch)
        self._inputs = Preparation(self._prepare, self._home)

    def close(self) -> None:
        """End the transform's threads and let go of the model."""
        self._inputs.close()
        del self.model

    def embed_pictures(self, pictures: Sequence[Pixels]) -> NDArray[np.float32]:
        """Return unit vectors, float32 of shape (n_pictures, dimensions)."""
        with self._inputs.of(pictures) as take:
            indices = range(len(pictures))
            return self._stack(self._batches.run(indices, lambda part: self._pictures(take(part))))

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, float32 of shape (n_texts, dimensions)."""
        return self._stack(self._batches.run(texts, self._texts))

    def _prepare(self, picture: Pixels) -> torch.Tensor:
        return torch.as_tensor(self._transform(Image.fromarray(picture)))

    def _pictures(self, inputs: list[torch.Tensor]) -> list[NDArray[np.float32]]:
        batch = torch.stack(inputs)
        with torch.inference_mode():
            return _unit(self.model.encode_image(batch.to(self._home, self._dtype)))

    def _texts(self, texts: list[str]) -> list[NDArray[np.float32]]:
        with torch.inference_mode():
            return _unit(self.model.encode_text(self._tokenizer(texts).to(self._home)))

    def _stack(self, rows: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        if not rows:
            return np.zeros((0, self._dimensions()), np.float32)
        return np.stack(rows)

    def _dimensions(self) -> int:
        """Return the length of a vector; found by embedding, for towers call it by many names."""
        return len(self._texts([""] * self._batches.shape)[0])


def _unit(vectors: torch.Tensor) -> list[NDArray[np.float32]]:
    return list(torch.nn.functional.normalize(vectors.float(), dim=-1).cpu().numpy())
