"""What the shell is offered at a press of the tab key, and how fast."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dnd_local.cli import completion
from dnd_local.cli.completion import USUAL_LAYERS
from dnd_local.core.protocols import LATENTS
from dnd_local.engines.small_resnet import SmallResNet
from dnd_local.store.add import Wish, add
from dnd_local.store.weights import Weights
from tests.bench import Bench
from tests.cli.test_main import HEAVY, environment
from tests.fakes import LAYER
from tests.store import own
from tests.store.hub import Watcher

ASK = f"""
import sys
from dnd_local.cli.main import run

try:
    run()
except SystemExit:
    pass
assert not [name for name in {HEAVY!r} if name in sys.modules]
"""


def offered(home: Path, words: str) -> list[str]:
    """Return what bash is offered for the last of the words."""
    line = f"dnd-local {words}"
    asked = {"_DND_LOCAL_COMPLETE": "complete_bash", "COMP_WORDS": line,
             "COMP_CWORD": str(len(line.split(" ")) - 1)}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", ASK], env=environment(home) | asked, cwd=home,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "some"),
    [
        ("diss", ["dissect"]),
        ("weights pu", ["pull"]),
        ("dissect po", ["pocket", "pocket-odd", "pocket-hard"]),
        ("dissect resnet10", ["resnet101", "resnet101@IMAGENET1K_V2"]),
        ("dissect pocket layer4,f", ["layer4,fc"]),
        ("dissect pocket layer4 --rule topk-c", ["topk-compare"]),
        ("dissect pocket layer4 --preset pa", ["paper"]),
        ("dissect pocket layer4 --probe pocket+b", ["pocket+broden"]),
        ("dissect pocket layer4 --pictures-model sd1", ["sd15", "sd14"]),
        ("weights verify pap", ["paper"]),
        (
            "dissect pocket layer4 --captions-model bl",
            ["blip-base", "blip-large", "blip2-opt-2.7b"],
        ),
        ("dissect pocket layer4 --pictures-st", ["--pictures-steps"]),
    ],
)
def test_names_are_completed_without_a_model_library(
    tmp_path: Path, words: str, some: list[str]
) -> None:
    assert offered(tmp_path, words) == some


def test_models_of_ones_own_are_completed(tmp_path: Path) -> None:
    root = tmp_path / "weights"
    for name, role in (("my-blip", "captioner"), ("my-net", "target")):
        wish = Wish(name=name, folder=own.single(tmp_path / name), role=role)
        add(Weights.open(root), wish, Watcher(), lambda _: False)
    given = f"--weights {root}"
    assert offered(tmp_path, f"dissect {given} my-") == ["my-net"]
    assert offered(tmp_path, f"dissect {given} pocket layer4 --captions-model my-") == ["my-blip"]
    assert offered(tmp_path, f"weights remove {given} my-") == ["my-blip", "my-net"]
    (root / "own_models.json").write_text("{")
    assert offered(tmp_path, f"weights remove {given} my-") == []


@pytest.mark.parametrize(
    ("setting", "role"),
    [one for one in completion.SETTINGS.items() if one[1] != LATENTS],  # none is embedded
)
def test_every_role_has_an_embedded_model(tmp_path: Path, setting: str, role: str) -> None:
    option = "--" + setting.replace(".", "-")
    found = offered(tmp_path, f"dissect pocket layer4 {option} pocket")
    assert found
    assert set(found) == {one for one in found if one.startswith("pocket-")}


def test_runs_and_their_layers_are_completed(bench: Bench, tmp_path: Path) -> None:
    bench.run("0", name="mine")
    assert offered(tmp_path, "show m") == ["mine"]
    assert offered(tmp_path, "show x") == []
    assert offered(tmp_path, f"dissect pocket {LAYER[0]}") == [LAYER]
    words = f"dissect --workspace {os.devnull} pocket {LAYER[0]}"
    assert offered(tmp_path, words) == []


def test_a_damaged_run_completes_nothing_and_stops_nothing(bench: Bench, tmp_path: Path) -> None:
    for name in ("mine", "torn"):
        bench.run("0", name=name)
    (bench.workspace / "runs" / "torn" / "run.json").write_bytes(b"{")
    words = f"dissect --workspace {bench.workspace} pocket "
    assert LAYER in offered(tmp_path, words)


def test_the_usual_layers_are_layers() -> None:
    torchvision = pytest.importorskip("torchvision")
    for start, layers in USUAL_LAYERS.items():
        if start == "pocket":
            continue
        name = next(own for own in torchvision.models.list_models(torchvision.models)
                    if own.startswith(start))  # fmt: skip
        with torch.device("meta"):
            network = torchvision.models.get_model(name, weights=None)
        for layer in layers:
            assert network.get_submodule(layer), (name, layer)
    small = SmallResNet((4, 4, 4, 4), 2)
    assert set(USUAL_LAYERS["pocket"]) <= {name for name, _ in small.named_children()}
