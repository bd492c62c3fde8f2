"""The plots of the hard bench: their files, the same bytes again, what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dnd_local.evaluate.hard_figures import Answer
from dnd_local.evaluate.verdicts import Ruling, Verdict
from dnd_local.report.bench_plots import write_bench_plots

NAMES = ("outcomes", "right-by-kind", "fakes-supported", "reliability", "risk-coverage")


def answer(kind: str, outcome: str, support: float, describer: str = "ours") -> Answer:
    ruling: Ruling = "supported" if support > 0.8 else "weak"
    return Answer(
        describer, 0, kind, "dog", outcome, 0.0, Verdict("l", 0, "dog", ruling, support, ())
    )


ANSWERS = [
    *[answer("single", "right", 0.96 + 0.005 * i) for i in range(4)],
    *[answer("negation", "wrong", 0.2 + 0.1 * i) for i in range(4)],
    *[answer("noise", "wrong", 0.1 * i) for i in range(4)],
    Answer("constant word", 0, "single", "", "none", 0.0),
]


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    pytest.importorskip("matplotlib")
    write_bench_plots(ANSWERS, tmp_path / "plots", tmp_path)
    return tmp_path / "plots"


def test_every_plot_is_there_as_png_and_svg_and_the_same_again(drawn: Path, tmp_path: Path) -> None:
    paths = write_bench_plots(ANSWERS, tmp_path / "again", tmp_path)
    assert [path.name for path in paths] == [n + end for n in NAMES for end in (".svg", ".png")]
    for path in paths:
        assert path.read_bytes() == (drawn / path.name).read_bytes(), path.name


def test_text_in_the_svg_is_text(drawn: Path) -> None:
    assert "share of fake neurons whose label is called supported" in (
        drawn / "fakes-supported.svg"
    ).read_text("utf-8")
    by_kind = (drawn / "right-by-kind.svg").read_text("utf-8")
    for words in ("negation", "constant word", "1.00"):
        assert f">{words}</text>" in by_kind


def test_a_bar_has_the_colours_of_its_outcomes(drawn: Path) -> None:
    with Image.open(drawn / "outcomes.png") as image:
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    counts = [int((pixels == colour).all(axis=1).sum()) for colour in (
        (0x1C, 0x6B, 0x45), (0xB3, 0x47, 0x0B), (0xC9, 0xC9, 0xC2))]  # fmt: skip
    # Ours are half right and half wrong; the constant word has no label for its neuron.
    assert counts[0] == pytest.approx(counts[1], rel=0.2)
    assert counts[2] == pytest.approx(2 * counts[0], rel=0.2)
