"""BERTScore F1 (Zhang et al., 2020) over the tokens of one transformer layer.

Ours rather than torchmetrics': its batched form (1.9) pairs texts wrongly unless they come
sorted by length, and it embeds a text anew for every pair, while the unmatched null needs many
pairs of few texts. The test holds this against torchmetrics one pair at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModel, AutoTokenizer

from dnd_local.engines.device import CPU, home
from dnd_local.engines.folders import settings_of

LAYER: Final = 17
"""The layer of roberta-large that the metric's authors chose by agreement with people."""

LONGEST: Final = 512
"""Tokens of a text that count, the most the model takes."""

BATCH: Final = 32


class BertScorer:
    """BERTScore without idf weights, by a model of a local folder; nothing is fetched.

    Args:
        folder: the model's folder, for example of roberta-large.
        layer: the layer whose hidden states are compared, 0 the embeddings.
        devices: as in `Execution.devices`; the first one takes it all.

    Raises:
        MissingWeights: the folder is no model.
        Refused: the folder asks to run code of its own.
    """

    def __init__(self, folder: Path, layer: int = LAYER, devices: Sequence[str] = CPU) -> None:
        settings_of(folder)
        self._device = home(devices)
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
        self._model = model.eval().to(self._device)
        # The metric's own code gives a byte-level tokenizer a leading space, so that the first
        # word is the same token as elsewhere.
        self._lead = " " if model.config.model_type == "roberta" else ""
        self._layer = layer
        self._known: dict[str, torch.Tensor] = {}

    def score(self, predictions: Sequence[str], references: Sequence[str]) -> NDArray[np.float32]:
        """Return F1 of every pair, float32 of shape (n_pairs,); 0 where a text has no token."""
        self._embed(sorted({*predictions, *references} - self._known.keys(), key=len))
        pairs = zip(predictions, references, strict=True)
        return np.array([self._f1(one, other) for one, other in pairs], dtype=np.float32)

    def _f1(self, prediction: str, reference: str) -> float:
        similar = self._known[prediction] @ self._known[reference].T
        if similar.numel() == 0:
            return 0.0
        precision, recall = similar.amax(dim=1).mean(), similar.amax(dim=0).mean()
        return float(2 * precision * recall / (precision + recall))

    def _embed(self, texts: Sequence[str]) -> None:
        """Keep the unit vectors of each text's tokens, without the marks at start and end."""
        for start in range(0, len(texts), BATCH):
            group = texts[start : start + BATCH]
            tokens = self._tokenizer(
                [self._lead + text.strip() for text in group],
                padding=True,
                truncation=True,
                max_length=LONGEST,
                return_tensors="pt",
                return_special_tokens_mask=True,
            )
            kept = tokens.pop("special_tokens_mask") == 0
            with torch.inference_mode():
                states = self._model(
                    **tokens.to(self._device), output_hidden_states=True
                ).hidden_states[self._layer]
            units = torch.nn.functional.normalize(states.float(), dim=-1).cpu()
            for text, unit, keep in zip(group, units, kept, strict=True):
                self._known[text] = unit[keep]
