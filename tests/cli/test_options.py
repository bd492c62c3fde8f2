"""Every setting is an option, and what is given arrives in the Config."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dnd_local.cli.options import settings_options
from dnd_local.core.config import Config
from dnd_local.pipeline.dissection import Dissection
from tests.cli.conftest import Command
from tests.pipeline.test_lab import SETTINGS, all_settings

NAMED = {
    "network.name": "",
    "seed": "--seed",
    "scores.rule": "--rule",
    "scores.race": "--race",
    "llm.engine": "--llm",
    "network.pool": "--pool",
    "network.tokens": "--tokens",
    "network.latents": "--latents",
    "network.layout": "--layout",
    "concepts.rounds": "--rounds",
    "concepts.contrast": "--contrast",
    "concepts.meanings": "--meanings",
}
"""Settings with a short option; the network's name is the first argument."""


OF_A_SERVER = {"llm.root", "llm.revision"}
"""The first is what a server says of itself; the second is refused where no server answers."""


def option(path: str) -> str:
    return NAMED.get(path) or "--" + path.replace(".", "-").replace("_", "-")


def value_at(config: Config, path: str) -> Any:
    found: Any = config
    for name in path.split("."):
        found = getattr(found, name)
    return found


@pytest.fixture
def asked(command: Command, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the Config that a command would run with."""

    def ask(*words: object) -> Config:
        seen: list[Config] = []

        def forecast(self: Dissection) -> None:
            seen.append(self.make_config())

        monkeypatch.setattr(Dissection, "forecast", forecast)
        monkeypatch.setattr("dnd_local.cli.tables.show_forecast", lambda *_: None)
        said = command("dissect", *words, "--dry-run")
        assert said.code == 0, said.err
        return seen[0]

    return ask


def test_a_revision_arrives_where_a_server_answers(asked: Any) -> None:
    served = ("--llm", "vllm", "--llm-url", "unix:/s", "--llm-model", "m")
    assert asked("pocket", "layer4", *served, "--llm-revision", "two").llm.revision == "two"


@pytest.mark.parametrize("path", [path for path in SETTINGS if path not in OF_A_SERVER])
def test_a_setting_arrives_and_changes_no_other(asked: Any, path: str) -> None:
    value, _ = SETTINGS[path]
    model = "pocket-odd" if path == "network.name" else "pocket"
    words = [] if path == "network.name" else [option(path), value]
    usual, found = asked("pocket", "layer4"), asked(model, "layer4", *words)
    assert value_at(found, path) == (model if path == "network.name" else value)
    differing = {
        other for other in all_settings() if value_at(usual, other) != value_at(found, other)
    }
    assert differing == {path}


def test_every_setting_has_one_option() -> None:
    made = [parameter.name.removeprefix("set_") for parameter in settings_options()]
    paths = [name.replace("__", ".") for name in made]
    assert len(set(paths)) == len(paths)
    assert set(paths) | {"network.name", "probe.sets", "seed", "llm.root"} == all_settings()


def test_an_option_says_what_it_sets_and_its_choices(command: Command) -> None:
    text = command("dissect", "--help").out
    assert "--pictures-steps" in text
    assert "setting pictures.steps, paper: 50" in text
    for rule in ("mean", "topk-sq-mean", "topk-compare", "image-products"):
        assert rule in text


def test_options_win_over_the_file(asked: Any, tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text("[pictures]\nsteps = 7\ncount = 3\n")
    found = asked("pocket", "layer4", "--config", path, "--pictures-count", 4).pictures
    assert (found.steps, found.count) == (7, 4)


def test_probe_sets_arrive_in_order(asked: Any) -> None:
    assert asked("pocket", "layer4", "--probe", "broden+photos/").probe.sets == (
        "broden", "photos/",
    )  # fmt: skip
