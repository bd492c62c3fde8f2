"""CLIP-Dissect over the world of colours, on a run's own responses."""

from __future__ import annotations

from pathlib import Path

import pytest

from dnd_local.core.errors import UserError
from dnd_local.evaluate.baseline import clip_dissect, read_concepts
from dnd_local.pipeline.selection import read_selection
from tests.bench import Bench
from tests.evaluate.colours import ManyColours
from tests.fakes import LAYER

WORDS = ("blue", "green", "red")


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    own = Bench(tmp_path / "work", monkeypatch)
    own.probe = ManyColours(150)
    return own


def test_live_neurons_get_their_colour_and_the_rest_their_class(bench: Bench) -> None:
    table = clip_dissect(
        bench.config(), bench.execution(), read_selection(LAYER, "all"), WORDS, "cosine"
    )
    assert [row.labels[:1] for row in table.rows[:3]] == [("red",), ("green",), ("blue",)]
    assert [row.status for row in table.rows[3:]] == ["dead", "constant", "duplicate"]
    assert all(row.labels == () for row in table.rows[3:])


def test_it_uses_a_runs_responses_and_no_held_out_image(bench: Bench) -> None:
    bench.run("0", probe={"chunk": 7, "holdout": 0.2})
    bench.calls.asked.clear()
    config = bench.config(probe={"chunk": 7, "holdout": 0.2})
    clip_dissect(config, bench.execution(), read_selection(LAYER, "0-2"), WORDS)
    assert bench.calls.asked["target"] == 0
    assert bench.calls.asked["embedder"] == 120


def test_unreadable_images_are_left_out(bench: Bench) -> None:
    bench.probe = ManyColours(150, broken=[0, 7, 149])
    table = clip_dissect(
        bench.config(), bench.execution(), read_selection(LAYER, "2"), WORDS, "cosine"
    )
    assert table.rows[0].labels[0] == "blue"
    assert bench.calls.asked["embedder"] == 147


def test_without_an_image_there_is_nothing_to_go_by(bench: Bench) -> None:
    config = bench.config(probe={"chunk": 7, "holdout": 0.9})
    bench.probe = ManyColours(2)
    with pytest.raises(UserError, match="no image of the probe set could be read"):
        clip_dissect(config, bench.execution(), read_selection(LAYER, "0"), WORDS)


def test_a_concept_list_has_each_concept_once(tmp_path: Path) -> None:
    path = tmp_path / "concepts.txt"
    path.write_text("dog\n\n cat \ndog\n")
    assert read_concepts(path) == ("dog", "cat")
    path.write_text("\n")
    with pytest.raises(UserError, match="names no concept"):
        read_concepts(path)
