"""From preset, file and options to one Config; and where work is kept."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from dnd_local.core.errors import BadConfig, UnknownName, UserError
from dnd_local.pipeline.settings import (
    default_data,
    default_workspace,
    make_config,
    presets,
    writable,
)
from dnd_local.store.manifest import Manifest


def test_each_preset_is_a_config() -> None:
    assert {"paper", "released", "fast", "draft", "pocket"} == set(presets())
    for name in presets():
        assert make_config("resnet50", name).network.name == "resnet50"


def test_the_paper_preset_is_the_defaults_and_others_differ() -> None:
    paper = make_config("resnet50")
    assert paper == make_config("resnet50", "paper")
    assert (paper.pictures.steps, paper.pictures.count, paper.scores.beta) == (50, 10, 5)
    quick = [make_config("resnet50", name) for name in ("fast", "draft")]
    assert [(one.pictures.steps, one.scores.race) for one in quick] == [(20, 4), (8, 2)]
    assert paper.scores.race == 0


def test_the_released_preset_is_the_paper_with_the_released_generator() -> None:
    paper, released = make_config("resnet50"), make_config("resnet50", "released")
    assert released.pictures.model == "sd14"
    as_paper = msgspec.structs.replace(released.pictures, model=paper.pictures.model)
    assert msgspec.structs.replace(released, pictures=as_paper) == paper
    profile = {entry.id for entry in Manifest.read().select(["released"])}
    assert profile - {"sd14"} == {e.id for e in Manifest.read().select(["paper"])} - {"sd15"}
    assert "sd14" in profile


def test_pocket_targets_take_the_pocket_preset_by_themselves() -> None:
    for name in ("pocket", "pocket-odd"):
        assert make_config(name).captions.model == "pocket-captioner"
        assert make_config(name).network.name == name
    assert make_config("pocket", "paper").captions.model == "blip-base"


def test_later_sources_win_key_by_key(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text("[pictures]\nsteps = 7\ncount = 3\n[network]\nname = 'other'\n")
    config = make_config("pocket", settings=path, options={"pictures": {"count": 4}})
    assert (config.pictures.steps, config.pictures.count) == (7, 4)
    assert config.pictures.size == make_config("pocket").pictures.size
    assert config.network.name == "pocket"


def test_an_unknown_preset_offers_the_known_ones() -> None:
    with pytest.raises(
        UnknownName, match=r"unknown preset 'papers'.*paper.*There are draft, fast, pap"
    ):
        make_config("resnet50", "papers")


def test_a_mistake_is_blamed_on_its_source(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text("[pictures]\nstep = 7\n")
    with pytest.raises(BadConfig, match=rf"{path}, \[pictures\]: unknown key 'step'.*'steps'"):
        make_config("pocket", settings=path, options={"seed": -1})
    path.write_text("[pictures]\nsteps = 7\n")
    with pytest.raises(BadConfig, match=r"^options: .*seed"):
        make_config("pocket", settings=path, options={"seed": -1})
    with pytest.raises(BadConfig, match="cannot read settings file"):
        make_config("pocket", settings=tmp_path / "none.toml")


def test_a_workspace_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    assert writable(tmp_path / "new" / "one") == tmp_path / "new" / "one"
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file is a file; name a folder with --workspace"):
        writable(tmp_path / "file" / "below")


def test_a_workspace_without_the_right_to_write_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A superuser may write anywhere, so that the system's answer is given here.
    monkeypatch.setattr(os, "access", lambda path, _: path != tmp_path)
    with pytest.raises(UserError, match=f"no right to write into {tmp_path}; name another folder"):
        writable(tmp_path / "new")


def test_where_work_is_kept() -> None:
    assert default_workspace({}) == Path("dnd-workspace")
    assert default_workspace({"DND_LOCAL_WORKSPACE": "~/w"}) == Path.home() / "w"


@pytest.mark.parametrize(
    ("environment", "platform", "folder"),
    [
        ({"DND_LOCAL_DATA": "/d"}, "linux", "/d"),
        ({}, "linux", "/me/.local/share/dnd-local/probe-sets"),
        ({"XDG_DATA_HOME": "/x"}, "linux", "/x/dnd-local/probe-sets"),
        ({"LOCALAPPDATA": "/l"}, "win32", "/l/dnd-local/probe-sets"),
        ({}, "win32", "/me/AppData/Local/dnd-local/probe-sets"),
    ],
)
def test_where_prepared_probe_sets_lie(
    environment: dict[str, str], platform: str, folder: str
) -> None:
    assert default_data(environment, platform, Path("/me")) == Path(folder)
