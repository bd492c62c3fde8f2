"""Scores: the evidence of each picture, against looking at them one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from dnd_local.core.ledger import Ledger, Side
from dnd_local.core.ranking import score_candidates
from dnd_local.core.records import (
    Candidate,
    Concepts,
    Exemplar,
    Exemplars,
    Picture,
    Pictures,
    Scores,
)
from dnd_local.stages.scores import score
from tests import oracles
from tests.fakes import LAYER, Calls, FakeEmbedder, FakeTarget
from tests.stages.world import MemoryBlobs, in_batches, neurons, splits, world

BETA = 2


def scores(batch: list[tuple[Exemplars, Concepts]], calls: Calls | None = None) -> list[Scores]:
    calls = calls or Calls()
    return score(
        batch, world().pictures, FakeTarget(calls), FakeEmbedder(calls), world().blobs, BETA
    )


def pairs() -> list[tuple[Exemplars, Concepts]]:
    return list(zip(world().exemplars, world().concepts, strict=True))


def test_each_picture_is_measured_as_if_alone() -> None:
    target, embedder, blobs = FakeTarget(Calls()), FakeEmbedder(Calls()), world().blobs
    for (exemplars, concepts), found in zip(pairs(), scores(pairs()), strict=True):
        k = exemplars.neuron.index
        seen = [embedder.embed_pictures([blobs.get(e.blob)])[0] for e in exemplars.exemplars]
        responses, cosines = [], []
        for candidate in concepts.candidates:
            own = [blobs.get(p.blob) for p in world().pictures[candidate.text].pictures]
            responses.append([float(target.responses([p], [LAYER])[LAYER][0, k]) for p in own])
            vectors = [embedder.embed_pictures([p])[0] for p in own]
            cosines.append([oracles.average([float(v @ e) for e in seen]) for v in vectors])
        assert found.neuron == exemplars.neuron
        assert [c.text for c in found.candidates] == [c.text for c in concepts.candidates]
        assert [list(c.responses) for c in found.candidates] == responses
        for own, wanted in zip(found.candidates, cosines, strict=True):
            assert own.cosines == pytest.approx(wanted, abs=1e-6)
        again = score_candidates(
            [c.text for c in concepts.candidates], responses,
            [c.cosines for c in found.candidates], BETA,
        )  # fmt: skip
        assert found.candidates == again


def test_a_shared_picture_goes_through_each_network_once() -> None:
    calls = Calls()
    scores(pairs() + pairs(), calls)
    blobs = {p.blob for own in world().pictures.values() for p in own.pictures}
    assert calls.asked["target"] == len(blobs)


@given(splits(4))
def test_company_and_order_change_nothing(batches: list[list[int]]) -> None:
    assert in_batches(pairs(), batches, scores) == scores(pairs())


def test_a_neuron_without_candidates_or_exemplars_has_no_scores() -> None:
    neuron = neurons(0)[0]
    nothing = (Exemplars(neuron, ()), Concepts(neuron, (), (), ()))
    with np.errstate(all="raise"):
        (found,) = scores([nothing])
    assert found == Scores(neuron, ())
    assert scores([nothing, pairs()[1]])[1:] == scores([pairs()[1]])


class Contrast(FakeTarget):
    """Responds with the contrast of a picture; remembers the sizes it was given."""

    def __init__(self) -> None:
        super().__init__(Calls())
        self.sizes: list[tuple[int, ...]] = []

    def responses(self, pictures, layers):
        self.sizes += [picture.shape[:2] for picture in pictures]
        values = np.array([[float(picture.std())] for picture in pictures], dtype=np.float32)
        return dict.fromkeys(layers, values)


class Sized(FakeEmbedder):
    """Remembers the sizes it was given."""

    def __init__(self) -> None:
        super().__init__(Calls())
        self.sizes: list[tuple[int, ...]] = []

    def embed_pictures(self, pictures):
        self.sizes += [picture.shape[:2] for picture in pictures]
        return super().embed_pictures(pictures)


@pytest.mark.parametrize(("side", "seen", "most"), [("ours", 64, 127.5), ("released", 32, 5.0)])
def test_stripes_are_gone_from_a_picture_of_32_pixels(side: Side, seen: int, most: float) -> None:
    # Columns of 0 and 255 in turn: at half the width every pixel is about the mean of both, the
    # outer columns less so.
    striped = np.zeros((64, 64, 3), dtype=np.uint8)
    striped[:, ::2] = 255
    blobs, neuron = MemoryBlobs(), neurons(0)[0]
    blob = blobs.put(striped)
    exemplar = Exemplar(0, "striped", None, 1.0, blob)
    batch = [(Exemplars(neuron, (exemplar,)), Concepts(neuron, (Candidate("x", "x", 0),), (), ()))]
    painted = {"x": Pictures("x", "x", "select", (Picture(blob, 0),))}
    target, embedder = Contrast(), Sized()
    (found,) = score(batch, painted, target, embedder, blobs, BETA, Ledger(picture_size=side))
    assert most - 5 <= found.candidates[0].responses[0] <= most
    assert target.sizes == [(seen, seen)]
    # An exemplar is never shrunk, though it be the very picture that was painted.
    assert embedder.sizes == [(seen, seen), (64, 64)]
