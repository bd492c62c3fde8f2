"""Reading all neurons at once gives what reading one by one gives."""

from __future__ import annotations

import numpy as np
import pytest

from dnd_local.core.records import Neuron
from dnd_local.pipeline.evidence import gather_evidence
from dnd_local.pipeline.plan import CAPTIONS, PICTURES, RESPONSES, responses_of
from dnd_local.pipeline.reading import open_run
from dnd_local.report import gather
from dnd_local.report.gather import (
    AT_EACH,
    AT_RANDOM,
    BINS,
    QUANTILES,
    exemplar_blobs,
    histograms,
    ranges,
)
from tests.bench import Bench
from tests.fakes import LAYER, ColourProbe
from tests.report.conftest import Desk


def test_every_neurons_evidence_is_that_of_the_neuron(desk: Desk) -> None:
    run = desk.plain
    found = list(gather_evidence(run.lab, run.descriptions(), run.triages()))
    assert found == [run.evidence(str(i)) for i in range(6)]
    assert found[0].pictures


def test_what_is_missing_is_none(own: Bench) -> None:
    result = own.run("0", name="one")
    run = open_run("one", own.workspace)
    for stage in (CAPTIONS, PICTURES):
        for path in stage.parts(run.lab).folder.glob("*.json"):
            path.unlink()
    (found,) = gather_evidence(run.lab, result.descriptions, run.triages())
    assert found.captions is None
    assert found.pictures == ()
    assert found.exemplars is not None


def test_histograms_count_every_usable_image(own: Bench) -> None:
    own.probe = ColourProbe(30, broken=(3, 17))
    own.run("0-5", name="one")
    run = open_run("one", own.workspace)
    neurons = run.record.wanted()
    found = histograms(run, neurons, run.triages())
    values = np.concatenate([chunk.values for chunk in responses_of(run.lab, LAYER)])
    values = values[~np.isnan(values).all(axis=1)].astype(np.float64)
    assert len(values) == 28
    for neuron in neurons[:3]:
        low, high = values[:, neuron.index].min(), values[:, neuron.index].max()
        expected = np.histogram(values[:, neuron.index], bins=BINS, range=(low, high))[0]
        own_counts = found[neuron]
        assert (own_counts.low, own_counts.high) == pytest.approx((low, high))
        assert own_counts.counts == tuple(expected)
    assert sum(found[neurons[3]].counts) == 28
    assert found[neurons[3]].counts[0] == 28


def test_no_histogram_where_the_responses_are_gone(own: Bench) -> None:
    own.run("0", name="one")
    run = open_run("one", own.workspace)
    next(RESPONSES.parts(run.lab).folder.glob("*.safetensors")).unlink()
    assert histograms(run, run.record.wanted(), run.triages()) == {}
    assert ranges(run, run.record.wanted()) == {}


def test_a_range_goes_from_the_highest_responses_to_none(own: Bench) -> None:
    own.probe = ColourProbe(39, broken=(3, 17))
    own.run("0-5", name="one")
    run = open_run("one", own.workspace)
    neurons = run.record.wanted()
    values = np.concatenate([chunk.values for chunk in responses_of(run.lab, LAYER)])
    for neuron, groups in ranges(run, neurons).items():
        column = values[:, neuron.index].astype(np.float64)
        usable = np.sort(column[~np.isnan(column)])[::-1]
        assert [group.name for group in groups] == [
            *[name for name, _ in QUANTILES], "nearest 0", "at random",
        ]  # fmt: skip
        images = [one.image for group in groups for one in group.images]
        assert len(images) == len(set(images)) == len(QUANTILES) * AT_EACH + AT_EACH + AT_RANDOM
        assert not {3, 17} & set(images)
        for group in groups:
            assert all(one.response == column[one.image] for one in group.images)
        for (_, share), group in zip(QUANTILES, groups, strict=False):
            place = round(share * (len(usable) - 1))
            assert usable[place] >= group.images[0].response >= usable[min(place + 6, 36)]
        zero = [abs(one.response) for one in groups[-2].images]
        assert max(zero) <= np.sort(np.abs(usable))[len(images)]
    assert ranges(run, neurons) == ranges(run, neurons)


def test_a_range_of_many_images_is_taken_from_a_sample(
    own: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gather, "SAMPLE", 5)
    own.run("0-5", name="one")
    run = open_run("one", own.workspace)
    found = ranges(run, run.record.wanted())
    images = {one.image for groups in found.values() for group in groups for one in group.images}
    assert len(images) == 5
    # With fewer images than places, the last places have none.
    assert [len(group.images) for group in found[run.record.wanted()[0]]] == [2, 2, 1]


def test_exemplars_by_neuron_and_whole_images(desk: Desk) -> None:
    found = exemplar_blobs(desk.plain)
    neurons = [Neuron("pocket", LAYER, i) for i in range(6)]
    assert set(found.by_neuron) == set(neurons[:3])
    evidence = desk.plain.evidence("1")
    assert evidence.exemplars is not None
    assert found.by_neuron[neurons[1]] == tuple(e.blob for e in evidence.exemplars.exemplars)
    for exemplar in evidence.exemplars.exemplars:
        if exemplar.box is None:
            assert found.whole[exemplar.image] == exemplar.blob
