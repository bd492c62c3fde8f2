"""Registering a folder: links, hashes, an entry; and what can come in between."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from dnd_local.core.errors import (
    BadConfig,
    DamagedFile,
    MissingWeights,
    Refused,
    UnknownName,
    UserError,
)
from dnd_local.store import add as adding
from dnd_local.store.add import Added, Wish, add
from dnd_local.store.bundle import opened
from dnd_local.store.manifest import Local
from dnd_local.store.own_models import OWN_NAME, locked, read_own
from dnd_local.store.pack import pack
from dnd_local.store.pull import pull
from dnd_local.store.remove import remove
from dnd_local.store.unpack import unpack
from dnd_local.store.weights import Weights
from tests.store import own
from tests.store.hub import Watcher, entry, put
from tests.store.hub import weights as hub_weights


@pytest.fixture
def there(tmp_path: Path) -> Weights:
    return Weights.open(tmp_path / "weights")


def register(
    there: Weights, folder: Path, name: str = "mine", yes: bool = False, **changes: object
) -> Added:
    wish = Wish(**{"name": name, "folder": folder, "role": "captioner", **changes})
    return add(there, wish, Watcher(), lambda pickles: yes)


def test_a_folder_becomes_links_and_an_entry_and_is_read_by_name(there, tmp_path):
    folder = own.single(tmp_path / "blip")
    (folder / "README.md").touch()
    watcher = Watcher()
    wish = Wish(name="mine", folder=folder, role="captioner", note="tuned", spare=7)
    done = add(there, wish, watcher, lambda pickles: False)
    assert (done.left_out, done.again) == (("README.md",), False)
    size = (folder / "model.safetensors").stat().st_size
    assert watcher.bytes == watcher.expected == size + (folder / "config.json").stat().st_size
    assert done.entry.source == Local(folder=str(folder))
    assert (done.entry.dtype, done.entry.note) == ("float32", "tuned")
    assert done.entry.memory == int(1.25 * size) + 1_000_000_007
    assert os.readlink(there.root / "mine/model.safetensors") == str(folder / "model.safetensors")
    assert there.folder("mine") == there.root / "mine"
    again = Weights.open(there.root)
    assert again.folder("mine") == there.root / "mine"
    assert again.digest("mine") == there.digest("mine")


def test_a_large_file_is_hashed_once(there, tmp_path, monkeypatch):
    register(there, own.sharded(tmp_path / "llama"))
    monkeypatch.setattr("dnd_local.store.weights.file_sha256", lambda path: pytest.fail(str(path)))
    assert Weights.open(there.root).report("mine").state == "have"


def test_the_same_again_changes_nothing_and_a_folder_that_moved_is_found(there, tmp_path):
    folder = own.single(tmp_path / "blip")
    digest = register(there, folder).entry and there.digest("mine")
    assert register(there, folder).again
    folder.rename(tmp_path / "moved")
    fresh = Weights.open(there.root)
    with pytest.raises(MissingWeights, match=rf"they were in {folder}; say where they are: dnd-"):
        fresh.folder("mine")
    with pytest.raises(MissingWeights, match="weights add mine FOLDER --role captioner"):
        fresh.require(["mine"])
    assert register(fresh, tmp_path / "moved").again
    assert Weights.open(there.root).folder("mine")
    assert Weights.open(there.root).digest("mine") == digest


def test_a_file_that_was_changed_is_told_before_it_is_read(there, tmp_path):
    folder = own.single(tmp_path / "blip")
    register(there, folder, role="target", network="torchvision:x@Y")
    own.tensors(folder / "model.safetensors", "v")
    told = "altered.*put the old file back into .*blip, or.*--role target --source torchvision:x@Y"
    with pytest.raises(DamagedFile, match=told):
        Weights.open(there.root).folder("mine")
    with pytest.raises(BadConfig, match="registered already, with other files"):
        register(there, folder)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("blip-base", "choose another"),
        ("paper", "choose another"),
        ("resnet50@IMAGENET1K_V1", "choose another"),
        ("My Model", "will not do as a name"),
        ("../up", "will not do as a name"),
    ],
)
def test_names_that_are_taken_or_no_names(there, tmp_path, name, told):
    with pytest.raises(BadConfig, match=told):
        register(there, own.single(tmp_path / "blip"), name)
    assert not (there.root / OWN_NAME).exists()


def test_folders_that_are_none_or_lie_in_the_way(there, tmp_path):
    with pytest.raises(UserError, match="is not there"):
        register(there, tmp_path / "absent")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file"):
        register(there, tmp_path / "file")
    with pytest.raises(UserError, match="lies in the weights folder"):
        register(there, own.single(there.root / "mine"))
    with pytest.raises(UserError, match="no model of that name is; move it away"):
        register(there, own.single(tmp_path / "blip"))


def test_code_and_files_that_are_not_whole_are_refused_before_anything_is_hashed(there, tmp_path):
    folder = own.single(tmp_path / "blip")
    own.settings(folder / "config.json", {"auto_map": {"AutoModel": "x.Y"}})
    with pytest.raises(Refused, match="auto_map"):
        register(there, folder)
    own.settings(folder / "config.json")
    (folder / "model.safetensors").write_bytes(b"not tensors")
    with pytest.raises(DamagedFile, match="not a whole safetensors file"):
        register(there, folder)
    assert not there.root.exists()


def test_a_pickle_is_converted_after_consent_and_its_own_hash_is_in_keys(there, tmp_path):
    folder = tmp_path / "old"
    own.settings(folder / "config.json")
    torch.save({"w": torch.arange(3.0)}, folder / "pytorch_model.bin")
    with pytest.raises(Refused, match=r"is a pickle.*add --yes"):
        register(there, folder)
    line = register(there, folder, yes=True).entry.files[1]
    assert (line.path, line.converted_from.path) == ("model.safetensors", "pytorch_model.bin")
    made = there.folder("mine") / "model.safetensors"
    assert not made.is_symlink()
    before = there.digest("mine")
    # Another version of the converter may write other bytes; the model is the same.
    assert register(Weights.open(there.root), folder, yes=True).again
    assert Weights.open(there.root).digest("mine") == before
    assert (folder / "pytorch_model.bin").exists()


def test_a_stable_diffusion_with_its_checker_named_is_no_code(there, tmp_path):
    register(there, own.pipeline(tmp_path / "sd"), role="painter")
    assert (there.folder("mine") / "vae/diffusion_pytorch_model.safetensors").is_file()


def test_what_no_engine_reads_is_not_registered(there, tmp_path):
    folder = own.single(tmp_path / "net")

    def trial(made: Path) -> None:
        assert (made / "model.safetensors").is_file()
        raise UserError(f"{made} is no network")

    with pytest.raises(UserError, match=rf"^{folder} is no network$"):
        add(
            there,
            Wish(name="mine", folder=folder, role="target"),
            Watcher(),
            lambda _: False,
            trial,
        )
    assert [path.name for path in there.root.iterdir()] == [".own_models.lock"]


def test_a_file_that_changes_while_it_is_read_is_told(there, tmp_path):
    folder = own.single(tmp_path / "net")
    wish = Wish(name="mine", folder=folder, role="target")
    with pytest.raises(DamagedFile, match=r"config.json changed while it was read"):
        add(there, wish, Watcher(), lambda _: False, lambda _: (folder / "config.json").touch())
    assert read_own(there.root).entries == ()


@pytest.mark.parametrize("moment", ["put_own", "stamp_of"])
def test_stopped_midway_leaves_nothing_and_killed_midway_is_swept(
    there, tmp_path, monkeypatch, moment
):
    folder = own.single(tmp_path / "blip")
    with monkeypatch.context() as patch:
        patch.setattr(adding, moment, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            register(there, folder)
    assert read_own(there.root).entries == ()
    assert not (there.root / "mine").exists()
    put(there.root / ".add-killed/mine", {"x": b""})
    register(there, folder)
    assert not list(there.root.glob(".add-*"))


def test_killed_between_entry_and_folder_the_same_command_mends_it(there, tmp_path):
    folder = own.single(tmp_path / "blip")
    register(there, folder)
    (there.root / "mine").rename(tmp_path / "lost")
    fresh = Weights.open(there.root)
    assert fresh.missing(["mine"]) == ("mine",)
    assert register(fresh, folder).again
    assert Weights.open(there.root).folder("mine")


def test_two_at_once_wait_for_each_other(there, tmp_path, monkeypatch):
    monkeypatch.setattr("dnd_local.store.own_models._PATIENCE_S", 0.1)
    with (
        locked(there.root),
        pytest.raises(UserError, match="another `weights add` or `weights remove` is at work"),
    ):
        register(there, own.single(tmp_path / "blip"))


def test_removing_takes_links_and_entry_and_leaves_the_folder(there, tmp_path):
    folder = own.single(tmp_path / "blip")
    register(there, folder)
    register(there, folder, "other")
    remove(there, "mine")
    assert [one.id for one in read_own(there.root).entries] == ["other"]
    assert not (there.root / "mine").exists()
    assert (folder / "model.safetensors").exists()
    with pytest.raises(UnknownName, match="weights add` registers a folder"):
        Weights.open(there.root).folder("mine")


def test_a_bundle_carries_own_models_and_makes_them_known(there, tmp_path):
    register(there, own.single(tmp_path / "blip"))
    register(there, own.sharded(tmp_path / "llama"), "other", role="language-model")
    bundle = tmp_path / "b.tar"
    pack(there, ["mine"], bundle, Watcher(), made_by="test")
    with opened(bundle) as held:
        assert str(tmp_path).encode() not in held.open("weights_manifest.json").read()
    away = Weights.open(tmp_path / "away")
    done = unpack(away, bundle, Watcher())
    assert (done.landed, done.registered) == (("mine",), ("mine",))
    fresh = Weights.open(tmp_path / "away")
    assert fresh.digest("mine") == there.digest("mine")
    assert not (fresh.folder("mine") / "model.safetensors").is_symlink()
    assert unpack(Weights.open(tmp_path / "away"), bundle, Watcher()).registered == ()
    (tmp_path / "away/mine/model.safetensors").unlink()
    with pytest.raises(MissingWeights, match="; say where they are"):
        Weights.open(tmp_path / "away").folder("mine")


def test_a_bundle_never_changes_what_a_name_means(there, tmp_path):
    register(there, own.single(tmp_path / "blip"))
    bundle = tmp_path / "b.tar"
    pack(there, ["mine"], bundle, Watcher(), made_by="test")
    away = Weights.open(tmp_path / "away")
    register(away, own.sharded(tmp_path / "llama"))
    with pytest.raises(Refused, match="brings a model 'mine', and another one has that name"):
        unpack(away, bundle, Watcher())
    clash = hub_weights(tmp_path / "third", entry("mine", {"a": b""}))
    with pytest.raises(Refused, match="brings a model 'mine'"):
        unpack(clash, bundle, Watcher())


def test_an_own_model_is_never_fetched(there, tmp_path):
    folder = own.single(tmp_path / "blip")
    register(there, folder)
    assert pull(there, ["mine"], None, Watcher()).landed == ()
    (folder / "config.json").unlink()
    with pytest.raises(MissingWeights, match="say where they are"):
        pull(Weights.open(there.root), ["mine"], None, Watcher())


def test_own_models_lie_over_what_ships_and_a_named_manifest_over_them(there, tmp_path):
    register(there, own.single(tmp_path / "blip"))
    data = (there.root / OWN_NAME).read_bytes()
    # A later version may ship the name; the user's keeps its meaning.
    (there.root / OWN_NAME).write_bytes(data.replace(b'"mine"', b'"blip-base"'))
    assert Weights.open(there.root).manifest.entry("blip-base").own
    named = tmp_path / "named.json"
    named.write_bytes(data.replace(b'"captioner"', b'"painter"'))
    (there.root / OWN_NAME).write_bytes(data)
    assert Weights.open(there.root, named).manifest.entry("mine").role == "painter"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ((b"}", b""), "own_models.json: "),
        ((b'"local"', b'"user", "page": "https://e.org/"'), "own_models.json: "),
        ((b'"sha256": "', b'"sha256": null, "md5": "'), "own_models.json: "),
    ],
)
def test_an_own_manifest_that_was_edited_is_refused(there, tmp_path, change, told):
    register(there, own.single(tmp_path / "blip"))
    path = there.root / OWN_NAME
    path.write_bytes(path.read_bytes().replace(*change))
    with pytest.raises(BadConfig, match=told):
        Weights.open(there.root)


def test_an_own_manifest_by_another_hand(there):
    there.root.mkdir()
    line = entry("mine", {"a.txt": b"a"})
    path = there.root / OWN_NAME
    import msgspec

    path.write_bytes(msgspec.json.encode({"schema": 1, "entries": [line]}))
    with pytest.raises(BadConfig, match="written by `dnd-local weights add` alone"):
        read_own(there.root)
    path.unlink()
    path.mkdir()
    with pytest.raises(BadConfig, match="cannot read"):
        read_own(there.root)
