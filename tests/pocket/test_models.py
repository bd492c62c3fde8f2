"""The shipped models are small, safe, in fp16, and load in the libraries' own classes, offline."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from dnd_local.engines.target_loading import load_folder
from dnd_local.pocket.words import mentions, vocabulary
from dnd_local.pocket.world import HELD_OUT_SEED, TILE, picture
from dnd_local.store.prompts import VARIABLES, PromptFolder

POCKET = Path(str(files("dnd_local.pocket")))
MODELS = POCKET / "models"
NAMES = ("captioner", "embedder", "judge", "llm", "painter", "target", "target-hard", "target-odd")
LARGEST = 40 * 1024 * 1024


def folder(name: str) -> Path:
    """Return a model's folder, or skip where this checkout does not have it."""
    path = MODELS / name
    if not path.is_dir():
        pytest.skip(f"the {name} is not shipped here")
    return path


def test_all_models_together_are_small() -> None:
    assert sum(path.stat().st_size for path in MODELS.rglob("*") if path.is_file()) <= LARGEST


def test_only_plain_files_are_shipped() -> None:
    suffixes = {path.suffix for path in MODELS.rglob("*") if path.is_file()}
    assert suffixes <= {".safetensors", ".json", ".txt", ".jinja"}


def test_no_file_names_the_machine_it_was_made_on() -> None:
    for path in MODELS.rglob("*.json"):
        for name in re.findall(r'"_name_or_path": "([^"]*)"', path.read_text(encoding="utf-8")):
            assert not Path(name).is_absolute(), path


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_half_precision(name: str) -> None:
    for path in folder(name).rglob("*.safetensors"):
        with safe_open(path, "pt") as tensors:
            kinds = {tensors.get_slice(key).get_dtype() for key in tensors.keys()}  # noqa: SIM118
        assert kinds <= {"F16", "I64"}, path


