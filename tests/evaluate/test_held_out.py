"""A stored run judged from its held-out images and fresh pictures, over the world of colours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dnd_local.core.config import ProbeConfig
from dnd_local.core.descriptions import DescriptionRow, DescriptionTable
from dnd_local.core.errors import EngineError, UserError
from dnd_local.core.protocols import ProbeSet
from dnd_local.core.records import Pixels
from dnd_local.evaluate import null_tests
from dnd_local.evaluate.describers import table_of_run
from dnd_local.evaluate.held_out import (
    JUDGE_PICTURES,
    fresh_pictures,
    held_out,
    judge_run,
    other_probe,
)
from dnd_local.evaluate.verdicts import counts
from dnd_local.pipeline import opening
from dnd_local.pipeline.reading import StoredRun, open_run
from tests.bench import Bench
from tests.evaluate.colours import ManyColours
from tests.fakes import LAYER, Broken, FakePainter

pytest.importorskip("sklearn")


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(null_tests, "RESAMPLES", 200)
    own = Bench(tmp_path / "work", monkeypatch)
    own.probe = ManyColours(60)
    return own


def stored(bench: Bench, ids: str = "0-3", holdout: float = 0.5, **options: Any) -> StoredRun:
    result = bench.run(ids, probe={"chunk": 7, "holdout": holdout}, **options)
    return open_run(result.record.name, bench.workspace)


def labelled(labels: dict[int, str], layer: str = LAYER) -> DescriptionTable:
    rows = [
        DescriptionRow("x", "", layer, i, (text,) if text else (), (), "described")
        for i, text in labels.items()
    ]
    return DescriptionTable("x", tuple(rows))


def test_held_out_images_are_those_that_never_yield_exemplars(bench: Bench) -> None:
    run = stored(bench)
    images = held_out(run)
    assert images.responses[LAYER].shape == (30, 6)
    assert images.embeddings.shape == (30, 3)
    used = {e.image for i in range(3) for e in run.evidence(str(i)).exemplars.exemplars}  # type: ignore[union-attr]
    assert not used & set(np.flatnonzero(~run.lab.eligible).tolist())


def test_a_dead_neuron_that_was_described_all_the_same_is_no_better_than_the_null(
    bench: Bench,
) -> None:
    run = stored(bench, compat="official")
    table = table_of_run(run)
    assert {row.status for row in table.rows} == {"described"}
    dead = judge_run(run, table)[3]
    assert (dead.neuron, dead.ruling) == (3, "no better than the null")


def test_an_unreadable_image_judges_nobody(bench: Bench) -> None:
    bench.probe = ManyColours(60, broken=range(0, 60, 4))
    images = held_out(stored(bench))
    assert len(images.embeddings) == len(images.responses[LAYER]) < 30
    assert np.isfinite(images.responses[LAYER]).all()


def test_right_labels_have_more_support_than_shuffled_ones(bench: Bench) -> None:
    run = stored(bench)
    right = judge_run(run, table_of_run(run))
    wrong = judge_run(run, labelled({0: "green", 1: "blue", 2: "red"}))
    # The fake painter paints a word that it does not know red: the constant word costs the red
    # neuron its AUC, as it should.
    assert [own.ruling for own in right] == ["weak", "supported", "supported"]
    assert {own.ruling for own in wrong} == {"no better than the null"}
    assert counts(right) == {"supported": 2, "weak": 1, "no better than the null": 0}
    assert min(own.support for own in right) > max(own.support for own in wrong)


def test_one_source_needs_only_its_engines(bench: Bench) -> None:
    run = stored(bench)
    bench.calls.opened.clear()
    judge_run(run, labelled({0: "red", 1: "green"}), kinds=["images"])
    assert set(bench.calls.opened) == {"embedder"}
    found = judge_run(run, labelled({0: "red", 1: "green"}), kinds=["pictures"])
    assert [own.measure for own in found[0].measures] == ["auc", "mad"]


def test_fresh_pictures_are_painted_once_and_from_other_seeds(bench: Bench) -> None:
    run = stored(bench)
    bench.calls.asked.clear()
    first = fresh_pictures(run, ["red", "green", "red"])
    assert bench.calls.asked["painter"] == 2 * run.record.config.pictures.count
    again = fresh_pictures(run, ["red"])
    assert bench.calls.asked["painter"] == 2 * run.record.config.pictures.count
    np.testing.assert_array_equal(first[LAYER]["red"], again[LAYER]["red"])
    seeds = {
        p.seed for i in range(3) for own in run.evidence(str(i)).pictures for p in own.pictures
    }
    judge_seeds = {p.seed for own in _judge_parts(run) for p in own.pictures}
    assert judge_seeds
    assert not seeds & judge_seeds


def _judge_parts(run: StoredRun) -> list[Any]:
    from dnd_local.pipeline.race_rounds import picture_blocks
    from dnd_local.stages.pictures import join_blocks

    return list(
        join_blocks(JUDGE_PICTURES.read(run.lab, picture_blocks(run.lab.config, ["red", "green"])))
    )


def test_a_painter_that_breaks_is_no_verdict(bench: Bench) -> None:
    run = stored(bench)
    bench.replaced["painter"] = Broken()
    with pytest.raises(EngineError):
        fresh_pictures(run, ["red"])


class FussyPainter(FakePainter):
    """Paints anything but green."""

    def paint(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Pixels]:
        if any("green" in prompt for prompt in prompts):
            raise EngineError("no green left")
        return super().paint(prompts, seeds)


def test_a_label_that_cannot_be_painted_is_named_and_the_others_stay(bench: Bench) -> None:
    run = stored(bench)
    bench.replaced["painter"] = FussyPainter(bench.calls)
    with pytest.raises(EngineError, match="1 texts were not painted: no green left"):
        fresh_pictures(run, ["red", "green"])
    assert set(fresh_pictures(run, ["red"])[LAYER]) == {"red"}


def test_another_probe_set_judges_a_run_that_holds_nothing_out(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = stored(bench, holdout=0.0)
    with pytest.raises(UserError, match=r"holds no image out .* give --probe"):
        judge_run(run, table_of_run(run))

    class Other(ManyColours):
        digest = "1" * 64

    def open_set(config: ProbeConfig, *_: object) -> ProbeSet:
        return Other(90, broken=[3]) if config.sets == ("other", "set") else bench.probe

    monkeypatch.setattr(opening, "open_probe_set", open_set)
    assert len(other_probe(run, "other + set").embeddings) == 89
    found = judge_run(run, table_of_run(run), probe="other+set", kinds=["images"])
    assert [own.ruling for own in found] == ["supported"] * 3
    with pytest.raises(UserError, match="is the set that the exemplars come from"):
        other_probe(run, "pocket")
    monkeypatch.setattr(Other, "__len__", lambda self: 0)
    with pytest.raises(UserError, match="no image of --probe"):
        other_probe(run, "other+set")


def test_labels_without_a_layer_fit_a_run_of_one(bench: Bench) -> None:
    run = stored(bench)
    found = judge_run(run, labelled({0: "red", 1: "green", 2: "", 9: "blue"}, layer=""))
    assert [(own.layer, own.neuron) for own in found] == [(LAYER, 0), (LAYER, 1)]
    with pytest.raises(UserError, match="x has no label for a neuron of run"):
        judge_run(run, labelled({9: "red"}))
