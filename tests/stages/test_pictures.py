"""Pictures: what they depend on, and on nothing else."""

from __future__ import annotations

from hypothesis import given

from dnd_local.stages.pictures import paint
from tests.fakes import Calls, FakePainter
from tests.stages.world import MemoryBlobs, in_batches, prompts, splits

CONCEPTS = ["red squares", "green dots", "blue sky", "a horse"]


def painted(concepts: list[str], count: int = 3, run_seed: int = 7, **words):
    blocks = [(concept, range(count)) for concept in concepts]
    return paint(blocks, FakePainter(Calls()), prompts(), MemoryBlobs(), run_seed, **words)


def test_each_concept_has_its_pictures_from_the_template() -> None:
    blobs, painter = MemoryBlobs(), FakePainter(Calls())
    blocks = [(concept, range(3)) for concept in CONCEPTS[:2]]
    found = paint(blocks, painter, prompts(), blobs, 7)
    for own, concept in zip(found, CONCEPTS, strict=False):
        assert (own.concept, own.purpose, len(own.pictures)) == (concept, "select", 3)
        assert own.prompt == prompts().messages("picture", label=concept)[-1].text
        for picture in own.pictures:
            (alone,) = painter.paint([own.prompt], [picture.seed])
            assert (blobs.get(picture.blob) == alone).all()


def test_a_seed_depends_on_run_purpose_concept_and_index() -> None:
    seeds = [
        picture.seed
        for words in ({}, {"run_seed": 8}, {"purpose": "judge"})
        for own in painted(CONCEPTS, **words)
        for picture in own.pictures
    ]
    assert len(set(seeds)) == len(seeds) == 3 * 4 * 3


def test_more_pictures_keep_the_first_ones() -> None:
    few, many = painted(CONCEPTS, 2), painted(CONCEPTS, 5)
    assert [own.pictures for own in few] == [own.pictures[:2] for own in many]


@given(splits(4))
def test_company_and_order_change_nothing(batches: list[list[int]]) -> None:
    assert in_batches(CONCEPTS, batches, painted) == painted(CONCEPTS)
