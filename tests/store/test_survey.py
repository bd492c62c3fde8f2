"""Which files of a user's folder make up a model."""

from __future__ import annotations

from pathlib import Path

import pytest

from dnd_local.core.errors import DamagedFile, MissingWeights, Refused, UserError
from dnd_local.store.survey import OPEN_CLIP_NAMES, survey
from tests.store import own


def paths(folder: Path) -> dict[str, str]:
    return {
        one.path: one.source.relative_to(folder).as_posix() + ("!" if one.pickle else "")
        for one in survey(folder).files
    }


def test_settings_tokenizer_and_weights_are_taken_and_the_rest_is_listed(tmp_path):
    own.single(tmp_path)
    taken = ["tokenizer.json", "merges.txt", "tokenizer.model", "chat_template.jinja"]
    left = ["README.md", "LICENSE.txt", "modeling.py", "pytorch_model.bin", "onnx/model.onnx"]
    hidden = [".gitattributes", ".git/config"]
    for name in (*taken, *left, *hidden):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    found = survey(tmp_path)
    assert [one.path for one in found.files] == sorted([*taken, "config.json", "model.safetensors"])
    assert list(found.left_out) == sorted(left)


def test_a_model_in_parts_is_what_its_index_names(tmp_path):
    found = survey(own.sharded(tmp_path))
    assert [one.path for one in found.files if one.path.endswith("safetensors")] == [
        "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
    ]  # fmt: skip
    assert found.left_out == ("consolidated.safetensors",)


def test_a_pipeline_is_its_parts_and_half_precision_takes_the_plain_name(tmp_path):
    assert paths(own.pipeline(tmp_path)) == {
        "model_index.json": "model_index.json",
        "scheduler/scheduler_config.json": "scheduler/scheduler_config.json",
        "unet/config.json": "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors": "unet/diffusion_pytorch_model.safetensors",
        "vae/config.json": "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors": "vae/diffusion_pytorch_model.fp16.safetensors",
    }


def test_one_file_of_any_name_is_the_model(tmp_path):
    own.tensors(tmp_path / "best-epoch.safetensors")
    assert paths(tmp_path) == {"model.safetensors": "best-epoch.safetensors"}


def test_the_preferred_name_wins_among_several(tmp_path):
    own.tensors(tmp_path / "model.safetensors")
    own.tensors(tmp_path / "open_clip_model.safetensors")
    assert [one.path for one in survey(tmp_path).files] == ["model.safetensors"]
    chosen = survey(tmp_path, OPEN_CLIP_NAMES).files
    assert [one.path for one in chosen] == ["open_clip_model.safetensors"]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("pytorch_model.bin", "model.safetensors"),
        ("open_clip_pytorch_model.bin", "open_clip_model.safetensors"),
        ("resnet.pth.tar", "model.safetensors"),
    ],
)
def test_a_pickle_is_taken_where_there_is_nothing_else(tmp_path, name, path):
    (tmp_path / name).touch()
    assert paths(tmp_path) == {path: f"{name}!"}


def test_a_hubs_cache_is_read_through_its_links(tmp_path):
    snapshot = own.cached(tmp_path / "models--someone--model")
    assert set(paths(snapshot)) == {"config.json", "model.safetensors"}


INDEX = "model.safetensors.index.json"
HALF = "model-00001-of-00002.safetensors"


def without_weights(folder: Path) -> Path:
    own.settings(folder / "config.json")
    return folder


def two_files(folder: Path) -> None:
    for name in ("a", "b"):
        own.tensors(folder / f"{name}.safetensors")


def weights_twice(folder: Path) -> None:
    own.settings(own.single(folder) / INDEX, {"weight_map": {}})


def two_indexes(folder: Path) -> None:
    for name in (INDEX, f"other-{INDEX}"):
        own.settings(folder / name)


def pickle_in_parts(folder: Path) -> None:
    own.settings(folder / "pytorch_model.bin.index.json")
    (folder / "pytorch_model-00001-of-00002.bin").touch()


def weights_elsewhere(folder: Path) -> None:
    there = own.tensors(folder.parent / "elsewhere.safetensors")
    (without_weights(folder) / "model.safetensors").symlink_to(there)


def weights_gone(folder: Path) -> None:
    (without_weights(folder) / "model.safetensors").symlink_to("gone.safetensors")


@pytest.mark.parametrize(
    ("spoil", "error", "told"),
    [
        (two_files, Refused, "holds 2 files of weights .*none is called model.safetensors"),
        (without_weights, MissingWeights, "holds no weights"),
        (lambda f: own.tensors(f / "model.gguf"), Refused, "GGUF"),
        (lambda f: own.tensors(f / "adapter_model.safetensors"), Refused, "merge it into its"),
        (weights_twice, Refused, "holds the weights twice"),
        (two_indexes, Refused, "holds the weights twice"),
        (lambda f: own.settings(f / INDEX, {"weight_map": {}}), DamagedFile, "names no file"),
        (lambda f: (own.sharded(f) / HALF).unlink(), DamagedFile, f"'{HALF}', which is not there"),
        (lambda f: own.settings(f / INDEX).write_text("[]"), DamagedFile, "is not a JSON object"),
        (lambda f: own.settings(f / INDEX).write_text("{"), DamagedFile, "is not JSON"),
        (pickle_in_parts, Refused, "a pickle in several parts"),
        (weights_elsewhere, Refused, "leads out of the folder"),
        (weights_gone, MissingWeights, "which is not there"),
        (lambda f: own.settings(own.single(f) / "réglages.json"), Refused, "rename it"),
        (
            lambda f: (own.pipeline(f) / "vae").rename(f / "vee"),
            MissingWeights,
            "names 'vae', and there is no such folder",
        ),
    ],
)
def test_what_is_not_decided_or_not_whole_is_refused(tmp_path, spoil, error, told):
    spoil(tmp_path / "model")
    with pytest.raises(UserError, match=told) as caught:
        survey(tmp_path / "model")
    assert type(caught.value) is error
