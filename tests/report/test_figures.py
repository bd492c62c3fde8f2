"""Figures for papers."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dnd_local.core.errors import UserError
from dnd_local.pipeline.reading import open_run
from dnd_local.report.figures import write_figures
from tests.bench import Bench
from tests.report.conftest import Desk


def test_one_picture_a_neuron_that_has_exemplars(desk: Desk, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    neurons = [n for n in desk.plain.record.wanted() if n.index in (2, 3)]
    (path,) = write_figures(desk.plain, tmp_path / "figures", neurons)
    assert path.name == "colours-00002.png"
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    bluish = (pixels[..., 2] > pixels[..., 0] + 60).mean()
    assert bluish > 0.05
    assert (pixels[0] == 255).all()


def test_hostile_labels_and_lost_pictures_are_drawn(own: Bench, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from tests.report.synthetic import write_run

    run = write_run(own, 2, label=lambda neuron, draw: r"$\frac{1}{$ {x}" + str(draw))
    for path in (own.workspace / "blobs").rglob("*.png"):
        path.unlink()
    assert len(write_figures(run, tmp_path)) == 1


def test_without_matplotlib_the_extra_is_named(
    own: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own.run("0", name="one")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UserError, match=r"pip install 'dnd-local\[eval\]'"):
        write_figures(open_run("one", own.workspace), tmp_path)
