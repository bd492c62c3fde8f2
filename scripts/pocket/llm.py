"""Train the pocket LLM to do what the project's prompt files ask, in this world's words."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lists import Example, corpus, example
from shared import MODELS, REPOSITORY, Options, Run, cosine, descend, halve, options, set_rate
from tokens import tidy
from torch import nn

from dnd_local.core.conversations import Message
from dnd_local.pocket.words import mentions
from dnd_local.store.prompts import VARIABLES, PromptFile, read_prompt

TASKS = ("simplify", "summarise", "merge")
SHARES = (0.25, 0.65, 0.10)
EARLY = (0.6, 0.3, 0.1)
"""At first mostly captions to cut: copying words is what the rest is built on."""
BATCHES = {"simplify": 24, "summarise": 12, "merge": 24}
ROLES = ("system", "user", "assistant")
WIDTH, LAYERS, HEAD = 192, 5, 64
RATE = 1.5e-3
VOCABULARY = 1024
TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def prompt_file(task: str) -> PromptFile:
    """Return the project's own prompt for a task."""
    return read_prompt(REPOSITORY / "prompts" / f"{task}.txt")


def spoken(turns: Sequence[Message]) -> list[dict[str, str]]:
    """Return turns in the form that a chat template takes."""
    return [{"role": turn.role, "content": turn.text} for turn in turns]


def build_tokenizer() -> Any:
    """Return a byte-level BPE tokenizer in which the fixed prompts are few tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.decoder = decoders.ByteLevel()
    special = ["<|pad|>", "<|end|>", *(f"<|{role}|>" for role in ROLES)]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    fixed = [turn.text for task in TASKS for turn in prompt_file(task).turns]
    trained.train_from_iterator([*corpus(), *fixed * 40], trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=trained,
        pad_token="<|pad|>",
        eos_token="<|end|>",
        additional_special_tokens=special[2:],
        model_max_length=1024,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def kept_tokenizer(given: Options) -> Any:
    """Return the work folder's tokenizer; build and keep one if there is none.

    A tokenizer follows from the examples, so a change of these must not change it in the middle
    of a training.
    """
    from transformers import AutoTokenizer

    folder = given.work / "llm-tokenizer"
    if given.fresh or not folder.exists():
        build_tokenizer().save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def build(tokenizer: Any) -> Any:
    """Return the untrained LLM."""
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=-(-len(tokenizer) // 64) * 64,
            hidden_size=WIDTH,
            intermediate_size=512,
            num_hidden_layers=LAYERS,
            num_attention_heads=WIDTH // HEAD,
            num_key_value_heads=WIDTH // HEAD,
            head_dim=HEAD,
            max_position_embeddings=1024,
            tie_word_embeddings=True,
            # The usual 0.02 suits wide models; here attention would start almost blind.
            initializer_range=0.06,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


class Prompts:
    """The prompt files cut in two: what never changes, and the user's last turn."""

    def __init__(self, tokenizer: Any) -> None:
        """Tokenise the constant part of every task."""
        self.tokenizer = tokenizer
        self.prefix: dict[str, list[int]] = {}
        for task in TASKS:
            *before, last = prompt_file(task).turns
            if not last.text.startswith("$"):
                raise ValueError(f"prompts/{task}.txt does not end with one variable")
            text = tokenizer.apply_chat_template(spoken(before), tokenize=False) + "<|user|>"
            self.prefix[task] = tokenizer(text, add_special_tokens=False)["input_ids"]

    def pair(self, example_: Example) -> tuple[list[int], list[int]]:
        """Return the tokens after the prefix: those given, and the reply with its end."""
        given = f"{example_.given}<|end|><|assistant|>"
        ask = self.tokenizer(given, add_special_tokens=False)["input_ids"]
        reply = self.tokenizer(f"{example_.reply}<|end|>", add_special_tokens=False)["input_ids"]
        return ask, reply

    def chat(self, example_: Example) -> str:
        """Return the whole conversation as the pipeline would send it."""
        (variable,) = VARIABLES[example_.task]
        turns = prompt_file(example_.task).fill(**{variable: example_.given})
        text: str = self.tokenizer.apply_chat_template(
            spoken(turns), tokenize=False, add_generation_prompt=True
        )
        return text


