"""Settings beside weights."""

import json
import shutil

import pytest
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, BlipForConditionalGeneration

from dnd_local.core.errors import DamagedFile, MissingWeights, Refused, UserError
from dnd_local.engines.folders import (
    has_chat_template,
    load_whole,
    only_safetensors,
    quantised_by,
    settings_of,
)


def test_settings_are_read(tmp_path):
    (tmp_path / "config.json").write_text('{"a": 1}')
    assert settings_of(tmp_path) == {"a": 1}


@pytest.mark.parametrize(
    ("text", "error", "told"),
    [
        ('{"auto_map": {"AutoModel": "x.Y"}}', Refused, "auto_map"),
        ("[1]", DamagedFile, "not a JSON object"),
        ("{", DamagedFile, "not JSON"),
    ],
)
def test_settings_that_are_refused(tmp_path, text, error, told):
    (tmp_path / "other.json").write_text(text)
    with pytest.raises(error, match=told):
        settings_of(tmp_path, "other.json")


def test_settings_that_are_not_there(tmp_path):
    with pytest.raises(MissingWeights, match=r"cannot read .*config\.json: No such file"):
        settings_of(tmp_path)


def test_the_one_safetensors_file(tmp_path):
    with pytest.raises(MissingWeights, match="holds 0 safetensors files"):
        only_safetensors(tmp_path)
    (tmp_path / "resnet50.safetensors").touch()
    assert only_safetensors(tmp_path).name == "resnet50.safetensors"
    (tmp_path / "other.safetensors").touch()
    with pytest.raises(MissingWeights, match="holds 2"):
        only_safetensors(tmp_path)
    (tmp_path / "model.safetensors").touch()
    assert only_safetensors(tmp_path).name == "model.safetensors"


@pytest.mark.parametrize(
    ("config", "method"),
    [
        ({}, ""),
        ({"quantization_config": {"quant_method": "awq"}}, "awq"),
        ({"quantization_config": {"bits": 4}}, "an unnamed method"),
        ({"compression_config": {"quant_method": "compressed-tensors"}}, "compressed-tensors"),
    ],
)
def test_how_weights_were_quantised(tmp_path, config, method):
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert quantised_by(tmp_path) == method


def test_where_a_chat_template_lies(tmp_path):
    assert not has_chat_template(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("{}")
    assert not has_chat_template(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"chat_template": "x"}')
    assert has_chat_template(tmp_path)
    (tmp_path / "tokenizer_config.json").unlink()
    (tmp_path / "chat_template.jinja").touch()
    assert has_chat_template(tmp_path)


@pytest.mark.parametrize(
    ("name", "kind"), [("blip", BlipForConditionalGeneration), ("llama", AutoModelForCausalLM)]
)
def test_a_whole_model_is_loaded_tied_tensors_and_all(models, name, kind):
    assert load_whole(kind, models(name), {}) is not None


def test_tensors_that_would_be_made_up_are_refused(models, tmp_path):
    folder = shutil.copytree(models("blip"), tmp_path / "blip")
    state = load_file(folder / "model.safetensors")
    renamed = {name.replace("vision_model", "visual"): value for name, value in state.items()}
    save_file(renamed, folder / "model.safetensors", {"format": "pt"})
    told = r"lack \d+ tensors of a BlipForConditionalGeneration \(vision_model"
    with pytest.raises(UserError, match=told):
        load_whole(BlipForConditionalGeneration, folder, {})


def test_tensors_of_another_shape_are_refused(models, tmp_path):
    folder = shutil.copytree(models("llama"), tmp_path / "llama")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 96}))
    with pytest.raises(UserError, match=r"do not fit its config.json"):
        load_whole(AutoModelForCausalLM, folder, {})
