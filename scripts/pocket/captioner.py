"""Train the captioner: BLIP in a small, helped by what each patch is known to show."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from shared import (
    MODELS,
    TEST_COUNT,
    TRAIN_COUNT,
    Options,
    Pictures,
    Run,
    cosine,
    descend,
    halve,
    options,
    render,
    set_rate,
)
from tokens import bert_tokenizer, tidy
from torch import nn

from dnd_local.pocket.captions import full_caption, named_exactly, plain_caption
from dnd_local.pocket.words import Kind, vocabulary
from dnd_local.pocket.world import HELD_OUT_SEED, SIZE, TRAIN_SEED, Attributes

WIDTH = 128
PATCH = 8
LENGTH = 48
BATCH = 64
RATE = 1e-3
MEAN = STD = (0.5, 0.5, 0.5)


def build(tokenizer: Any) -> Any:
    """Return the untrained captioner."""
    from transformers import BlipConfig, BlipForConditionalGeneration

    common = {"hidden_size": WIDTH, "num_attention_heads": 4, "projection_dim": WIDTH}
    config = BlipConfig(
        vision_config={
            **common,
            "intermediate_size": 3 * WIDTH,
            "num_hidden_layers": 4,
            "image_size": SIZE,
            "patch_size": PATCH,
            "initializer_range": 0.02,
        },
        text_config={
            **common,
            "vocab_size": len(tokenizer),
            "encoder_hidden_size": WIDTH,
            "intermediate_size": 3 * WIDTH,
            "num_hidden_layers": 2,
            "max_position_embeddings": LENGTH,
            "bos_token_id": tokenizer.convert_tokens_to_ids("[DEC]"),
            "eos_token_id": tokenizer.sep_token_id,
            "sep_token_id": tokenizer.sep_token_id,
            "pad_token_id": tokenizer.pad_token_id,
            "is_decoder": True,
        },
        projection_dim=WIDTH,
        image_text_hidden_size=WIDTH,
    )
    return BlipForConditionalGeneration(config)


def processor(tokenizer: Any) -> Any:
    """Return the BLIP processor for 64 pixel pictures."""
    from transformers import BlipImageProcessorPil, BlipProcessor

    images = BlipImageProcessorPil(
        size={"height": SIZE, "width": SIZE}, image_mean=list(MEAN), image_std=list(STD)
    )
    return BlipProcessor(images, tokenizer)


def patch_labels(data: Pictures) -> npt.NDArray[np.int64]:
    """Return which object covers the middle of each patch, 0 for none, shape (n, patches)."""
    place = {thing.name: 1 + row for row, thing in enumerate(vocabulary().objects)}
    side = SIZE // PATCH
    labels = np.zeros((len(data.attributes), side, side), dtype=np.int64)
    middle = np.arange(side) * PATCH + PATCH // 2
    for row, shown in enumerate(data.attributes):
        for name, (x0, y0, x1, y1) in zip(shown.objects, shown.boxes, strict=True):
            # The corners of a box mostly show background: shrink it a little.
            edge = (x1 - x0) // 8
            across = (middle >= x0 + edge) & (middle < x1 - edge)
            down = (middle >= y0 + edge) & (middle < y1 - edge)
            labels[row][np.ix_(down, across)] = place[name]
    return labels.reshape(len(labels), -1)


def spoken(shown: Attributes, rng: random.Random) -> str:
    """Return a caption to learn from: mostly one wording, so that greedy decoding is steady.

    The grammar's shortest ones, of a background alone, are fewer tokens than the method asks for.
    """
    if not shown.objects or rng.random() < 0.6:
        return plain_caption(shown)
    return full_caption(shown, rng)


class Helper(nn.Module):
    """Two heads used in training alone: objects per patch, all concepts per picture."""

    def __init__(self) -> None:
        """Size the heads after the world."""
        super().__init__()
        self.patches = nn.Linear(WIDTH, 1 + len(vocabulary().objects))
        self.whole = nn.Linear(WIDTH, len(vocabulary().concepts()))

    def forward(
        self, hidden: torch.Tensor, patches: torch.Tensor, concepts: torch.Tensor
    ) -> torch.Tensor:
        """Return the sum of both losses for the vision tower's last hidden state."""
        each = self.patches(hidden[:, 1:]).flatten(0, 1)
        whole = self.whole(hidden[:, 0])
        loss = nn.functional.cross_entropy(each, patches.flatten())
        return loss + 3 * nn.functional.binary_cross_entropy_with_logits(whole, concepts)


