"""`verify` and `gc` as a user meets them."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from dnd_local.cli import upkeep
from dnd_local.store.in_use import at_work
from tests.bench import Bench
from tests.cli.conftest import Command


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace whose second run was deleted."""
    bench = Bench(tmp_path / "workspace", monkeypatch)
    bench.run("0", name="mine")
    bench.run("0", name="other", seed=3)
    shutil.rmtree(bench.workspace / "runs" / "other")
    return bench.workspace


def folders(workspace: Path) -> int:
    return len(list((workspace / "artefacts").iterdir()))


def test_verify_names_damage_and_repairs_it(command: Command, workspace: Path) -> None:
    assert "nothing damaged" in command("verify").out
    part = next(workspace.glob("artefacts/scores-*/*-00000.json"))
    part.write_bytes(b"{")
    told = command("verify")
    assert told.code == 2
    assert "1 fault left in" in told.err
    assert f"{part} is damaged; `dnd-local verify --repair`, then run the same" in told.out
    mended = command("verify", "--repair")
    assert mended.code == 0
    assert f"{part} is damaged; removed; run the same command again" in mended.out
    assert not part.exists()


def test_a_repair_waits_for_nobody_and_spoils_nobodys_work(
    command: Command, workspace: Path
) -> None:
    part = next(workspace.glob("artefacts/scores-*/*-00000.json"))
    part.write_bytes(b"{")
    with at_work(workspace):
        told = command("verify", "--repair")
    assert told.code == 2
    assert "a command is at work" in told.err
    assert part.exists()


def test_gc_says_what_and_removes_it_after_a_yes(
    command: Command, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = folders(workspace)
    assert "Nothing was removed; --yes removes it." in command("gc").err
    assert folders(workspace) == before
    terminal = SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr(upkeep, "sys", terminal)
    for answer, left in ((False, before), (True, before - 4)):
        monkeypatch.setattr(upkeep.typer, "confirm", lambda *_, answer=answer, **__: answer)
        command("gc")
        assert folders(workspace) == left
    assert "Every part and picture belongs to a run." in command("gc").out


def test_gc_names_what_it_does_not_know(command: Command, workspace: Path) -> None:
    (workspace / "artefacts" / "later-0123456789abcdef").mkdir()
    assert "no stage that this version knows; it stays" in command("gc").out


def test_where_no_workspace_is(command: Command, tmp_path: Path) -> None:
    told = command("verify", "--workspace", str(tmp_path / "none"))
    assert told.code == 2
    assert "no workspace at" in told.err
