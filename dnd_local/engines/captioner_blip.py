"""BLIP and BLIP-2 as captioners, through transformers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from transformers import (
    AutoImageProcessor,
    AutoTokenizer,
    Blip2ForConditionalGeneration,
    BlipForConditionalGeneration,
)

from dnd_local.core.config import CaptionsConfig
from dnd_local.core.errors import UserError
from dnd_local.core.records import Pixels
from dnd_local.engines.ahead import Preparation
from dnd_local.engines.batching import OnBatches, PaddedBatches
from dnd_local.engines.device import (
    CPU,
    dtype_of,
    home,
    keep_precision,
    loading,
    make_deterministic,
)
from dnd_local.engines.folders import load_whole, settings_of

_CLASSES: Final = {
    "BlipForConditionalGeneration": BlipForConditionalGeneration,
    "Blip2ForConditionalGeneration": Blip2ForConditionalGeneration,
}


class BlipCaptioner(OnBatches):
    """A `Captioner`: greedy captions of BLIP or BLIP-2, whichever the folder's `config.json` is.

    Args:
        folder: a verified local folder (configuration, safetensors, tokenizer, image processor).
        config: batch shape, precision, quantisation, lengths.
        devices: as in `Execution.devices`.

    Raises:
        UserError: another architecture.
        Refused: the folder asks to run code of its own.
    """

    def __init__(self, folder: Path, config: CaptionsConfig, devices: Sequence[str] = CPU) -> None:
        make_deterministic()
        names = settings_of(folder).get("architectures") or ["none"]
        if names[0] not in _CLASSES:
            raise UserError(
                f"{folder} holds {names[0]}, which is no captioner known here; use "
                f"{' or '.join(_CLASSES)}"
            )
        # Folders saved by transformers 5 have the one, older ones the other.
        new = (folder / "processor_config.json").is_file()
        settings_of(folder, "processor_config.json" if new else "preprocessor_config.json")
        self._home, self._dtype, self._config = home(devices), dtype_of(config.dtype), config
        # The PIL backend is pinned: torchvision's resizing gives other pixels.
        self._processor = AutoImageProcessor.from_pretrained(
            folder, backend="pil", local_files_only=True, trust_remote_code=False
        )
        self._tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        how = loading(folder, devices, config.dtype, config.quantisation)
        self.model: Any = load_whole(_CLASSES[names[0]], folder, how).eval()
        keep_precision(self.model, config.dtype)
        self._prompt = _prompt_length(self.model)
        self._batches = PaddedBatches(config.batch)
        self._inputs = Preparation(self._prepare, self._home)

    def close(self) -> None:
        """End the processor's threads and let go of the model."""
        self._inputs.close()
        del self.model

    def caption(self, pictures: Sequence[Pixels]) -> list[str]:
        """Return one caption a picture."""
        with self._inputs.of(pictures) as take:
            indices = range(len(pictures))
            return self._batches.run(indices, lambda part: self._caption(take(part)))

    def _prepare(self, picture: Pixels) -> torch.Tensor:
        # The axis of channels is said: of a picture 1 or 3 pixels high it would be guessed wrong.
        inputs = self._processor(
            images=[picture], return_tensors="pt", input_data_format="channels_last"
        )["pixel_values"]
        return torch.as_tensor(inputs[0])

    def _caption(self, inputs: list[torch.Tensor]) -> list[str]:
        pixels = torch.stack(inputs)
        with torch.inference_mode():
            tokens = self.model.generate(
                pixel_values=pixels.to(self._home, self._dtype),
                do_sample=False,
                num_beams=1,
                min_new_tokens=self._config.min_tokens,
                max_new_tokens=self._config.max_tokens,
            )
        texts = self._tokenizer.batch_decode(tokens[:, self._prompt :], skip_special_tokens=True)
        return [text.strip() for text in texts]


def _prompt_length(model: Any) -> int:
    """Return how many tokens of `generate`'s answer are its own prompt.

    BLIP's begins with one start token; BLIP-2's with the query tokens and a start token if its
    language model is a decoder, and with the decoder's start token if it is an encoder-decoder.
    """
    if not isinstance(model, Blip2ForConditionalGeneration):
        return 1
    if model.config.text_config.is_encoder_decoder:
        return 1
    return int(model.config.num_query_tokens) + 1
