"""Engines by role."""

import json
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import get_model_builder

from dnd_local.core.config import (
    CaptionsConfig,
    ClipConfig,
    Execution,
    LlmConfig,
    NetworkConfig,
    PicturesConfig,
)
from dnd_local.core.errors import MissingWeights, UnknownName, UserError
from dnd_local.core.protocols import Captioner, Embedder, LanguageModel, Painter, Target
from dnd_local.engines import language_models, registry
from dnd_local.engines.small_resnet import SmallResNet

CPU = ("cpu",)


@pytest.fixture
def execution(tmp_path):
    return Execution(workspace=tmp_path, weights=tmp_path, data=tmp_path)


def test_the_registry_itself_is_light():
    code = (
        "import sys; import dnd_local.engines.registry; "
        "heavy = {'torch', 'transformers', 'diffusers', 'open_clip', 'accelerate', 'PIL'}; "
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_each_engine_opens_and_lets_go(models):
    opened = {
        Captioner: registry.open_built_in(
            "captioner", CaptionsConfig(batch=1, dtype="float32"), [models("blip")], CPU
        ),
        Painter: registry.open_built_in(
            "painter",
            PicturesConfig(batch=1, dtype="float32", size=16, steps=2, decoder="small"),
            [models("stable_diffusion"), models("small_decoder")],
            CPU,
        ),
        Embedder: registry.open_built_in(
            "embedder", ClipConfig(batch=1), [models("open_clip")], CPU
        ),
    }
    for protocol, opening in opened.items():
        with opening as engine:
            assert isinstance(engine, protocol)
            held = [name for name in ("model", "pipeline") if hasattr(engine, name)]
            assert len(held) == 1
        assert not hasattr(engine, held[0])


def test_a_sentence_encoder_opens(models):
    with registry.open_text_encoder(models("sentence_encoder"), CPU, batch=1) as encoder:
        assert encoder.embed_texts(["dog"]).shape == (1, 32)
    assert not hasattr(encoder, "model")


def test_a_language_model_in_this_process(models, execution):
    config = LlmConfig(engine="transformers", batch=1, dtype="float32")
    with language_models.open_language_model(config, [models("llama")], execution) as engine:
        assert isinstance(engine, LanguageModel)
    with language_models.open_language_model(config, [models("llama")], execution, CPU) as engine:
        assert isinstance(engine, LanguageModel)
    assert not hasattr(engine, "model")


def test_a_served_language_model(monkeypatch, execution, tmp_path):
    asked = []

    @contextmanager
    def open_vllm(config, folder, where, devices=None):
        asked.append((config.engine, folder, where))
        yield "server"

    monkeypatch.setattr(registry.adapter("language_model_vllm"), "open_vllm", open_vllm)
    with language_models.open_language_model(LlmConfig(), [tmp_path], execution) as engine:
        assert engine == "server"
    assert asked == [("vllm", tmp_path, execution)]


def test_an_unknown_language_engine_lists_the_known(execution, tmp_path):
    with pytest.raises(UnknownName, match=r"'vlm'\. Did you mean vllm\? Use vllm or transformers"):
        language_models.open_language_model(LlmConfig(engine="vlm"), [tmp_path], execution)


def test_a_torchvision_network_from_its_folder(tmp_path):
    torch.manual_seed(0)
    network = get_model_builder("squeezenet1_1")(weights=None)
    save_file(network.state_dict(), tmp_path / "squeezenet1_1.safetensors")
    config = NetworkConfig(name="squeezenet1_1", batch=1)
    member = "torchvision:squeezenet1_1@IMAGENET1K_V1"
    origin = "squeezenet1_1-b8a52dc0.pth"
    with registry.open_target(config, tmp_path, CPU, member, origin) as target:
        assert isinstance(target, Target)
        assert "features.12.expand3x3" in {info.path for info in target.layers()}
    assert not hasattr(target, "module")
    with pytest.raises(MissingWeights, match="holds 0"):
        registry.open_target(config, tmp_path / "none", CPU, member)
    with pytest.raises(UserError, match=r"these weights come from another\.pth"):
        registry.open_target(config, tmp_path, CPU, member, "another.pth")
    with pytest.raises(UserError, match=r'"network": "torchvision:NAME@MEMBER"'):
        registry.open_target(config, tmp_path, CPU)
    with pytest.raises(UnknownName, match="unknown source of networks 'caffe'"):
        registry.open_target(config, tmp_path, CPU, "caffe:alexnet")


def test_a_small_network_from_its_folder(tmp_path):
    settings = {
        "architecture": "torchvision-resnet-basicblock",
        "widths": [4, 4, 4, 4],
        "outputs": ["dog"],
        "size": 64,
        "mean": [0.5] * 3,
        "std": [0.25] * 3,
    }
    (tmp_path / "config.json").write_text(json.dumps(settings))
    save_file(SmallResNet([4] * 4, 1).state_dict(), tmp_path / "model.safetensors")
    with registry.open_target(NetworkConfig(batch=2), tmp_path, CPU) as target:
        picture = np.zeros((64, 64, 3), np.uint8)
        assert target.responses([picture], ["fc"])["fc"].shape == (1, 1)


FACTORY = """
import torch
from torch import nn
from torchvision.transforms import v2

def make():
    torch.manual_seed({seed})
    steps = [v2.Resize((8, 8)), v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)]
    return nn.Sequential(nn.Conv2d(3, 2, 1)), v2.Compose(steps)
"""


def test_a_users_own_network_and_its_digest(tmp_path):
    for seed in (1, 2):
        (tmp_path / f"mine{seed}.py").write_text(FACTORY.format(seed=seed))
    name = f"{tmp_path / 'mine1.py'}:make"
    with registry.open_factory("target", name, NetworkConfig(name=name, batch=1), CPU) as target:
        assert [info.path for info in target.layers()] == ["0"]
    digest = registry.factory_state_digest("target", name, NetworkConfig())
    assert len(digest) == 64
    assert digest == registry.factory_state_digest("target", name, NetworkConfig())
    other = f"{tmp_path / 'mine2.py'}:make"
    assert digest != registry.factory_state_digest("target", other, NetworkConfig())


def test_a_folder_of_another_kind_lists_the_known(tmp_path):
    with pytest.raises(MissingWeights, match="there is no folder"):
        registry.open_built_in("painter", PicturesConfig(), [tmp_path / "none"], CPU)
    with pytest.raises(
        UserError, match=r"holds no painter .* diffusers \(has model_index.json of "
    ):
        registry.open_built_in("painter", PicturesConfig(), [tmp_path], CPU)
    (tmp_path / "config.json").write_text('{"model_type": "git"}')
    with pytest.raises(UserError, match=r"holds no captioner .* BLIP \(has config.json of blip"):
        registry.open_built_in("captioner", CaptionsConfig(), [tmp_path], CPU)


PAINTER = """
import torch

class Painter:
    def __init__(self, settings, device):
        torch.manual_seed({seed})
        self.net = torch.nn.Linear(2, 2)

    def paint(self, prompts, seeds):
        return []
"""


def test_the_state_of_a_users_own_engine_is_that_of_its_modules(tmp_path):
    def digest(seed):
        (tmp_path / "mine.py").write_text(PAINTER.format(seed=seed))
        return registry.factory_state_digest("painter", f"{tmp_path / 'mine.py'}:Painter", None)

    assert digest(1) == digest(1) != digest(2)
    with registry.open_factory("painter", f"{tmp_path / 'mine.py'}:Painter", None, CPU) as painter:
        assert painter.paint([], []) == [], "it needs no close"


def test_a_missing_library_says_how_to_get_it(monkeypatch):
    monkeypatch.delitem(sys.modules, "dnd_local.engines.embedder_open_clip", raising=False)
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(UserError, match="'open_clip' is not installed; run: pip install dnd-local"):
        registry.adapter("embedder_open_clip")


def test_libraries_of_several_engines_are_missed_together(monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", None)
    monkeypatch.setitem(sys.modules, "diffusers", None)
    registry.check_engines(["captioner"])
    with pytest.raises(UserError, match="libraries 'diffusers', 'open_clip' are not installed"):
        registry.check_engines(["painter", "embedder"])


def test_an_engine_of_ours_that_is_not_there_is_our_fault():
    with pytest.raises(ModuleNotFoundError):
        registry.adapter("painter_crayons")
