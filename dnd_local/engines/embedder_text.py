"""Sentence encoders (mpnet, MiniLM) for evaluation, through sentence-transformers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer

from dnd_local.engines.batching import OnBatches, PaddedBatches, up_to_multiple
from dnd_local.engines.device import CPU, home, make_deterministic
from dnd_local.engines.folders import settings_of

_LENGTH_STEP: Final = 16
"""Texts are padded to a multiple of so many tokens, and batched with texts of the same."""


class SentenceEncoder(OnBatches):
    """Unit vectors of texts; a text's vector does not depend on the texts beside it.

    Args:
        folder: a verified local folder in sentence-transformers' layout.
        batch: padded batch shape.
        devices: as in `Execution.devices`; the first one takes it all.

    Raises:
        MissingWeights: the folder is no model.
        Refused: the folder asks to run code of its own.
    """

    def __init__(self, folder: Path, batch: int = 32, devices: Sequence[str] = CPU) -> None:
        make_deterministic()
        settings_of(folder)
        self._home = home(devices)
        self.model: Any = SentenceTransformer(
            str(folder),
            device=str(self._home),
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs={"use_safetensors": True},
        ).eval()
        self._limit = int(self.model.max_seq_length)
        self._batches = PaddedBatches(batch)

    def close(self) -> None:
        """Let go of the model."""
        del self.model

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, float32 of shape (n_texts, dimensions)."""
        rows = self._batches.run_by_length(texts, self._padded_length, self._embed)
        if not rows:
            return np.zeros((0, self.model.get_embedding_dimension()), np.float32)
        return np.stack(rows)

    def _padded_length(self, text: str) -> int:
        tokens = self.model.tokenizer(text, truncation=True, max_length=self._limit)["input_ids"]
        return min(up_to_multiple(len(tokens), _LENGTH_STEP), self._limit)

    def _embed(self, texts: list[str]) -> list[NDArray[np.float32]]:
        features = self.model.tokenizer(
            texts,
            padding="max_length",
            truncation=True,
            max_length=self._padded_length(texts[0]),
            return_tensors="pt",
        ).to(self._home)
        with torch.inference_mode():
            vectors = self.model(dict(features))["sentence_embedding"]
        return list(torch.nn.functional.normalize(vectors.float(), dim=-1).cpu().numpy())
