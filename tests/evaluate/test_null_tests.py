"""A verdict must tell right labels from shuffled ones: on neurons whose meaning is known."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from dnd_local.core.errors import UserError
from dnd_local.core.ranking import share_below
from dnd_local.evaluate import null_tests
from dnd_local.evaluate.null_tests import (
    PictureEvidence,
    ProbeEvidence,
    discoveries,
    judge,
)
from dnd_local.evaluate.verdicts import DECIDING, Judged, Verdict

metrics = pytest.importorskip("sklearn.metrics")
NEURONS, IMAGES, PICTURES = 24, 300, 10
WORDS = [f"word{i}" for i in range(NEURONS)]
KEYS = [("fc", i) for i in range(NEURONS)]


def world(seed: int = 0) -> tuple[ProbeEvidence, PictureEvidence]:
    """Neuron i fires where concept i is; a label fits an image by its concept, with noise."""
    rng = np.random.default_rng(seed)
    shown = rng.random((IMAGES, NEURONS)) < 0.06
    real = shown * 2.0 + rng.normal(0, 0.5, (IMAGES, NEURONS))
    simulated = {w: shown[:, i] + rng.normal(0, 0.4, IMAGES) for i, w in enumerate(WORDS)}
    simulated["object"] = rng.normal(0, 0.4, IMAGES)
    pictured = {
        w: rng.normal(0, 0.5, (PICTURES, NEURONS)).astype(np.float32)
        + 2.0 * (np.arange(NEURONS) == i)
        for i, w in enumerate(WORDS)
    }
    pictured["object"] = rng.normal(0, 0.5, (PICTURES, NEURONS)).astype(np.float32)
    return ProbeEvidence(real, simulated), PictureEvidence(pictured, real)


def shuffled() -> list[str]:
    return WORDS[1:] + WORDS[:1]


@pytest.fixture(scope="module", autouse=True)
def fewer_resamples() -> Iterator[None]:
    """Fewer than in earnest: these tests ask who clears the null, not by how many digits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(null_tests, "RESAMPLES", 200)
        yield


@pytest.fixture(scope="module")
def verdicts(fewer_resamples: None) -> tuple[tuple[Verdict, ...], tuple[Verdict, ...]]:
    probe, pictures = world()
    return judge(KEYS, WORDS, probe, pictures), judge(KEYS, shuffled(), probe, pictures)


def test_right_labels_are_supported_and_shuffled_ones_abstain(
    verdicts: tuple[tuple[Verdict, ...], tuple[Verdict, ...]],
) -> None:
    right, wrong = ([verdict.ruling for verdict in own] for own in verdicts)
    assert right.count("supported") >= 0.9 * NEURONS
    assert wrong.count("no better than the null") >= 0.8 * NEURONS
    assert "supported" not in wrong


def test_support_separates_right_from_shuffled(
    verdicts: tuple[tuple[Verdict, ...], tuple[Verdict, ...]],
) -> None:
    support = [verdict.support for own in verdicts for verdict in own]
    truth = [1] * NEURONS + [0] * NEURONS
    assert metrics.roc_auc_score(truth, support) > 0.95


def test_a_record_holds_every_figure(
    verdicts: tuple[tuple[Verdict, ...], tuple[Verdict, ...]],
) -> None:
    record = verdicts[0][3].record()
    assert (record["layer"], record["neuron"], record["label"]) == ("fc", 3, "word3")
    for name in ("correlation", "auprc", "f1", "iou", "auc", "mad"):
        value, low, high = record[name], record[f"{name}_low"], record[f"{name}_high"]
        assert isinstance(value, float)
        assert isinstance(low, float)
        assert isinstance(high, float)
        assert low <= value <= high
        assert value > float(record[f"{name}_null_mean"] or 0)


def test_one_kind_of_evidence_is_enough() -> None:
    probe, pictures = world()
    by_probe = judge(KEYS[:3], WORDS[:3], ProbeEvidence(probe.real[:, :3], probe.simulated), None)
    assert [own.measure for own in by_probe[0].measures] == ["correlation", "auprc", "f1", "iou"]
    by_pictures = judge(KEYS, WORDS, None, pictures)
    assert [own.measure for own in by_pictures[0].measures] == ["auc", "mad"]


def test_the_same_seed_gives_the_same_verdicts() -> None:
    probe, _ = world()
    assert judge(KEYS, WORDS, probe, None, seed=5) == judge(KEYS, WORDS, probe, None, seed=5)


def test_equal_labels_are_not_each_others_null() -> None:
    """Half of the neurons mean the same: its label must not count against itself."""
    rng = np.random.default_rng(0)
    shown = rng.random(IMAGES) < 0.1
    real = np.stack([shown + rng.normal(0, 0.1, IMAGES) for _ in range(10)], axis=1)
    simulated = {
        "dog": shown + rng.normal(0, 0.1, IMAGES),
        "DOG ": shown + rng.normal(0, 0.1, IMAGES),
        "cat": rng.normal(0, 1, IMAGES),
    }
    labels = ["dog"] * 8 + ["DOG ", "cat"]
    found = judge([("fc", i) for i in range(10)], labels, ProbeEvidence(real, simulated), None)
    assert {own.ruling for own in found[:9]} == {"supported"}
    assert np.isnan(found[0].measures[0].word)  # no constant word in the evidence


def test_many_labels_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dnd_local.evaluate.null_labels.NULL_LABELS", 5)
    probe, pictures = world()
    found = judge(KEYS, WORDS, probe, pictures)
    assert sum(own.ruling == "supported" for own in found) >= 0.9 * NEURONS


