"""Images that excite a neuron less: which are taken, in which order, and what is kept of them."""

from __future__ import annotations

import numpy as np
import pytest

from dnd_local.core.contrasts import Contrasts
from dnd_local.core.records import Captions, Exemplar, Exemplars
from dnd_local.stages.contrasts import (
    GROUP,
    coldest,
    contrast,
    embed_in_groups,
    halfway,
    parted,
)
from tests.fakes import Calls, ColourProbe, FakeEmbedder, flat
from tests.stages.world import MemoryBlobs, neurons

VALUES = np.array([9.0, 0.0, 1.0, 2.0, 8.0, 5.0, 4.0, 0.5])
ANY = np.ones(8, dtype=np.bool_)


def test_cold_images_are_those_up_to_the_median_most_alike_first() -> None:
    likeness = [0.9, 0.1, 0.8, 0.8, 0.9, 0.9, 0.9, 0.2]
    # The median is 3: 1, 2, 3 and 7 are not above it, and 2 and 3 are equally alike.
    assert coldest(VALUES, likeness, ANY, 3) == [2, 3, 7]
    assert coldest(VALUES, likeness, ANY, 9) == [2, 3, 7, 1]
    assert coldest(VALUES, likeness, np.arange(8) != 2, 2) == [3, 7]


def test_middling_images_are_nearest_to_half_way_and_never_exemplars() -> None:
    # Between the median, 3, and the weakest exemplar, 8, the middle is 5.5.
    assert halfway(VALUES, 8.0, ANY, 5) == [5, 6]
    assert halfway(VALUES, 8.0, np.arange(8) != 5, 5) == [6]
    assert halfway(VALUES, 8.0, ANY, 1) == [5]
    assert halfway(np.zeros(4), 0.0, ANY[:4], 3) == []


def test_each_neuron_gets_its_images_with_their_pictures_and_responses() -> None:
    probe, blobs, embedder = ColourProbe(12), MemoryBlobs(), FakeEmbedder(Calls())
    drawn = list(range(12))
    vectors = embed_in_groups(map(probe.pixels, drawn), embedder)
    (neuron,) = neurons(0)
    # Red images, every third one, excite it; the reddest is its exemplar.
    responses = np.array([[float(i if i % 3 == 0 else 0)] for i in drawn])
    kept = blobs.put(probe.pixels(9))
    batch = [Exemplars(neuron, (Exemplar(9, "red-9", None, 9.0, kept),))]
    (record,) = contrast(batch, drawn, responses, vectors, probe, embedder, blobs, 2, 3)
    assert record.neuron == neuron
    assert [image.image for image in record.middling] == [3, 6]
    assert [image.response for image in record.middling] == [3.0, 6.0]
    # Of the images that leave it cold, red number 0 is most like the exemplar.
    assert record.cold[0].image == 0
    assert record.images == (*record.cold, *record.middling)
    assert np.array_equal(blobs.get(record.cold[0].blob), probe.pixels(0))
    assert record.cold[0].name == "red-0"


def test_a_neuron_without_exemplars_has_no_middle_to_be_under() -> None:
    probe, blobs, embedder = ColourProbe(3), MemoryBlobs(), FakeEmbedder(Calls())
    vectors = embed_in_groups(map(probe.pixels, range(3)), embedder)
    batch = [Exemplars(neurons(0)[0], ())]
    responses = np.array([[1.0], [1.0], [1.0]])
    (record,) = contrast(batch, [0, 1, 2], responses, vectors, probe, embedder, blobs, 2, 2)
    assert len(record.cold) == 2
    assert record.middling == ()


@pytest.mark.parametrize("count", [0, 1, GROUP, GROUP + 1])
def test_pictures_are_embedded_in_groups(count: int) -> None:
    pictures = [flat(i % 3, 100 + i) for i in range(count)]
    vectors = embed_in_groups(pictures, FakeEmbedder(Calls()))
    assert vectors.shape == (count, 3)
    if count:
        assert np.array_equal(vectors, FakeEmbedder(Calls()).embed_pictures(pictures))


def test_captions_are_told_apart_again() -> None:
    (neuron,) = neurons(0)
    image = Exemplar(0, "a", None, 0.0, "blob")
    captions = Captions(neuron, ("a", "b", "c"))
    assert parted(Contrasts(neuron, (image, image), (image,)), captions) == (("a", "b"), ("c",))
