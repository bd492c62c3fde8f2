"""`dnd-local weights add` as typed, and what the other commands then say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from dnd_local.cli import weights_add
from dnd_local.cli.main import app
from dnd_local.core.errors import MissingWeights, Refused
from tests.store import own

runner = CliRunner()


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DND_LOCAL_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("COLUMNS", "200")


def run(*words: str) -> str:
    return runner.invoke(app, words, catch_exceptions=False).stdout


def test_what_was_registered_is_said_and_listed(tmp_path: Path) -> None:
    folder = own.single(tmp_path / "blip")
    (folder / "README.md").touch()
    words = ("weights", "add", "my-blip", str(folder), "--role", "captioner")
    said = run(*words)
    for line in ("registered: my-blip", "files: 2", "memory: about 1.0 GB", "left out: README.md",
                 "use: --captions-model my-blip"):  # fmt: skip
        assert line in said
    facts = json.loads(run(*words, "--json"))
    assert (facts["unchanged"], facts["files"], facts["left_out"]) == ("my-blip", 2, ["README.md"])
    assert "my-blip" in run("weights", "list")
    assert "my-blip" in run("weights", "verify", "my-blip", "--deep")
    (folder / "model.safetensors").rename(folder / "away")
    with pytest.raises(MissingWeights, match="say where they are: dnd-local weights add my-blip"):
        run("weights", "verify", "my-blip")
    assert run("weights", "remove", "my-blip").startswith("my-blip: ")
    assert "my-blip" not in run("weights", "list")


@pytest.mark.parametrize(("answer", "made"), [("y", True), ("n", False)])
def test_a_pickle_is_asked_about_at_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, made: bool
) -> None:
    folder = tmp_path / "blip"
    own.settings(folder / "config.json", {"model_type": "blip"})
    torch.save({"w": torch.ones(2)}, folder / "pytorch_model.bin")
    monkeypatch.setattr(weights_add, "_asked_at", lambda: True)
    words = ("weights", "add", "my-blip", str(folder), "--role", "captioner")
    result = runner.invoke(app, words, input=answer)
    assert "a pickle. Convert it to safetensors" in result.stderr
    assert (result.exception is None) == made
    assert isinstance(result.exception, Refused) != made
    assert (tmp_path / "weights/my-blip/model.safetensors").exists() == made
