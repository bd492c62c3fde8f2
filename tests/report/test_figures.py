"""Figures for papers."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dnd_local.core.descriptions import DescriptionRow, DescriptionTable
from dnd_local.core.errors import UserError
from dnd_local.evaluate.comparisons import Compared
from dnd_local.pipeline.reading import open_run
from dnd_local.report import figures
from dnd_local.report.figures import write_figures
from tests.bench import Bench
from tests.report.conftest import Desk


def test_one_picture_a_neuron_that_has_exemplars(desk: Desk, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    neurons = [n for n in desk.plain.record.wanted() if n.index in (2, 3)]
    document, path = write_figures(desk.plain, tmp_path / "figures", neurons)
    assert document.name == "colours-00002.pdf"
    assert path.name == "colours-00002.png"
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    bluish = (pixels[..., 2] > pixels[..., 0] + 60).mean()
    assert bluish > 0.05
    assert (pixels[0] == 255).all()


def test_the_list_of_fonts_lies_in_the_workspace(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setenv("MPLCONFIGDIR", "")
    monkeypatch.delenv("MPLCONFIGDIR")
    figures.matplotlib_parts(tmp_path)
    assert os.environ["MPLCONFIGDIR"] == str(tmp_path / "cache" / "matplotlib")


def test_letters_in_the_pdf_are_a_font_and_the_file_the_same_again(
    desk: Desk, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    neurons = [n for n in desk.plain.record.wanted() if n.index == 2]
    first, _ = write_figures(desk.plain, tmp_path / "a", neurons)
    data = first.read_bytes()
    assert b"/FontFile2" in data
    assert b"/Type3" not in data
    again, _ = write_figures(desk.plain, tmp_path / "b", neurons)
    assert again.read_bytes() == data


def test_other_describers_have_a_line_each(desk: Desk, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    (neuron,) = [n for n in desk.plain.record.wanted() if n.index == 2]
    row = DescriptionRow("milan", "", "", 2, ("a sky",), (), "described")
    others = [Compared(DescriptionTable("milan", (row,))), Compared(DescriptionTable("x", ()))]
    evidence = desk.plain.evidence_of(neuron)
    assert figures._lines(desk.plain, evidence, others) == [
        ("plain", evidence.description.labels[0].text), ("milan", "a sky"), ("x", "–"),
    ]  # fmt: skip
    alone = write_figures(desk.plain, tmp_path / "a", [neuron])[1]
    beside = write_figures(desk.plain, tmp_path / "b", [neuron], others)[1]
    with Image.open(alone) as one, Image.open(beside) as other:
        assert other.height > one.height


def test_hostile_labels_and_lost_pictures_are_drawn(own: Bench, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from tests.report.synthetic import write_run

    run = write_run(own, 2, label=lambda neuron, draw: r"$\frac{1}{$ {x}" + str(draw))
    for path in (own.workspace / "blobs").rglob("*.png"):
        path.unlink()
    assert len(write_figures(run, tmp_path)) == 2


def test_without_matplotlib_it_is_said_how_to_get_it(
    own: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own.run("0", name="one")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(
        UserError, match="'matplotlib' is not installed; run: pip install dnd-local"
    ):
        write_figures(open_run("one", own.workspace), tmp_path)
