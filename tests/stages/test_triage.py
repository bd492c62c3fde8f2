"""Triage, against the whole matrix looked at neuron by neuron."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dnd_local.core.config import TriageConfig
from dnd_local.core.ledger import OURS, RELEASED, Ledger
from dnd_local.core.records import LayerTriage, Responses
from dnd_local.stages import triage as stage
from tests import oracles

CONFIG = TriageConfig()


def triage(
    layer: str, chunks: list[Responses], config: TriageConfig, ledger: Ledger = OURS
) -> LayerTriage:
    return stage.triage(layer, lambda: chunks, config, ledger)


def in_chunks(values: np.ndarray, *cuts: int) -> list[Responses]:
    values = np.asarray(values, dtype=np.float16)
    starts = [0, *cuts]
    return [
        Responses("layer", start, piece)
        for start, piece in zip(starts, np.split(values, cuts), strict=True)
    ]


def verdicts(found: LayerTriage) -> list[str]:
    return [own.verdict for own in found.neurons]


def agree(found: LayerTriage, values: np.ndarray) -> None:
    rows = np.asarray(values, dtype=np.float16).astype(float).tolist()
    wanted = oracles.triage(rows, CONFIG.dead_below, CONFIG.constant_below, CONFIG.duplicate_above)
    for own, oracle in zip(found.neurons, wanted, strict=True):
        assert (own.verdict, own.twin) == (oracle.verdict, oracle.twin)
        figures = (own.minimum, own.mean, own.maximum, own.spread, own.active_share)
        expected = (oracle.low, oracle.mean, oracle.high, oracle.spread, oracle.active)
        assert figures == pytest.approx(expected, rel=1e-9, abs=1e-9)


def images(count: int = 40, neurons: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, neurons)).astype(np.float16)


@given(
    values=hnp.arrays(
        np.float16,
        st.tuples(st.integers(1, 8), st.integers(1, 6)),
        elements=st.sampled_from([0.0, 0.5, 1.0, 2.0, -1.0, 3000.0, float("nan")]),
    ),
    data=st.data(),
)
def test_any_matrix_in_any_chunks(values: np.ndarray, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(values)), max_size=3)))
    found = triage("layer", in_chunks(values, *cuts), CONFIG)
    usable = int((~np.isnan(values).all(axis=1)).sum())
    assert (found.n_images, found.n_skipped) == (usable, len(values) - usable)
    if usable:
        agree(found, values)
    else:
        assert found.neurons == ()


def test_each_class_and_what_it_rests_on() -> None:
    values = images()
    values[:, 1] = 0
    values[:, 2] = 3
    values[:, 3] = values[:, 0] * 2 + 1
    found = triage("layer", in_chunks(values, 7, 20), CONFIG)
    assert verdicts(found) == ["live", "dead", "constant", "duplicate"]
    assert [own.twin for own in found.neurons] == [None, None, None, 0]
    agree(found, values)


def test_an_opposite_is_no_duplicate_and_a_third_copy_points_to_the_first() -> None:
    values = images()
    values[:, 1] = -values[:, 0]
    values[:, 2] = values[:, 0]
    values[:, 3] = values[:, 0]
    found = triage("layer", in_chunks(values, 10), CONFIG)
    assert verdicts(found) == ["live", "live", "duplicate", "duplicate"]
    assert [own.twin for own in found.neurons] == [None, None, 0, 0]


def test_a_neuron_that_is_only_ever_negative_is_alive_but_never_active() -> None:
    values = -np.abs(images()) - 1
    found = triage("layer", in_chunks(values), CONFIG)
    assert set(verdicts(found)) == {"live"}
    assert {own.active_share for own in found.neurons} == {0.0}


def test_a_large_mean_does_not_swallow_a_small_spread() -> None:
    values = np.full((64, 3), 2048, dtype=np.float16)
    values[::2, 0] += 2
    values[1::2, 1] += 2
    values[::2, 2] += 4
    found = triage("layer", in_chunks(values, 1, 33), TriageConfig(constant_below=1e-6))
    assert verdicts(found) == ["live", "live", "duplicate"]
    assert [own.spread for own in found.neurons] == pytest.approx([1, 1, 2])


def test_broken_values_count_as_silence_and_lost_images_not_at_all() -> None:
    values = images()
    values[3:5] = np.nan
    values[10, 1] = np.nan
    values[:, 2] = np.nan
    found = triage("layer", in_chunks(values, 4), CONFIG)
    assert (found.n_images, found.n_skipped) == (38, 2)
    assert verdicts(found)[2] == "dead"
    agree(found, values)


def test_a_first_chunk_of_lost_images_does_no_harm() -> None:
    values = images()
    values[:10] = np.nan
    agree(triage("layer", in_chunks(values, 10), CONFIG), values)


@pytest.mark.parametrize(
    ("setting", "verdict"),
    [
        ({"dead_below": 10.0}, "dead"),
        ({"constant_below": 2.0}, "constant"),
        ({"duplicate_above": 0.1}, "duplicate"),
    ],
)
def test_each_threshold_is_obeyed(setting: dict[str, float], verdict: str) -> None:
    values = images(neurons=2)
    values[:, 1] = values[:, 0] + values[:, 1]
    assert verdicts(triage("layer", in_chunks(values), CONFIG)) == ["live", "live"]
    assert verdicts(triage("layer", in_chunks(values), TriageConfig(**setting)))[1] == verdict


def test_nothing_is_set_aside_on_the_released_side() -> None:
    values = images()
    values[:, 1] = 0
    values[:, 2] = 3
    values[:, 3] = values[:, 0]
    chunks = in_chunks(values, 7)
    ours, released = (triage("layer", chunks, CONFIG, side) for side in (OURS, RELEASED))
    assert verdicts(ours) == ["live", "dead", "constant", "duplicate"]
    assert verdicts(released) == ["live"] * 4
    assert [own.twin for own in released.neurons] == [None] * 4
    figures = [(own.minimum, own.maximum, own.mean, own.active_share) for own in ours.neurons]
    assert figures == [
        (own.minimum, own.maximum, own.mean, own.active_share) for own in released.neurons
    ]


def test_a_layer_with_a_chunk_in_float32_says_so() -> None:
    old, new = images(8), 1000 + images(8).astype(np.float32) / 4
    chunks = [Responses("layer", 0, old), Responses("layer", 8, new)]
    found = triage("layer", chunks, CONFIG)
    assert found.kept_as == "float32"
    assert found.neurons[0].maximum == new[:, 0].max()
    assert triage("layer", chunks[:1], CONFIG).kept_as == "float16"
    assert triage("layer", [], CONFIG).n_images == 0


@pytest.mark.parametrize("block", [1, 3, 7])
def test_a_wide_layer_block_by_block(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    values = images(30, 8, seed=3)
    values[:, 2], values[:, 5], values[:, 6] = values[:, 0], 2 * values[:, 0], values[:, 4]
    values[:, 3] = 0
    values[4], values[5, 1] = np.nan, np.nan
    whole = triage("layer", in_chunks(values, 11), CONFIG)
    monkeypatch.setattr(stage, "WIDE", 5)
    monkeypatch.setattr(stage, "BLOCK", block)
    parts = triage("layer", in_chunks(values, 11), CONFIG)
    agree(parts, values)
    assert [one.twin for one in parts.neurons] == [one.twin for one in whole.neurons]
    assert verdicts(parts) == verdicts(whole)
    assert verdicts(triage("layer", in_chunks(values, 11), CONFIG, RELEASED)) == ["live"] * 8