def loss_of(model: Any, prompts: Prompts, examples: list[Example], device: torch.device) -> Any:
    """Return the loss over the replies of one task's examples.

    The constant prefix is run once and its keys and values are shared by the whole batch;
    gradients flow through them all the same.
    """
    prefix = torch.tensor([prompts.prefix[examples[0].task]], device=device)
    cache = model(input_ids=prefix, use_cache=True).past_key_values
    for layer in cache.layers:
        layer.keys = layer.keys.expand(len(examples), -1, -1, -1)
        layer.values = layer.values.expand(len(examples), -1, -1, -1)
    pairs = [prompts.pair(each) for each in examples]
    width = max(len(ask) + len(reply) for ask, reply in pairs)
    ids = torch.full((len(examples), width), prompts.tokenizer.pad_token_id)
    goals = torch.full((len(examples), width), -100)
    for row, (ask, reply) in enumerate(pairs):
        ids[row, : len(ask) + len(reply)] = torch.tensor(ask + reply)
        goals[row, len(ask) : len(ask) + len(reply)] = torch.tensor(reply)
    ids, goals = ids.to(device), goals.to(device)
    hidden = model.model(input_ids=ids, past_key_values=cache, use_cache=True).last_hidden_state
    wanted = goals[:, 1:] != -100
    scores = model.lm_head(hidden[:, :-1][wanted])
    return nn.functional.cross_entropy(scores, goals[:, 1:][wanted])


def train(run: Run, given: Options, tokenizer: Any) -> Any:
    """Train the LLM and return it."""
    model = build(tokenizer).to(given.device)
    optimiser = torch.optim.AdamW(model.parameters(), RATE, weight_decay=0.05, betas=(0.9, 0.98))

    run.restore(model=model, optimiser=optimiser)
    prompts = Prompts(tokenizer)
    lengths = {task: len(ids) for task, ids in prompts.prefix.items()}
    run.log(f"{sum(p.numel() for p in model.parameters())} parameters, prefixes {lengths}")
    rng = random.Random(run.step)
    recent: dict[str, list[float]] = {task: [] for task in TASKS}
    for share in run.steps():
        set_rate(optimiser, RATE * cosine(share, warmup=0.04))
        task = rng.choices(TASKS, EARLY if share < 0.15 else SHARES)[0]
        examples = [example(rng, task) for _ in range(BATCHES[task])]
        loss = loss_of(model, prompts, examples, given.device)
        descend(loss, optimiser)
        recent[task].append(loss.item())
        if (run.step + 1) % 100 == 0:
            means = {key: round(float(np.mean(v[-50:])), 4) for key, v in recent.items() if v}
            run.log(f"step {run.step + 1} losses {means}")
    return model.eval()


@torch.no_grad()
def replies(
    model: Any, tokenizer: Any, examples: list[Example], temperature: float = 0.0
) -> list[str]:
    """Answer examples as the pipeline would ask them, left-padded and in batches."""
    prompts, said = Prompts(tokenizer), []
    tokenizer.padding_side = "left"
    for at in range(0, len(examples), 25):
        text = [prompts.chat(each) for each in examples[at : at + 25]]
        given = tokenizer(text, return_tensors="pt", padding=True, add_special_tokens=False)
        sampling = {"do_sample": True, "temperature": temperature} if temperature else {}
        ids = model.generate(
            input_ids=given["input_ids"].to(model.device),
            attention_mask=given["attention_mask"].to(model.device),
            max_new_tokens=24,
            **(sampling or {"do_sample": False}),
        )
        rest = ids[:, given["input_ids"].shape[1] :]
        said += tokenizer.batch_decode(rest, skip_special_tokens=True)
    return said


def agrees(reply: str, wanted: str) -> bool:
    """Say whether a reply names the wanted concepts and no other, in five words at most."""
    right = set(mentions(reply)) == set(mentions(wanted)) if mentions(wanted) else reply == wanted
    return right and 0 < len(reply.split()) <= 5


def save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write model and tokenizer, in fp16."""
    shutil.rmtree(folder, ignore_errors=True)
    kept = {key: value.clone() for key, value in model.state_dict().items()}
    model.half().save_pretrained(folder)
    model.float().load_state_dict(kept)
    tokenizer.save_pretrained(folder)
    halve(folder)
    tidy(folder)


def main() -> None:
    """Train, save, and report held-out replies."""
    given = options(__doc__, minutes=20)
    run = Run("llm", given)
    tokenizer = kept_tokenizer(given)
    model = train(run, given, tokenizer)
    save(model, tokenizer, MODELS / "llm")
    if given.save_only:
        return
    rng = random.Random(10**6)
    for task in TASKS:
        examples = [example(rng, task) for _ in range(200)]
        started = time.monotonic()
        said = replies(model, tokenizer, examples)
        seconds = time.monotonic() - started
        if task == "simplify":
            hits = [reply == each.reply for reply, each in zip(said, examples, strict=True)]
        else:
            hits = [agrees(reply, each.reply) for reply, each in zip(said, examples, strict=True)]
        run.log(f"held out: {task} right {np.mean(hits):.4f}, {seconds:.0f} s for {len(examples)}")
        for reply, each in list(zip(said, examples, strict=True))[:4]:
            run.log(f"  {reply!r} wanted {each.reply!r}")


if __name__ == "__main__":
    main()