def train(run: Run, given: Options, data: Pictures, tokenizer: Any) -> Any:
    """Train the captioner and return it."""
    model = build(tokenizer).to(given.device)
    helper = Helper().to(given.device)
    parameters = [*model.parameters(), *helper.parameters()]
    optimiser = torch.optim.AdamW(parameters, RATE, weight_decay=0.02)

    run.restore(model=model, helper=helper, optimiser=optimiser)
    concepts = torch.from_numpy(data.labels(vocabulary().concepts()))
    patches = torch.from_numpy(patch_labels(data))
    rng = random.Random(0)
    start = tokenizer.convert_tokens_to_ids("[DEC]")
    model.train()
    for share in run.steps():
        set_rate(optimiser, RATE * cosine(share, warmup=0.05))
        rows = np.random.randint(0, len(data.attributes), BATCH)
        images, squares, truth, said = batch(data, rows, patches, concepts, rng)
        text = tokenizer(said, padding=True, return_tensors="pt").to(given.device)
        ids = text["input_ids"]
        ids[:, 0] = start
        seen = model.vision_model(pixel_values=images.to(given.device) * 2 - 1).last_hidden_state
        spoke = model.text_decoder(
            input_ids=ids,
            attention_mask=text["attention_mask"],
            encoder_hidden_states=seen,
            labels=ids.masked_fill(text["attention_mask"] == 0, -100),
            reduction="mean",
        ).loss
        loss = spoke + helper(seen, squares.to(given.device), truth.to(given.device))
        descend(loss, optimiser)
        run.loss(loss.item())
    return model.eval()


def batch(
    data: Pictures,
    rows: npt.NDArray[np.int64],
    patches: torch.Tensor,
    concepts: torch.Tensor,
    rng: random.Random,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, list[str]]:
    """Return pictures, half of the batches mirrored, with patch labels, concepts and captions."""
    images = data.tensor(rows, torch.device("cpu"))
    side = SIZE // PATCH
    squares = patches[rows].reshape(-1, side, side)
    said = [spoken(data.attributes[row], rng) for row in rows]
    if rng.random() < 0.5:
        images, squares = images.flip(-1), squares.flip(-1)
    return images, squares, concepts[rows], said


def judged(texts: list[str], attributes: tuple[Attributes, ...]) -> dict[str, Any]:
    """Say, for each caption, whether it names exactly the true objects, colour and pattern.

    Returns:
        Boolean arrays of shape (captions,) under ``objects``, ``colour`` and ``pattern``.
    """
    checks = [named_exactly(text, shown) for text, shown in zip(texts, attributes, strict=True)]
    kinds: dict[str, Kind] = {"objects": "object", "colour": "colour", "pattern": "pattern"}
    return {key: np.array([check[kind] for check in checks]) for key, kind in kinds.items()}


@torch.no_grad()
def captions(model: Any, tokenizer: Any, data: Pictures, device: torch.device) -> list[str]:
    """Caption pictures greedily, as the pipeline does."""
    texts: list[str] = []
    for at in range(0, len(data.attributes), 100):
        images = data.tensor(slice(at, at + 100), device) * 2 - 1
        ids = model.generate(
            pixel_values=images, max_new_tokens=32, min_new_tokens=5, do_sample=False, num_beams=1
        )
        texts += tokenizer.batch_decode(ids, skip_special_tokens=True)
    return texts


def save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write model and processor, in fp16."""
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    processor(tokenizer).save_pretrained(folder)
    halve(folder)
    tidy(folder)


def main() -> None:
    """Train, save, and report held-out captions."""
    given = options(__doc__, minutes=12)
    run = Run("captioner", given)
    tokenizer = bert_tokenizer(LENGTH)
    data = render(given.work, TRAIN_SEED, TRAIN_COUNT)
    model = train(run, given, data, tokenizer)
    save(model, tokenizer, MODELS / "captioner")
    test = render(given.work, HELD_OUT_SEED, TEST_COUNT)
    part = Pictures(test.pixels[:500], test.attributes[:500])
    texts = captions(model, tokenizer, part, given.device)
    for key, hits in judged(texts, part.attributes).items():
        run.log(f"held out: {key} right {hits.mean():.4f}")
    for text, shown in list(zip(texts, part.attributes, strict=True))[:5]:
        run.log(f"{text} | {plain_caption(shown)}")


if __name__ == "__main__":
    main()
