"""Settings beside weights."""

import pytest

from dnd_local.core.errors import DamagedFile, MissingWeights, Refused
from dnd_local.engines.folders import only_safetensors, settings_of


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
