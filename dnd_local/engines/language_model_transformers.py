"""A language model in this process, through transformers: the engine that needs no server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from dnd_local.core.config import LlmConfig
from dnd_local.core.conversations import Reply, Request
from dnd_local.core.errors import UserError
from dnd_local.engines.batching import OnBatches, PaddedBatches, up_to_multiple
from dnd_local.engines.device import CPU, home, keep_precision, loading, make_deterministic
from dnd_local.engines.folders import load_whole, settings_of

_LENGTH_STEP: Final = 64
"""Prompts are padded to a multiple of so many tokens, and batched with prompts of the same."""


class TransformersLanguageModel(OnBatches):
    """A `LanguageModel`: any chat model of transformers with a chat template.

    Each request has its own random generator (one number a token), and prompts are padded on the
    left and batched with prompts of the same padded length, so that a reply does not depend on the
    other requests.

    Args:
        folder: a verified local folder (configuration, safetensors, tokenizer with template).
        config: batch shape, precision, quantisation.
        devices: as in `Execution.devices`.

    Raises:
        UserError: the tokenizer has no chat template.
        Refused: the folder asks to run code of its own.
    """

    def __init__(self, folder: Path, config: LlmConfig, devices: Sequence[str] = CPU) -> None:
        make_deterministic()
        settings_of(folder)
        self._home = home(devices)
        self._tokenizer: Any = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        if not self._tokenizer.chat_template:
            raise UserError(f"the model in {folder} has no chat template; use an instruct model")
        how = loading(folder, devices, config.dtype, config.quantisation)
        self.model: Any = load_whole(AutoModelForCausalLM, folder, how).eval()
        keep_precision(self.model, config.dtype)
        self._ends = _end_tokens(self.model, self._tokenizer)
        self._batches = PaddedBatches(config.batch)

    def close(self) -> None:
        """Let go of the model."""
        del self.model

    def reply(self, requests: Sequence[Request]) -> list[Reply]:
        """Return one raw reply a request; the same request has the same reply.

        Where a request limits its characters the reply is its first line.
        """
        asked = [_Asked(request, self._prompt(request)) for request in requests]
        return self._batches.run_by_length(asked, _Asked.padded_length, self._answer)

    def _prompt(self, request: Request) -> tuple[int, ...]:
        turns = [{"role": turn.role, "content": turn.text} for turn in request.messages]
        text = self._tokenizer.apply_chat_template(
            turns,
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=bool(request.thinking),
        )
        return tuple(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def _room(self, asked: _Asked) -> int:
        """Return how many tokens a reply may have: the request's limit, or the context's rest."""
        context = int(self.model.config.get_text_config().max_position_embeddings)
        if asked.request.max_tokens:
            return asked.request.max_tokens + asked.request.thinking
        return max(context - len(asked.prompt), 1)

    def _answer(self, asked: list[_Asked]) -> list[Reply]:
        rows = [_Row(one.request, self._room(one)) for one in asked]
        length = asked[0].padded_length()
        tokens = torch.tensor(
            [[self._ends[0]] * (length - len(one.prompt)) + list(one.prompt) for one in asked]
        ).to(self._home)
        seen = torch.tensor(
            [[0] * (length - len(one.prompt)) + [1] * len(one.prompt) for one in asked]
        ).to(self._home)
        past = None
        with torch.inference_mode():
            while True:
                positions = (seen.cumsum(1) - 1).clamp_min(0)[:, -tokens.shape[1] :]
                output = self.model(
                    input_ids=tokens,
                    attention_mask=seen,
                    position_ids=positions,
                    cache=past,
                    use_cache=True,
                    logits_to_keep=1,
                )
                past = output.cache
                logits = output.logits[:, -1].double().cpu()
                for row, scores in zip(rows, logits, strict=True):
                    self._extend(row, scores)
                if all(row.finish for row in rows):
                    return [Reply(row.text.strip(), row.finish) for row in rows]
                last = [row.tokens[-1] if row.tokens else self._ends[0] for row in rows]
                tokens = torch.tensor(last).unsqueeze(1).to(self._home)
                seen = torch.cat([seen, torch.ones_like(seen[:, :1])], dim=1)

    def _extend(self, row: _Row, logits: Tensor) -> None:
        """Give a row its next token, or end it: at an end token, a second line, or its limits."""
        if row.finish:
            return
        token = row.choose(logits)
        if token in self._ends:
            row.finish = "stop"
            return
        row.tokens.append(token)
        row.text = self._tokenizer.decode(row.tokens, skip_special_tokens=True).lstrip()
        limit = row.request.max_characters
        thought, answer = row.parts()
        line, newline, _ = answer.partition("\n")
        if limit and newline and len(line) <= limit:
            row.text, row.finish = thought + line, "stop"
        elif limit and len(line) > limit:
            row.text, row.finish = thought + line[:limit], "length"
        elif len(row.tokens) == row.room:
            row.finish = "length"


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request and its prompt in tokens."""

    request: Request
    prompt: tuple[int, ...]

    def padded_length(self) -> int:
        return up_to_multiple(len(self.prompt), _LENGTH_STEP)


@dataclass(slots=True)
class _Row:
    """One reply of at most `room` tokens in the making; `finish` is empty while it is."""

    request: Request
    room: int
    tokens: list[int] = field(default_factory=list)
    text: str = ""
    finish: str = ""
    _generator: torch.Generator = field(default_factory=torch.Generator)

    def __post_init__(self) -> None:
        self._generator.manual_seed(self.request.seed)

    def parts(self) -> tuple[str, str]:
        """Return the thought of the text so far and the answer; without thinking all is answer."""
        if not self.request.thinking:
            return "", self.text
        thought, end, answer = self.text.rpartition("</think>")
        return (thought + end, answer.lstrip()) if end else (answer, "")

    def choose(self, logits: Tensor) -> int:
        """Return the next token: the likeliest at temperature 0, else drawn by one number."""
        if self.request.temperature == 0:
            return int(logits.argmax())
        summed = torch.softmax(logits / self.request.temperature, dim=0).cumsum(0)
        drawn = torch.rand(1, generator=self._generator, dtype=torch.float64) * summed[-1]
        return min(int(torch.searchsorted(summed, drawn, right=True)), len(summed) - 1)


def _end_tokens(model: Any, tokenizer: Any) -> tuple[int, ...]:
    """Return the tokens that end a reply; the first one also fills up prompts."""
    ends = model.generation_config.eos_token_id
    if ends is None:
        ends = tokenizer.eos_token_id
    return tuple(ends) if isinstance(ends, list) else (int(ends),)
