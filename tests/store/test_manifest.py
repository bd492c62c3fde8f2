"""The manifest: what it may say, and that nothing else gets through."""

from __future__ import annotations

import copy
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnd_local.core.config import Config
from dnd_local.core.errors import BadConfig, UnknownName
from dnd_local.store.manifest import (
    Hub,
    Manifest,
    Shipped,
    is_pickle,
    parse_manifest,
)
from dnd_local.store.resources import shipped
from tests.store.hub import entry, manifest

TARGETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "vit_b_16")
POCKET = ("target", "target-odd", "captioner", "painter", "embedder", "llm", "judge")


def test_the_shipped_manifest_reads_and_covers_what_the_settings_name():
    there = {one.id: one for one in Manifest.read().entries}
    config = Config()
    for name in (config.captions.model, config.llm.model, config.pictures.model, config.clip.model):
        assert "paper" in there[name].profiles
    assert {"taesd", "lcm-lora-sdv1-5", "mpnet", "roberta-large", "sd14", *TARGETS} <= set(there)
    assert {"broden", "imagenet-val", "cifar-100", "dnd-results", "tile2vec", "eurosat"} <= set(
        there
    )
    for name in POCKET:
        assert isinstance(there[f"pocket-{name}"].source, Shipped)


def test_of_every_shipped_pickle_but_one_some_digits_of_the_hash_are_known():
    origins = {
        one.id: file.converted_from
        for one in Manifest.read().entries
        for file in one.files
        if file.converted_from is not None
    }
    assert set(TARGETS) < set(origins)
    unknown = [
        name for name, one in origins.items() if not (one.sha256 or len(one.sha256_prefix) >= 8)
    ]
    assert unknown == ["tile2vec"]


def test_hashes_in_the_names_of_torchvision_files_agree_with_those_listed():
    for name in TARGETS:
        origin = Manifest.read().entry(name).files[0].converted_from
        assert origin is not None
        assert origin.sha256 is not None
        assert origin.sha256.startswith(origin.path.removesuffix(".pth").rpartition("-")[2])


def test_the_file_that_an_entry_is_converted_from():
    assert Manifest.read().entry("resnet50").origin == "resnet50-0676ba61.pth"
    assert Manifest.read().entry("sd15").origin == ""


def test_the_whole_name_of_a_network_is_the_entry_that_shortens_it():
    there = Manifest.read()
    assert there.entry("resnet50@IMAGENET1K_V1") is there.entry("resnet50")
    assert there.entry("resnet50@IMAGENET1K_V2") is not there.entry("resnet50")
    assert there.entry("alexnet").known_size == 244409434


def test_entries_are_selected_by_id_and_profile_each_once():
    there = manifest(entry("b", {"f": b""}), entry("c", {"f": b""}, profiles=[]))
    assert [one.id for one in there.select(["c", "paper", "b"])] == ["b", "c"]
    assert there.select(["eval"]) == ()
    with pytest.raises(UnknownName, match="unknown weights 'd'"):
        there.select(["d"])


def test_the_hub_source_is_typed():
    source = manifest(entry(files={"f": b""})).entries[0].source
    assert isinstance(source, Hub)
    assert source.repository == "someone/some-model"


def test_the_size_to_fetch_counts_the_origin_of_a_converted_file():
    line = entry(files={"f.json": b"12"})
    origin = {"path": "w.pth", "size": 100, "sha256": None}
    line["files"].append(
        {"path": "w.safetensors", "size": 7, "sha256": None, "converted_from": origin}
    )
    assert manifest(line).entries[0].known_size == 102


def changed(where: str, value: Any) -> dict[str, Any]:
    """Return a good entry with one value changed, `where` a dotted path."""
    line: Any = entry(files={"model.safetensors": b"x"})
    *parents, last = where.split(".")
    at = line
    for name in parents:
        at = at[int(name)] if name.isdigit() else at[name]
    at[last] = value
    return line