def test_a_dead_neuron_has_no_figure_and_no_support() -> None:
    probe, _ = world()
    dead = ProbeEvidence(np.where(np.arange(NEURONS) == 0, 0.0, probe.real), probe.simulated)
    verdict = judge(KEYS, WORDS, dead, None)[0]
    assert (verdict.ruling, verdict.support) == ("no better than the null", 0.0)
    assert np.isnan(verdict.measures[0].value)


@pytest.mark.parametrize(
    ("low", "word", "clears"),
    [(0.3, 0.1, True), (0.3, 0.4, False), (0.3, float("nan"), True), (0.05, 0.0, False)],
)
def test_clearing_means_above_both_nulls(low: float, word: float, clears: bool) -> None:
    judged = Judged("auprc", 0.6, low, 0.8, 0.1, 0.5, word, 1.0)
    assert judged.clears is clears


def test_nothing_to_judge_by_and_nothing_to_compare_with_are_refused() -> None:
    probe, _ = world()
    with pytest.raises(UserError, match="nothing to judge by"):
        judge(KEYS, WORDS, None, None)
    with pytest.raises(UserError, match="two different labels"):
        judge(KEYS[:2], ["dog", "Dog"], probe, None)


def test_near_synonyms_of_other_neurons_do_not_make_the_null() -> None:
    """One neuron in three is called by another word for the same: it is no wrong label."""
    rng = np.random.default_rng(1)
    shown = rng.random((IMAGES, 2)) < 0.1
    real = np.stack([shown[:, i % 2] + rng.normal(0, 0.2, IMAGES) for i in range(12)], axis=1)
    fits = {
        "scarlet": shown[:, 0] + rng.normal(0, 0.05, IMAGES),
        "crimson": shown[:, 0] + rng.normal(0, 0.05, IMAGES),
        "sky": shown[:, 1] + rng.normal(0, 0.05, IMAGES),
    }
    labels = ["scarlet" if i % 4 else "crimson" for i in range(12)]
    labels = [labels[i] if i % 2 == 0 else "sky" for i in range(12)]
    found = judge([("fc", i) for i in range(12)], labels, ProbeEvidence(real, fits), None)
    assert {own.ruling for own in found} == {"supported"}


def test_one_neuron_is_judged_against_the_pool() -> None:
    probe, _ = world()
    alone = ProbeEvidence(probe.real[:, :1], probe.simulated)
    right, wrong = (
        judge(KEYS[:1], [label], alone, None, pool=WORDS[2:])[0] for label in ("word0", "word1")
    )
    assert (right.ruling, wrong.ruling) == ("supported", "no better than the null")


def test_pictures_alone_are_judged_against_draws_of_natural_images() -> None:
    _, pictures = world()
    one = PictureEvidence({w: v[:, :1] for w, v in pictures.pictured.items()}, pictures.control)
    right, wrong = (judge(KEYS[:1], [label], None, one)[0] for label in ("word0", "word1"))
    assert right.ruling == "supported"
    assert wrong.ruling != "supported"


def test_a_layer_of_noise_has_no_discovery() -> None:
    rng = np.random.default_rng(3)
    real = rng.normal(size=(200, 150))
    fits = {f"w{i}": rng.normal(size=200) for i in range(40)}
    # The label of each neuron is the one that fits it best: what a describer does with noise.
    cosines = np.corrcoef(np.column_stack([real, *fits.values()]).T)[:150, 150:]
    labels = [f"w{i}" for i in cosines.argmax(axis=1)]
    found = judge([("fc", i) for i in range(150)], labels, ProbeEvidence(real, fits), None)
    cleared = sum(all(m.clears for m in own.measures if m.measure in DECIDING) for own in found)
    supported = sum(own.ruling == "supported" for own in found)
    assert supported < cleared, (supported, cleared)
    assert supported <= 2


def test_discoveries_are_benjamini_and_hochbergs() -> None:
    def measured(gap: float) -> list[Judged]:
        return [Judged("auc", gap, gap - 1.96, 9.0, 0.0, 0.0, float("nan"), 1.0)]

    # A gap of so many standard deviations; chances .0013, .0228, .1587 of three labels.
    assert discoveries([measured(3), measured(2), measured(1)]) == [True, True, False]
    assert discoveries([measured(2), measured(0), measured(0)]) == [False] * 3
    assert discoveries([]) == []


@pytest.mark.parametrize(
    ("value", "low", "level", "chance"),
    [(1.96, 0.0, 0.0, 0.025), (0.0, -1.0, 0.0, 0.5), (1.0, 1.0, 0.5, 0.0), (0.5, 0.5, 0.5, 1.0),
     (float("nan"), 0.0, 0.0, 1.0)],
)  # fmt: skip
def test_the_chance_of_a_figure(value: float, low: float, level: float, chance: float) -> None:
    own = Judged("auc", value, low, 2.0, level, level, float("nan"), 1.0)
    assert own.chance == pytest.approx(chance, abs=1e-3)


def test_reach_is_the_percentile_of_the_median_picture() -> None:
    natural = np.arange(100.0)
    assert share_below([10.0, 95.5, 99.0], natural) == 0.96
    assert share_below([50.0], natural) == 0.505
    assert share_below([50.0, np.nan], [*natural, np.nan]) == 0.505
    assert np.isnan(share_below([], natural))
    assert np.isnan(share_below([1.0], [np.nan]))
    probe, pictures = world()
    by_pictures = judge(KEYS, WORDS, probe, pictures)[0]
    own = np.median(pictures.pictured["word0"][:, 0])
    assert by_pictures.reach == pytest.approx(np.mean(pictures.control[:, 0] < own), abs=0.01)
    by_images = judge(KEYS, WORDS, probe, None)[0]
    assert by_images.reach > 0.9
