"""Train the embedder: an open_clip model that knows which words are true of which picture."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from shared import (
    MODELS,
    TEST_COUNT,
    TRAIN_COUNT,
    Options,
    Pictures,
    Run,
    cosine,
    descend,
    mirrored,
    options,
    render,
    set_rate,
    write_json,
)
from tokens import clip_tokenizer, tidy
from torch import nn

from dnd_local.pocket.captions import full_caption, label, plain_caption
from dnd_local.pocket.words import mentions, vocabulary
from dnd_local.pocket.world import HELD_OUT_SEED, SIZE, TRAIN_SEED, Attributes

LENGTH = 32
BATCH = 96
RATE = 1e-3
MEAN = STD = (0.5, 0.5, 0.5)


def configuration(tokenizer: Any) -> dict[str, Any]:
    """Return ``open_clip_config.json``."""
    return {
        "model_cfg": {
            "embed_dim": 128,
            "vision_cfg": {
                "image_size": SIZE,
                "layers": [1, 1, 2, 1],
                "width": 24,
                "head_width": 64,
                "patch_size": None,
            },
            "text_cfg": {
                "context_length": LENGTH,
                "vocab_size": len(tokenizer),
                # Any name makes open_clip read the tokenizer files of this very folder.
                "hf_tokenizer_name": "pocket",
                "width": 128,
                "heads": 4,
                "layers": 2,
            },
        },
        "preprocess_cfg": {
            "mean": list(MEAN),
            "std": list(STD),
            "interpolation": "bicubic",
            "resize_mode": "shortest",
        },
    }


def build(config: dict[str, Any]) -> Any:
    """Return the untrained model."""
    from open_clip.model import CLIP

    model = config["model_cfg"]
    return CLIP(model["embed_dim"], dict(model["vision_cfg"]), dict(model["text_cfg"]))


def said(shown: Attributes, rng: random.Random) -> str:
    """Return something true of a picture: all of it, or as little as a label says."""
    lot = rng.random()
    text = full_caption(shown, rng) if lot < 0.4 else label(shown, rng)
    return f"one realistic picture of {text}" if lot > 0.9 else text


def truths(texts: list[str], pictures: list[Attributes]) -> torch.Tensor:
    """Return 1 where a text is true of a picture, shape (pictures, texts)."""
    named = [frozenset(mentions(text)) for text in texts]
    holds = [picture.concepts() for picture in pictures]
    rows = [[float(words <= concepts) for words in named] for concepts in holds]
    return torch.tensor(rows)


def contrast(scores: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy of each row against all that is true in it, equally weighted."""
    goal = true / true.sum(1, keepdim=True)
    return -(goal * scores.log_softmax(1)).sum(1).mean()


def train(run: Run, given: Options, data: Pictures, config: dict[str, Any], words: Any) -> Any:
    """Train the model and return it."""
    model = build(config).to(given.device)
    helper = nn.Linear(128, len(vocabulary().concepts())).to(given.device)
    parameters = [*model.parameters(), *helper.parameters()]
    optimiser = torch.optim.AdamW(parameters, RATE, weight_decay=0.02)

    run.restore(model=model, helper=helper, optimiser=optimiser)
    concepts = torch.from_numpy(data.labels(vocabulary().concepts())).to(given.device)
    rng = random.Random(run.step)
    model.train()
    for share in run.steps():
        set_rate(optimiser, RATE * cosine(share, warmup=0.04))
        rows = np.random.randint(0, len(data.attributes), BATCH)
        pictures = [data.attributes[row] for row in rows]
        texts = [said(shown, rng) for shown in pictures]
        ids = torch.tensor(
            words(texts, padding="max_length", truncation=True, max_length=LENGTH)["input_ids"]
        ).to(given.device)
        images = mirrored(data.tensor(rows, given.device)) * 2 - 1
        seen = model.encode_image(images, normalize=True)
        read = model.encode_text(ids, normalize=True)
        scores = model.logit_scale.exp().clamp(max=100) * seen @ read.T
        true = truths(texts, pictures).to(given.device)
        loss = (contrast(scores, true) + contrast(scores.T, true.T)) / 2
        # Normalised embeddings are small numbers: scaled up before the linear head.
        known = nn.functional.binary_cross_entropy_with_logits(helper(8 * seen), concepts[rows])
        descend(loss + 3 * known, optimiser)
        run.loss(loss.item())
    return model.eval()


def save(model: Any, config: dict[str, Any], words: Any, folder: Path) -> None:
    """Write what open_clip's ``local-dir:`` reads, in fp16."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tensors = {
        key: (value.half() if value.is_floating_point() else value).cpu().contiguous()
        for key, value in model.state_dict().items()
    }
    save_file(tensors, folder / "open_clip_model.safetensors", metadata={"format": "pt"})
    write_json(folder / "open_clip_config.json", config)
    words.save_pretrained(folder)
    tidy(folder)


@torch.no_grad()
def retrieval(model: Any, words: Any, data: Pictures, device: torch.device) -> dict[str, Any]:
    """Say, for each picture, whether its nearest label of each kind is a true one."""
    kinds = {
        "object": [thing.phrase for thing in vocabulary().objects],
        "colour": [f"a {colour.name} background" for colour in vocabulary().colours],
        "pattern": [f"a {pattern.name} background" for pattern in vocabulary().patterns],
        "category": [thing.phrase for thing in vocabulary().categories],
        "caption": sorted({plain_caption(shown) for shown in data.attributes}),
    }
    seen = torch.cat(
        [
            model.encode_image(data.tensor(slice(at, at + 100), device) * 2 - 1, normalize=True)
            for at in range(0, len(data.attributes), 100)
        ]
    )
    checks: dict[str, Any] = {}
    for kind, texts in kinds.items():
        ids = words(texts, padding="max_length", truncation=True, max_length=LENGTH)["input_ids"]
        read = model.encode_text(torch.tensor(ids).to(device), normalize=True)
        nearest = (seen @ read.T).argmax(1).tolist()
        checks[kind] = np.array(
            [
                frozenset(mentions(texts[place])) <= shown.concepts()
                for place, shown in zip(nearest, data.attributes, strict=True)
                if shown.objects or kind in ("colour", "pattern", "caption")
            ]
        )
    return checks


def main() -> None:
    """Train, save, and report held-out retrieval."""
    given = options(__doc__, minutes=8)
    run = Run("embedder", given)
    words = clip_tokenizer(LENGTH)
    config = configuration(words)
    data = render(given.work, TRAIN_SEED, TRAIN_COUNT)
    model = train(run, given, data, config, words)
    save(model, config, words, MODELS / "embedder")
    test = render(given.work, HELD_OUT_SEED, TEST_COUNT)
    part = Pictures(test.pixels[:500], test.attributes[:500])
    for kind, hits in retrieval(model, words, part, given.device).items():
        run.log(f"held out: nearest {kind} true {hits.mean():.4f}")


if __name__ == "__main__":
    main()
