"""`dissect resnet50` as the README's readers type it, on the real engines with random weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Command
from tests.engines import tiny
from tests.engines.tiny_llama import make_tiny_llama
from tests.store.hub import entry

SMALL = (
    "--llm", "transformers", "--pictures-count", 2, "--pictures-steps", 2, "--pictures-size", 8,
    "--pictures-batch", 2, "--pictures-dtype", "float32", "--concepts-count", 2,
    "--concepts-max-draws", 2, "--network-batch", 4, "--clip-batch", 4, "--llm-batch", 4,
    "--captions-batch", 4, "--exemplars-images", 3, "--exemplars-count", 3,
)  # fmt: skip
"""Fewer and smaller of everything; the models and their order are those of the paper preset."""


def save_resnet50(folder: Path) -> None:
    """Write torchvision's own ResNet-50 at its real size, never trained."""
    import torch
    from safetensors.torch import save_file
    from torchvision.models import resnet50

    folder.mkdir(parents=True)
    torch.manual_seed(0)
    save_file(resnet50().state_dict(), folder / "model.safetensors")


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Put a model with random weights in the place of each, and return a manifest of them."""
    makers = {
        "resnet50": save_resnet50,
        "blip-base": tiny.save_blip,
        "qwen3-4b-instruct": make_tiny_llama,
        "sd15": tiny.save_stable_diffusion,
        "clip-vit-b-16": tiny.save_open_clip,
    }
    entries = []
    for name, make in makers.items():
        folder = tmp_path / "weights" / name
        make(folder)
        files = {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        line = entry(name, files)
        if name == "resnet50":
            line["network"] = "torchvision:resnet50@IMAGENET1K_V1"
        entries.append(line)
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({"schema": 1, "entries": entries}), encoding="utf-8")
    return path


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    folder = tmp_path / "photographs"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(6):
        coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        coarse.resize((200, 150)).save(folder / f"{index}.png")
    return folder


def test_missing_weights_are_named_with_what_gets_them(command: Command, photographs: Path) -> None:
    said = command("dissect", "resnet50", "layer4", "--ids", "1,2,3", "--probe", photographs)
    assert said.code == 2
    assert "resnet50" in said.err
    assert "dnd-local weights pull" in said.err
    assert len(said.err.splitlines()) <= 8


@pytest.mark.slow
def test_dissect_resnet50_runs_where_its_weights_are(
    command: Command, manifest: Path, photographs: Path, tmp_path: Path
) -> None:
    words = (
        "dissect", "resnet50", "layer4", "--ids", "1,2,3", "--probe", photographs,
        "--manifest", manifest, "--run", "first", *SMALL,
    )  # fmt: skip
    said = command(*words)
    assert "first" in said.out, said.err
    folder = tmp_path / "workspace" / "runs" / "first"
    lines = (folder / "descriptions.jsonl").read_text(encoding="utf-8").splitlines()
    found = [json.loads(line) for line in lines]
    assert [own["neuron"]["index"] for own in found] == [1, 2, 3]
    # A language model that was never trained rarely says anything usable; what it said is kept.
    assert {own["status"] for own in found} <= {"described", "failed"}
    again = command(*words)
    assert "nothing was computed again" in again.out
