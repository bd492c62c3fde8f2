"""What the shell offers for a model's name."""

import pytest
from typer.main import get_command

from dnd_local.cli import completion, main
from dnd_local.store.add import Wish, add
from dnd_local.store.weights import Weights
from tests.store import own
from tests.store.hub import Watcher


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    root = tmp_path / "weights"
    monkeypatch.setenv("DND_LOCAL_WEIGHTS", str(root))
    for name, role in (("my-blip", "captioner"), ("my-net", "target")):
        wish = Wish(name=name, folder=own.single(tmp_path / name), role=role)
        add(Weights.open(root), wish, Watcher(), lambda _: False)
    return root


def test_names_by_what_they_are_for():
    assert completion.weights("my-") == ["my-blip", "my-net"]
    assert completion.weights("pap") == ["paper"]
    assert completion.targets("my-") == ["my-net"]
    assert completion.targets("pocket") == ["pocket", "pocket-odd"]
    assert completion.models("captioner")("") == [
        "pocket-captioner", "blip-base", "blip-large", "blip2-opt-2.7b", "my-blip"
    ]  # fmt: skip
    for role in completion.SETTINGS.values():
        assert any("pocket" in name for name in completion.models(role)(""))


def test_a_weights_folder_in_disorder_offers_nothing(folder):
    (folder / "own_models.json").write_text("{")
    assert completion.weights("my-") == []


def test_commands_and_options_complete():
    dissect = get_command(main.app).commands["dissect"]
    by_name = {one.name: one for one in dissect.params}
    for name, typed, offered in (
        ("model", "my-", "my-net"), ("set_captions__model", "my-", "my-blip"),
    ):  # fmt: skip
        found = by_name[name].shell_complete(None, typed)
        assert [getattr(one, "value", one) for one in found] == [offered]