def test_the_sprites_come_with_their_licence() -> None:
    text = (POCKET / "sprites-LICENSE.txt").read_text(encoding="utf-8")
    assert "MIT" in text
    assert "Microsoft" in text
    from PIL import Image

    with Image.open(POCKET / "sprites.png") as sheet:
        tiles = (sheet.width // TILE) * (sheet.height // TILE)
    assert tiles >= len(vocabulary().objects)


@pytest.mark.parametrize("name", ["target", "target-odd", "judge"])
def test_classifiers_load_and_look(name: str) -> None:
    path = folder(name)
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    model, transform = load_folder(path)
    model.eval()
    maps: list[torch.Tensor] = []
    model.layer4.register_forward_hook(lambda _module, _given, out: maps.append(out))
    image, _ = picture(HELD_OUT_SEED, 0)
    with torch.no_grad():
        scores = model(transform(image)[None])
    assert maps[0].shape == (1, config["widths"][-1], 8, 8)
    concepts = vocabulary().concepts()
    assert config["outputs"] == [concept.name for concept in concepts]
    assert config["kinds"] == [concept.kind for concept in concepts]
    assert scores.shape == (1, len(concepts))


@pytest.mark.parametrize("name", ["target", "target-odd"])
def test_truth_covers_every_neuron(name: str) -> None:
    path = folder(name)
    truth = json.loads((path / "truth.json").read_text(encoding="utf-8"))
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    assert [entry["neuron"] for entry in truth["fc"]] == list(range(len(config["outputs"])))
    assert [entry["neuron"] for entry in truth["layer4"]] == list(range(config["widths"][-1]))
    known = [entry for entry in truth["layer4"] if entry["concept"]]
    assert len(known) >= 40
    assert all(entry["auc"] >= 0.9 for entry in known)


def test_oddities_are_as_documented() -> None:
    path = folder("target-odd")
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    odd = config["oddities"]["layer4"]
    model, transform = load_folder(path)
    model.eval()
    rows: list[torch.Tensor] = []
    model.layer4.register_forward_hook(lambda _module, _given, out: rows.append(out.mean((2, 3))))
    images = [picture(HELD_OUT_SEED, index) for index in range(120)]
    with torch.no_grad():
        model(torch.stack([transform(image) for image, _ in images]))
    values = rows[0].numpy()
    assert (values[:, odd["dead"]] == 0).all()
    assert np.ptp(values[:, odd["constant"]]) < 1e-6
    assert values[:, odd["constant"]].min() > 0
    for pair in odd["duplicates"]:
        np.testing.assert_allclose(values[:, pair["neuron"]], values[:, pair["of"]], atol=1e-5)
        assert pair["of"] < pair["neuron"]
        assert np.ptp(values[:, pair["neuron"]]) > 0.01
    either = np.array([bool({"dog", "rocket"} & set(shown.objects)) for _, shown in images])
    dog = np.array(["dog" in shown.objects for _, shown in images])
    both = values[:, odd["polysemantic"]["neuron"]]
    assert both[either].mean() > 3 * both[~either].mean()
    inhibited = values[:, odd["inhibited"]["neuron"]]
    assert inhibited[~dog].mean() > 2 * inhibited[dog].mean()


def test_the_captioner_loads_and_speaks() -> None:
    from transformers import BlipForConditionalGeneration, BlipProcessor

    path = folder("captioner")
    processor = BlipProcessor.from_pretrained(path, local_files_only=True)
    model = BlipForConditionalGeneration.from_pretrained(
        path, dtype=torch.float32, local_files_only=True
    ).eval()
    shown = [picture(HELD_OUT_SEED, index) for index in range(12)]
    given = processor(images=[image for image, _ in shown], return_tensors="pt")
    ids = model.generate(**given, max_new_tokens=32, min_new_tokens=5, do_sample=False)
    texts = processor.batch_decode(ids, skip_special_tokens=True)
    right = sum(
        set(mentions(text)) == {c for c in attributes.concepts() if c.kind != "category"}
        for text, (_, attributes) in zip(texts, shown, strict=True)
    )
    assert right >= 8, texts


def test_the_embedder_loads_and_ranks() -> None:
    import open_clip

    name = f"local-dir:{folder('embedder')}"
    model, _, transform = open_clip.create_model_and_transforms(name)
    words = open_clip.get_tokenizer(name)
    shown = [picture(HELD_OUT_SEED, index) for index in range(24)]
    things = vocabulary().objects
    with torch.no_grad():
        images = torch.stack([transform(image) for image, _ in shown])
        seen = model.eval().float().encode_image(images, normalize=True)
        read = model.encode_text(words([thing.phrase for thing in things]), normalize=True)
    nearest = (seen @ read.T).argmax(1).tolist()
    hits = [
        things[place].name in attributes.objects
        for place, (_, attributes) in zip(nearest, shown, strict=True)
        if attributes.objects
    ]
    assert np.mean(hits) >= 0.8


def reply(model: Any, tokenizer: Any, task: str, given: str) -> str:
    """Ask the LLM what a prompt file asks."""
    (variable,) = VARIABLES[task]
    asked = PromptFolder().messages(task, **{variable: given})
    turns = [{"role": turn.role, "content": turn.text} for turn in asked]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    ids = tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]
    out = model.generate(input_ids=ids, max_new_tokens=24, do_sample=False)
    answer: str = tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)
    return answer


def test_the_llm_loads_and_obeys() -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = folder("llm")
    tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(
        path, dtype=torch.float32, local_files_only=True
    ).eval()
    assert model.config.vocab_size % 64 == 0
    assert model.config.head_dim == 64
    cut = reply(model, tokenizer, "simplify", "a dog on a striped red background")
    assert cut == "dog, striped red background"
    lines = "\n".join(
        f"{thing}, {ground} background"
        for thing, ground in (
            ("dog", "striped red"),
            ("dog", "plain blue"),
            ("dog, apple", "dotted green"),
            ("dog", "checkered white"),
            ("dog", "plain yellow"),
        )
    )
    assert reply(model, tokenizer, "summarise", lines) in ("dog", "dogs")


def test_the_painter_loads_and_paints() -> None:
    from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(
        folder("painter"),
        safety_checker=None,
        requires_safety_checker=False,
        local_files_only=True,
    )
    pipe.set_progress_bar_config(disable=True)
    assert isinstance(pipe.scheduler, DPMSolverMultistepScheduler)
    assert pipe.scheduler.config.algorithm_type == "dpmsolver++"
    generators = [torch.Generator().manual_seed(seed) for seed in range(2)]
    asked = ["one realistic picture of a plain blue background"] * 2
    drawn = pipe(
        asked, num_inference_steps=8, guidance_scale=3.0, generator=generators, output_type="np"
    ).images
    assert drawn.shape == (2, 64, 64, 3)
    # Blue is the strongest channel of a blue picture.
    assert (drawn.mean((1, 2)).argmax(1) == 2).all()