BAD = {
    "an unknown key": ("colour", "red"),
    "an unknown key of a file": ("files.0.colour", "red"),
    "an unknown kind of source": ("source.kind", "torrent"),
    "a branch for a commit": ("source.revision", "main"),
    "a repository without owner": ("source.repository", "model"),
    "a repository that climbs": ("source.repository", "../x"),
    "an id with a slash": ("id", "a/b"),
    "an id in capitals": ("id", "Model"),
    "an id that is a profile": ("id", "paper"),
    "an unknown profile": ("profiles", ["everything"]),
    "an unknown precision": ("dtype", "float8"),
    "a short hash": ("files.0.sha256", "abc"),
    "a hash in capitals": ("files.0.sha256", "A" * 64),
    "a hash with a newline": ("files.0.sha256", "a" * 64 + "\n"),
    "a negative size": ("files.0.size", -1),
    "a path that climbs": ("files.0.path", "../x.safetensors"),
    "a path that climbs midway": ("files.0.path", "a/../../x.safetensors"),
    "a source path that climbs": ("files.0.source_path", "../x"),
    "an absolute path": ("files.0.path", "/etc/passwd"),
    "a drive": ("files.0.path", "C:/x"),
    "a backslash": ("files.0.path", "a\\..\\x"),
    "an empty part": ("files.0.path", "a//b"),
    "an empty path": ("files.0.path", ""),
    "a part ending in a dot": ("files.0.path", "a./b"),
    "a control character": ("files.0.path", "a\x00b"),
    "a letter that two spellings have": ("files.0.path", "caf\u00e9"),
    "a pickle to read": ("files.0.path", "pytorch_model.bin"),
    "a pickle in capitals": ("files.0.path", "MODEL.PT"),
    "a link that is none": ("licence.link", "javascript:alert(1)"),
    "no files": ("files", []),
}


@pytest.mark.parametrize(("where", "value"), BAD.values(), ids=BAD.keys())
def test_what_a_manifest_may_not_say_is_one_line(where: str, value: Any):
    data = msgspec.json.encode({"schema": 1, "entries": [changed(where, value)]})
    with pytest.raises(BadConfig) as caught:
        parse_manifest(data, "m.json")
    assert str(caught.value).startswith("m.json: ")
    assert "\n" not in str(caught.value)


def test_files_and_ids_that_collide_are_refused():
    with pytest.raises(BadConfig, match=r"names 'F.json' twice"):
        manifest(entry(files={"f.json": b"", "F.json": b""}))
    with pytest.raises(BadConfig, match="id 'model' is there twice"):
        manifest(entry(files={"f": b""}), entry(files={"f": b""}))


def test_only_safetensors_are_converted_to():
    line = changed("files.0.path", "w.json")
    line["files"][0]["converted_from"] = {"path": "w.pth", "size": None, "sha256": None}
    with pytest.raises(BadConfig, match=r"must end in \.safetensors"):
        manifest(line)


@pytest.mark.parametrize("key", ["size", "sha256"])
def test_what_is_unknown_has_to_be_an_explicit_null(key: str):
    line = entry(files={"f": b""})
    del line["files"][0][key]
    with pytest.raises(BadConfig, match=f"missing required field `{key}`"):
        manifest(line)


def test_another_schema_is_refused():
    with pytest.raises(BadConfig, match="schema"):
        parse_manifest(b'{"schema": 2, "entries": []}')


def test_a_file_that_cannot_be_read_is_one_line(tmp_path):
    with pytest.raises(BadConfig, match="cannot read weights manifest"):
        Manifest.read(tmp_path / "absent.json")


@pytest.mark.parametrize(
    "data", [b"", b"[" * 100_000, b'{"schema": 1, "entries": ["\xff"]}', b"\xff"]
)
def test_bytes_that_are_no_manifest_are_refused(data: bytes):
    with pytest.raises(BadConfig):
        parse_manifest(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


def parses_or_fails_with_ours(data: bytes) -> None:
    try:
        read = parse_manifest(data)
    except BadConfig:
        return
    assert isinstance(read, Manifest)


@given(st.binary(max_size=200))
def test_any_bytes_parse_or_fail_with_our_error(data: bytes):
    parses_or_fails_with_ours(data)


@given(st.data())
def test_any_change_of_a_good_manifest_parses_or_fails_with_our_error(data: st.DataObject):
    value: Any = json.loads(shipped("weights_manifest.json").read_bytes())
    value["entries"] = copy.deepcopy(
        data.draw(st.lists(st.sampled_from(value["entries"]), min_size=1, max_size=3))
    )
    at: Any = value
    while isinstance(at, dict | list) and at:
        key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
        if not isinstance(at[key], dict | list) or data.draw(st.booleans()):
            break
        at = at[key]
    change = data.draw(st.sampled_from(["value", "remove", "add"]))
    if isinstance(at, dict | list) and at:
        if change == "remove":
            del at[key]
        elif change == "value" or isinstance(at, list):
            at[key] = data.draw(JSON)
        else:
            at[data.draw(st.text(max_size=8))] = data.draw(JSON)
    parses_or_fails_with_ours(json.dumps(value).encode())


@given(st.text(max_size=30))
def test_no_path_leads_out_of_its_folder(path: str):
    line = changed("files.0.path", path)
    try:
        (one,) = manifest(line).entries
    except BadConfig:
        return
    parts = one.files[0].path.split("/")
    assert ".." not in parts
    assert all(parts)
    assert not is_pickle(one.files[0].path)
