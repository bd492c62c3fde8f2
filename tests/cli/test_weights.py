"""`dnd-local weights` as typed: the whole journey, against a hub on this machine."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dnd_local.cli import weights as cli
from dnd_local.cli.weights import app
from dnd_local.core.errors import BadConfig, DamagedFile, MissingWeights, Refused, UnknownName
from dnd_local.store import pull as pulling
from dnd_local.store import weights as store
from tests.store.hub import FakeHub, entry, manifest, serving

FILES = {"config.json": b"{}", "model.safetensors": bytes(10_000)}
runner = CliRunner()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    made = manifest(
        entry(files=FILES),
        entry("pinned", {"a.txt": b"a"}, known=False, profiles=["eval"], gated=None),
        entry("archive", {"a.tar": b""}, source={"kind": "user", "page": "https://e.org/a"}),
        entry("toy", {}, source={"kind": "shipped", "folder": "toy"}, profiles=["pocket"]),
    )
    monkeypatch.setattr(store.Manifest, "read", lambda _=None: made)
    monkeypatch.setenv("DND_LOCAL_WEIGHTS", str(tmp_path / "weights"))
    with serving(FakeHub({**FILES, "a.txt": b"a"})) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        yield hub


def run(*words: str) -> str:
    return runner.invoke(app, words, catch_exceptions=False).output


def facts(*words: str) -> dict:
    return json.loads(runner.invoke(app, [*words, "--json"], catch_exceptions=False).stdout)


def test_the_journey_over_the_gap(hub, tmp_path, monkeypatch):
    said = run("pull", "paper", "eval")
    assert "archive: its terms leave the download to you: https://e.org/a" in said
    assert "hashes pinned: 1" in said
    assert "a.txt: no hash was known; pinned" in said
    assert facts("pull", "model")["kept"] == ["model"]
    packed = facts("pack", "model", "eval", "-o", str(tmp_path / "b.tar"), "--no-wheels")
    assert packed["ids"] == ["model", "pinned"]
    monkeypatch.setenv("DND_LOCAL_WEIGHTS", str(tmp_path / "away"))
    assert run("unpack", str(tmp_path / "b.tar")) == "landed: model, pinned\n"
    assert "have" in run("verify", "model", "pinned", "--deep")
    listed = {one["id"]: one for one in facts("list")["weights"]}
    assert listed["model"]["state"] == "have"
    assert listed["model"]["bytes"] == 10_002
    assert listed["archive"]["state"] == "missing"
    assert listed["pinned"]["licence"] == {"spdx": "MIT", "link": "https://example.org/terms"}
    assert run("remove", "model") == "model: 10 kB freed\n"
    assert facts("list", "model")["weights"][0]["state"] == "missing"


def test_wheels_are_gathered_by_a_child_with_the_environment_as_it_was(hub, tmp_path, monkeypatch):
    seen: list[dict] = []
    monkeypatch.setattr("dnd_local.store.wheels.gather", lambda _, **given: seen.append(given))
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy")
    run("pull", "model")
    said = run("pack", "model", "-o", str(tmp_path / "b"), "--vllm-python", "/v")
    assert f"bundle: {tmp_path}/b" in said.replace("\n", "")
    (given,) = seen
    assert given["vllm_python"] == "/v"
    assert given["checkout"] == Path(__file__).parents[2]
    assert given["runner"].keywords["environment"]["HTTPS_PROXY"] == "http://proxy"


def test_verify_ends_with_the_name_of_what_is_damaged_or_missing(hub, tmp_path):
    run("pull", "model")
    (tmp_path / "weights/model/config.json").write_bytes(b"[]")
    with pytest.raises(DamagedFile, match=r"config.json is damaged; get it again: .* pull model"):
        run("verify", "model")
    (tmp_path / "weights/model/model.safetensors").unlink()
    with pytest.raises(DamagedFile, match=r"and 1 more files"):
        run("verify", "model")
    (tmp_path / "weights/model/config.json").write_bytes(b"{}")
    with pytest.raises(MissingWeights, match=r"model.safetensors is missing"):
        run("verify", "model")


def test_verify_without_names_takes_what_is_here_and_what_ships(hub):
    run("pull", "model")
    assert [one["id"] for one in facts("verify")["weights"]] == ["toy", "model"]


def test_what_ships_needs_no_pull(hub):
    assert run("pull", "pocket") == "nothing to do: it ships with dnd-local\n"
    assert hub.asked == []


@pytest.mark.parametrize("text", ["x", "=", "a=12", f"a={'g' * 64}", f"={'a' * 64}"])
def test_a_hash_to_trust_has_a_form(hub, text):
    with pytest.raises(BadConfig, match="--trust takes NAME=SHA256"):
        run("pull", "model", "--trust", text)


def test_a_hash_to_trust_is_passed_on(hub):
    assert cli._trusted([f"w.pth={'A' * 64}"]) == {"w.pth": "A" * 64}


def test_nothing_is_removed_if_one_name_is_wrong(hub, tmp_path):
    run("pull", "model")
    with pytest.raises(UnknownName):
        run("remove", "model", "nodel")
    assert (tmp_path / "weights/model").is_dir()


def test_a_half_known_pickle_asks_the_user(hub, tmp_path, monkeypatch):
    data = b"pickle bytes"
    digest = hashlib.sha256(data).hexdigest()
    hub.files["w.pth"] = data
    origin = {"path": "w.pth", "size": None, "sha256": None, "sha256_prefix": digest[:8]}
    file = {"path": "model.safetensors", "size": None, "sha256": None, "converted_from": origin}
    source = {"kind": "url", "base": f"{hub.address}/plain/"}
    line = entry("net", {}, source=source) | {"files": [file], "network": "torchvision:net@V1"}
    monkeypatch.setattr(store.Manifest, "read", lambda _=None: manifest(line))
    monkeypatch.setattr(pulling, "convert", lambda _, target: target.write_bytes(b"tensors"))
    with pytest.raises(Refused, match="add --yes"):
        run("pull", "net")
    monkeypatch.setattr(cli, "_asked_at", lambda: True)
    with pytest.raises(Refused, match="add --yes"):
        runner.invoke(app, ["pull", "net"], input="n\n", catch_exceptions=False)
    said = runner.invoke(app, ["pull", "net"], input="y\n", catch_exceptions=False).output
    assert f"net/w.pth (hash {digest[:8]}...): only the first digits" in said
    assert "pinned" in said
    run("remove", "net")
    assert "landed" in run("pull", "net", "--yes")


def test_networks_that_nobody_has_are_not_in_the_table(hub, tmp_path, monkeypatch):
    lines = [
        entry(name, FILES, profiles=[]) | {"network": f"torchvision:{name}@V1"}
        for name in ("here", "away")
    ]
    monkeypatch.setattr(store.Manifest, "read", lambda _=None: manifest(*lines))
    (tmp_path / "weights/here").mkdir(parents=True)
    assert [one["id"] for one in facts("list")["weights"]] == ["here"]
    assert [one["id"] for one in facts("list", "away")["weights"]] == ["away"]


def test_the_table_has_the_terms_and_sizes(hub):
    said = run("list")
    assert "Licence" in said
    assert "none stated" not in said
    assert "?" in said


@pytest.mark.parametrize("command", ["pull", "pack", "unpack", "verify", "list", "remove"])
def test_every_command_shows_an_example(command):
    assert f"dnd-local weights {command}" in run(command, "--help")


CLOSED = """
import sys
from dnd_local.cli.weights import app
from dnd_local.store.guard import is_guarded
assert not is_guarded()
try:
    app(sys.argv[1:], standalone_mode=False)
except Exception as error:
    assert type(error).__module__ == "dnd_local.core.errors", error
assert is_guarded() or sys.argv[1] == "pull"
assert not {"torch", "transformers", "diffusers"} & set(sys.modules)
"""


@pytest.mark.parametrize(
    "words",
    [
        ["list"],
        ["verify"],
        ["remove", "x"],
        ["unpack", "x"],
        ["pack", "x", "-o", "y"],
        ["pull", "x"],
    ],
)
def test_every_command_but_pull_closes_the_network_and_none_loads_a_model_library(words, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", CLOSED, *words, "--weights", str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
