"""`dnd-local probe prepare` and `info`, from the user's side."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from dnd_local.cli import probe
from dnd_local.core.errors import UnknownName, UserError
from dnd_local.pipeline import opening
from dnd_local.store.probe_sets import KNOWN_SETS, FunctionProbe


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DND_LOCAL_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("DND_LOCAL_WORKSPACE", str(tmp_path / "work"))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(probe.app, [str(one) for one in arguments])


def picture(path: Path, size: tuple[int, int] = (4, 3)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path)
    return path


def archive_of(tmp_path: Path, count: int) -> Path:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for i in range(count):
            archive.write(picture(tmp_path / "raw" / f"{i}.png"), f"{i}.png")
    return tmp_path / "a.zip"


def test_prepare_then_info(tmp_path: Path) -> None:
    prepared = run("prepare", "broden", archive_of(tmp_path, 3))
    assert prepared.exit_code == 0
    assert f"broden: 3 images in {tmp_path / 'data' / 'broden'}, digest " in prepared.stdout
    assert "note: the full set has 63,305 images" in prepared.stderr
    digest = re.search(r"digest (\w{64})", prepared.stdout)
    found = json.loads(run("info", "broden", "--json").stdout)
    assert digest is not None
    assert (found["images"], found["digest"]) == (3, digest.group(1))


def test_a_full_set_is_not_remarked_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KNOWN_SETS, "broden", type(KNOWN_SETS["broden"])(2, "b.zip", 1.0))
    assert "note" not in run("prepare", "broden", archive_of(tmp_path, 2)).output


def test_places_can_be_named(tmp_path: Path) -> None:
    run("prepare", "broden", archive_of(tmp_path, 1),
        "--data", tmp_path / "d", "--workspace", tmp_path / "w")  # fmt: skip
    assert (tmp_path / "d" / "broden" / "0.png").is_file()
    assert list((tmp_path / "w" / "cache").iterdir())


def test_info_lists_what_was_skipped_and_why(tmp_path: Path) -> None:
    picture(tmp_path / "set" / "small.png", (4, 3))
    picture(tmp_path / "set" / "large.png", (40, 30))
    (tmp_path / "set" / "[bold]broken.jpg").write_text("no image")
    (tmp_path / "set" / "notes.txt").write_text("x")
    found = json.loads(run("info", tmp_path / "set", "--json").stdout)
    assert found.pop("bytes") > 0
    assert len(found.pop("digest")) == 64
    assert found == {
        "schema": 1,
        "images": 3,
        "usable": 2,
        "skipped": [
            {
                "index": 0,
                "name": "[bold]broken.jpg",
                "reason": "not an image that Pillow can read",
            }
        ],
        "smallest": [4, 3],
        "largest": [40, 30],
        "kinds": ["folder"],
        "bands": 3,
        "other_files": 1,
    }
    shown = run("info", tmp_path / "set").stdout
    assert "[bold]broken.jpg: not an image that Pillow can read" in shown
    assert re.search(r"Usable\s+2", shown)
    assert re.search(r"Largest\s+40 x 30", shown)


def test_info_names_so_many_on_the_screen(tmp_path: Path) -> None:
    picture(tmp_path / "set" / "good.png")
    for i in range(probe.SHOWN + 5):
        (tmp_path / "set" / f"{i:03d}.png").write_text("no image")
    shown = run("info", tmp_path / "set").stdout
    assert shown.count("not an image") == probe.SHOWN
    assert "and 5 more; --json names all" in shown
    assert len(json.loads(run("info", tmp_path / "set", "--json").stdout)["skipped"]) == 25


def test_info_of_joined_sets_and_the_pocket_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np

    made = FunctionProbe("p" * 64, 2, str, lambda i: np.zeros((8, 8, 3), dtype=np.uint8))
    monkeypatch.setattr(opening, "pocket_probe", lambda: made)
    assert json.loads(run("info", "--json").stdout)["digest"] == "p" * 64
    assert "On disk" not in run("info").stdout
    picture(tmp_path / "set" / "a.png")
    assert re.search(r"On disk\s+\d+ B", run("info", tmp_path / "set").stdout)
    both = json.loads(run("info", f"pocket + {tmp_path / 'set'}", "--json").stdout)
    assert (both["images"], both["smallest"], both["largest"]) == (3, [4, 3], [8, 8])
    assert both["bytes"] == (tmp_path / "set" / "a.png").stat().st_size


def test_nothing_usable_has_no_sizes(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.png").write_text("no image")
    shown = run("info", tmp_path / "set").stdout
    assert "Largest" not in shown
    assert re.search(r"Skipped\s+1", shown)


def test_errors_are_the_users(tmp_path: Path) -> None:
    assert isinstance(run("info", "imagnet-val").exception, UnknownName)
    assert isinstance(run("prepare", "pocket", tmp_path / "a.zip").exception, UnknownName)
    missing = run("info", "imagenet-val").exception
    assert isinstance(missing, UserError)
    assert "dnd-local probe prepare imagenet-val" in str(missing)


def test_the_help_names_the_known_sets() -> None:
    text = run("prepare", "--help").stdout
    assert all(name in text for name in KNOWN_SETS)
