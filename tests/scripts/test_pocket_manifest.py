"""The manifest and the models that ship agree, and the script that sees to it works."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from dnd_local.core.errors import BadConfig
from dnd_local.store.manifest import Manifest, Shipped
from dnd_local.store.pins import Pins
from dnd_local.store.resources import shipped
from dnd_local.store.weights import Weights
from tests.store.hub import put, sha256

HOME = Path(__file__).parents[2]
MODELS = HOME / "dnd_local/pocket/models"
HELD = sorted(folder.name for folder in MODELS.glob("*") if any(folder.rglob("*")))


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = HOME / "scripts/pocket/manifest.py"
    spec = importlib.util.spec_from_file_location("pocket_manifest", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_script_lists_what_lies_in_each_folder_and_nothing_more(script, tmp_path):
    put(tmp_path / "target", {"b/w.safetensors": b"123", "a.json": b"{}"})
    value = json.loads(shipped("weights_manifest.json").read_bytes())
    made = json.loads(script.rewritten(value, tmp_path))
    files = {one["id"]: one["files"] for one in made["entries"]}
    assert files["pocket-target"] == [
        {"path": "a.json", "size": 2, "sha256": sha256(b"{}")},
        {"path": "b/w.safetensors", "size": 3, "sha256": sha256(b"123")},
    ]
    assert files["pocket-llm"] == []
    others = [one for one in value["entries"] if one["source"]["kind"] != "shipped"]
    assert [one for one in made["entries"] if one["source"]["kind"] != "shipped"] == others


def test_the_script_refuses_a_pickle_among_the_models(script, tmp_path):
    put(tmp_path / "target", {"w.pt": b""})
    with pytest.raises(BadConfig, match="is a pickle"):
        script.rewritten(json.loads(shipped("weights_manifest.json").read_bytes()), tmp_path)


def test_the_manifest_is_as_the_script_leaves_it(script):
    if not HELD:
        pytest.skip("no model is in the package yet")
    path = HOME / "weights_manifest.json"
    assert script.rewritten(json.loads(path.read_bytes()), MODELS) == path.read_bytes(), (
        "run python scripts/pocket/manifest.py"
    )


def test_every_shipped_model_verifies(tmp_path):
    there = Weights(tmp_path, Manifest.read(), Pins(tmp_path / "lock"))
    names = {
        entry.source.folder: entry.id
        for entry in there.manifest.entries
        if isinstance(entry.source, Shipped)
    }
    if not HELD:
        pytest.skip("no model is in the package yet")
    for folder in HELD:
        assert there.folder(names[folder]) == MODELS / folder


@pytest.mark.parametrize("position", [0.0, 0.5, 1.0])
def test_a_flipped_bit_or_a_planted_pickle_stops_every_pocket_model_by_name(tmp_path, position):
    if not HELD:
        pytest.skip("no model is in the package yet")
    import shutil

    from dnd_local.core.errors import DamagedFile, Refused

    for entry in Manifest.read().entries:
        if not isinstance(entry.source, Shipped) or entry.source.folder not in HELD:
            continue
        copy = tmp_path / "models" / entry.source.folder
        shutil.copytree(MODELS / entry.source.folder, copy)
        for file in entry.files:
            path = copy / file.path
            good = path.read_bytes()
            bad = bytearray(good)
            bad[min(int(len(bad) * position), len(bad) - 1)] ^= 1
            path.write_bytes(bad)
            there = Weights(tmp_path, Manifest.read(), Pins(tmp_path / "l"), tmp_path / "models")
            with pytest.raises(DamagedFile, match=path.name):
                there.folder(entry.id)
            path.write_bytes(good)
        put(copy, {"pytorch_model.bin": b"cposix\nsystem\n(S'false'\ntR."})
        there = Weights(tmp_path, Manifest.read(), Pins(tmp_path / "l"), tmp_path / "models")
        with pytest.raises(Refused, match=r"pytorch_model.bin can run code"):
            there.folder(entry.id)
