"""Measure every pocket model on held-out material, with bootstrap 95 % intervals.

python scripts/pocket/measure.py [--only NAME ...] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from shared import MODELS, REPOSITORY, Pictures, render, write_json

from dnd_local.engines.target_loading import load_folder
from dnd_local.evaluate.intervals import bootstrap_mean
from dnd_local.pocket.words import vocabulary
from dnd_local.pocket.world import (
    HELD_OUT_SEED,
    PAINTER_GRID,
    Attributes,
    held_out_combinations,
    picture,
)

CPU = torch.device("cpu")
COUNT = 2000
GUIDANCE = 3.0
"""As in the preset for the pocket models."""
Figures = dict[str, Any]


def interval(hits: Any) -> Figures:
    """Return the mean of hits (0 or 1) with its bootstrap 95 % interval."""
    return {name: round(figure, 4) for name, figure in asdict(bootstrap_mean(hits)).items()}


def classifier(name: str, data: Pictures) -> Figures:
    """Measure a target or the judge on real pictures."""
    from target import responses, right

    scores = responses(load_folder(MODELS / name)[0].eval(), data, CPU)[1]
    return {key: interval(hits) for key, hits in right(scores, data).items()}


def targets(data: Pictures) -> Figures:
    """Measure both targets and count the neurons whose meaning is known."""
    figures: Figures = {}
    for name in ("target", "target-odd"):
        figures[name] = classifier(name, data)
        table = json.loads((MODELS / name / "truth.json").read_text(encoding="utf-8"))
        known = [entry for entry in table["layer4"] if entry["concept"]]
        figures[name]["layer4_known"] = len(known)
        figures[name]["layer4_neurons"] = len(table["layer4"])
        figures[name]["layer4_concepts"] = len({(e["kind"], e["concept"]) for e in known})
    return figures


def judge(data: Pictures) -> Figures:
    """Measure the judge on real held-out pictures."""
    return classifier("judge", data)


def captioner(data: Pictures) -> Figures:
    """Caption held-out pictures through the saved processor and model."""
    from captioner import judged
    from PIL import Image
    from transformers import BlipForConditionalGeneration, BlipProcessor

    folder = MODELS / "captioner"
    processor = BlipProcessor.from_pretrained(folder)
    model = BlipForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    texts: list[str] = []
    started = time.monotonic()
    for at in range(0, COUNT, 100):
        images = [Image.fromarray(pixels) for pixels in data.pixels[at : at + 100]]
        given = processor(images=images, return_tensors="pt")
        with torch.no_grad():
            ids = model.generate(
                **given, max_new_tokens=32, min_new_tokens=5, do_sample=False, num_beams=1
            )
        texts += processor.batch_decode(ids, skip_special_tokens=True)
    seconds = time.monotonic() - started
    figures = {key: interval(hits) for key, hits in judged(texts, data.attributes).items()}
    return {**figures, "ms_per_picture": round(1000 * seconds / COUNT, 2)}


def embedder(data: Pictures) -> Figures:
    """Find the nearest label of each kind through open_clip's own loader."""
    import open_clip
    from embedder import retrieval
    from transformers import AutoTokenizer

    folder = MODELS / "embedder"
    model = open_clip.create_model(f"local-dir:{folder}").float().eval()
    words = AutoTokenizer.from_pretrained(folder)
    return {key: interval(hits) for key, hits in retrieval(model, words, data, CPU).items()}


def llm(_data: Pictures) -> Figures:
    """Ask the saved LLM held-out questions of all three tasks."""
    from lists import Example, concept_lines, example, line, shared_label
    from llm import agrees, replies
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = MODELS / "llm"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    rng = random.Random(2 * 10**6)
    figures: Figures = {}
    cut = [example(rng, "simplify") for _ in range(300)]
    said = replies(model, tokenizer, cut)
    figures["simplify"] = interval([a == b.reply for a, b in zip(said, cut, strict=True)])
    for kind in ("object", "category", "colour", "pattern", "ground", "two"):
        examples = []
        while len(examples) < 100:
            lines = concept_lines(rng, kind, 10, 0.9)
            text = "\n".join(line(each, rng) for each in lines)
            examples.append(Example("summarise", text, shared_label(lines)))
        said = replies(model, tokenizer, examples, temperature=0.3)
        hits = [agrees(reply, each.reply) for reply, each in zip(said, examples, strict=True)]
        figures[f"summarise_{kind}"] = interval(hits)
    joined = [example(rng, "merge") for _ in range(200)]
    said = replies(model, tokenizer, joined)
    hits = [agrees(reply, each.reply) for reply, each in zip(said, joined, strict=True)]
    figures["merge"] = interval(hits)
    return figures


