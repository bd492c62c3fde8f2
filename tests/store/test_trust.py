"""What may stand in a model folder."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dnd_local.core.errors import Refused
from dnd_local.store.trust import extra_files, refuse_code, refuse_strangers
from tests.store.hub import put

CODE = {
    "a class of its own": ("config.json", {"auto_map": {"AutoModel": "m.M"}}),
    "deep inside": ("config.json", {"a": [{"b": {"auto_map": {"AutoConfig": "o/r--m.M"}}}]}),
    "in a tokenizer": ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["t.T", None]}}),
    "trust": ("config.json", {"trust_remote_code": True}),
    "a pipeline of its own": ("model_index.json", {"unet": ["my_unet", "UNet"]}),
    "a pipeline class of its own": ("model_index.json", {"_class_name": ["pipeline", "P"]}),
    "custom pipelines": ("config.json", {"custom_pipelines": {"x": {"impl": "m.P"}}}),
    "a module of its own": ("modules.json", [{"type": "mine.Module"}]),
    "a module list of nonsense": ("modules.json", ["os.system"]),
}
FINE = {
    "a usual pipeline": (
        "model_index.json",
        {
            "_class_name": "StableDiffusionPipeline",
            "unet": ["diffusers", "UNet2DConditionModel"],
            "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
            "feature_extractor": [None, None],
            "text_encoder": ["transformers", "CLIPTextModel"],
        },
    ),
    "usual modules": ("modules.json", [{"type": "sentence_transformers.models.Pooling"}]),
    "nothing mapped": ("config.json", {"auto_map": {}, "trust_remote_code": False}),
    "an index that is a list": ("model_index.json", []),
    "a part without library": ("model_index.json", {"unet": []}),
    "modules that are no list": ("modules.json", {}),
}


@pytest.mark.parametrize(("name", "settings"), CODE.values(), ids=CODE.keys())
def test_settings_that_ask_for_code_are_refused(tmp_path, name: str, settings: Any):
    put(tmp_path, {name: json.dumps(settings).encode()})
    with pytest.raises(Refused, match=f"'m': .*{name} .*models that bring code are refused"):
        refuse_code("m", tmp_path, [name])


@pytest.mark.parametrize(("name", "settings"), FINE.values(), ids=FINE.keys())
def test_usual_settings_pass(tmp_path, name: str, settings: Any):
    put(tmp_path, {name: json.dumps(settings).encode()})
    refuse_code("m", tmp_path, [name])


@pytest.mark.parametrize("data", [b"{", b"\xff\xfe", b"[" * 100_000])
def test_settings_that_are_not_json_are_refused(tmp_path, data: bytes):
    put(tmp_path, {"config.json": data})
    with pytest.raises(Refused, match=r"config.json is not JSON"):
        refuse_code("m", tmp_path, ["config.json"])


def test_vocabularies_and_other_files_are_not_read(tmp_path):
    refuse_code("m", tmp_path, ["tokenizer.json", "sub/vocab.json", "model.safetensors"])


def test_extras_are_found_at_any_depth_litter_aside(tmp_path):
    put(tmp_path, {"a": b"", "b/c": b"", "b/d": b"", ".DS_Store": b"", "b/Thumbs.db": b""})
    assert extra_files(tmp_path, ["a", "b/d"]) == ("b/c",)
    refuse_strangers("m", tmp_path, ["a", "b/c", "b/d"])


def test_a_linked_folder_is_a_stranger(tmp_path):
    put(tmp_path / "model", {"a": b""})
    put(tmp_path / "elsewhere", {"x.txt": b""})
    (tmp_path / "model/link").symlink_to(tmp_path / "elsewhere")
    assert extra_files(tmp_path / "model", ["a"]) == ("link",)
    with pytest.raises(Refused, match="link is not in the manifest"):
        refuse_strangers("m", tmp_path / "model", ["a"])
