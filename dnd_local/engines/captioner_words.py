"""CLIP and a list of words in place of a captioner: of the list, the word nearest to the picture.

The variant of the paper that replaces BLIP by CLIP and a fixed set of concepts. Words are embedded
as they stand, without a template, as CLIP-Dissect does.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dnd_local.core.config import CaptionsConfig, ClipConfig
from dnd_local.core.errors import UserError
from dnd_local.core.records import Pixels
from dnd_local.core.sequences import distinct
from dnd_local.engines.device import CPU
from dnd_local.engines.embedder_open_clip import OpenClipEmbedder
from dnd_local.engines.folders import WORD_LIST


class WordsCaptioner:
    """A `Captioner` that says one word of `words.txt` a picture.

    Args:
        folder: a verified local folder of an open_clip model, with the list, one word a line.
        config: batch shape and precision.
        devices: as in `Execution.devices`.

    Raises:
        UserError: the list names nothing, or is not UTF-8.
        MissingWeights: as `OpenClipEmbedder`.
    """

    def __init__(self, folder: Path, config: CaptionsConfig, devices: Sequence[str] = CPU) -> None:
        self.words = _read_words(folder / WORD_LIST)
        settings = ClipConfig(model=config.model, batch=config.batch, dtype=config.dtype)
        self._embedder = OpenClipEmbedder(folder, settings, devices)

    def close(self) -> None:
        """Let go of the model."""
        self._embedder.close()

    def caption(self, pictures: Sequence[Pixels]) -> list[str]:
        """Return the nearest word of each picture, of equally near ones the first in the list."""
        vectors = self._embedder.embed_pictures(pictures)
        # Row by row: a matrix product's rounding depends on how many rows there are.
        return [self.words[int(np.argmax(self._vectors @ vector))] for vector in vectors]

    @cached_property
    def _vectors(self) -> NDArray[np.float32]:
        return self._embedder.embed_texts(self.words)


def _read_words(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text; save the list as UTF-8, one word a line") from (
            None
        )
    words = distinct(line.strip() for line in lines if line.strip())
    if not words:
        raise UserError(f"{path} names no word; it needs one a line")
    return words