def draw(pipe: Any, prompts: list[str], seeds: list[int], steps: int = 20) -> Any:
    """Draw one picture a prompt, uint8 of shape (n, 64, 64, 3), one generator a picture."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    out = pipe(
        prompts,
        num_inference_steps=steps,
        guidance_scale=GUIDANCE,
        generator=generators,
        height=64,
        width=64,
        output_type="np",
    )
    return (np.clip(out.images, 0, 1) * 255).round().astype(np.uint8)


def load_painter() -> Any:
    """Load the painter as a stock pipeline, in fp32."""
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(
        MODELS / "painter",
        safety_checker=None,
        requires_safety_checker=False,
        local_files_only=True,
        dtype=torch.float32,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def painter(_data: Pictures) -> Figures:
    """Judge pictures drawn for combinations that the painter has never seen."""
    from target import responses, right

    from dnd_local.pocket.captions import plain_caption

    pipe = load_painter()
    asked = [
        Attributes((name,), ((0, 0, 64, 64),), colour, pattern)
        for name, colour, pattern in held_out_combinations()
        for _ in range(2)
    ]
    prompts = [f"one realistic picture of {plain_caption(each)}" for each in asked]
    started, parts = time.monotonic(), []
    for at in range(0, len(prompts), 24):
        part = prompts[at : at + 24]
        parts.append(draw(pipe, part, list(range(at, at + len(part)))))
    seconds = (time.monotonic() - started) / len(prompts)
    drawn = Pictures(np.concatenate(parts), tuple(asked))
    scores = responses(load_folder(MODELS / "judge")[0].eval(), drawn, CPU)[1]
    figures = {key: interval(hits) for key, hits in right(scores, drawn).items()}
    names = [thing.name for thing in vocabulary().objects]
    wanted = np.array([names.index(each.objects[0]) for each in asked])
    best = scores[:, : len(names)].argmax(1) == wanted
    figures["object_first"] = interval(best)
    return {**figures, "seconds_per_picture_20_steps": round(seconds, 3)}


def autoencoder(_data: Pictures) -> Figures:
    """Let the judge look at the painter's kind of pictures after its autoencoder's two halves."""
    from target import responses, right

    vae, count = load_painter().vae, 300
    drawn = [picture(HELD_OUT_SEED, index, PAINTER_GRID) for index in range(count)]
    data = Pictures(np.stack([np.asarray(i) for i, _ in drawn]), tuple(a for _, a in drawn))
    again = []
    with torch.no_grad():
        for at in range(0, count, 50):
            images = data.tensor(slice(at, at + 50), CPU) * 2 - 1
            again.append(vae.decode(vae.encode(images).latent_dist.mean).sample.clamp(-1, 1))
    pixels = ((torch.cat(again) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    coded = Pictures(pixels, data.attributes)
    scores = responses(load_folder(MODELS / "judge")[0].eval(), coded, CPU)[1]
    return {key: interval(hits) for key, hits in right(scores, coded).items()}


PARTS: dict[str, Callable[[Pictures], Figures]] = {
    "targets": targets,
    "judge": judge,
    "captioner": captioner,
    "embedder": embedder,
    "llm": llm,
    "autoencoder": autoencoder,
    "painter": painter,
}


def main() -> None:
    """Measure the chosen models and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=REPOSITORY / ".pocket-training")
    parser.add_argument("--only", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="add the figures to this file")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    given.work.mkdir(parents=True, exist_ok=True)
    data = render(given.work, HELD_OUT_SEED, COUNT)
    figures: Figures = {}
    if given.json and given.json.exists():
        figures = json.loads(given.json.read_text(encoding="utf-8"))
    for name in given.only:
        figures[name] = PARTS[name](data)
        print(name, json.dumps(figures[name], indent=1), flush=True)
        if given.json:
            write_json(given.json, figures)


if __name__ == "__main__":
    main()
