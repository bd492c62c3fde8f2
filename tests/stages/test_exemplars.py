"""Top images against an oracle; exemplars with crops against a direct implementation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dnd_local.core import regions
from dnd_local.core.config import ExemplarsConfig
from dnd_local.core.ledger import RELEASED, Ledger
from dnd_local.core.protocols import ResponseMap
from dnd_local.core.records import Box, Exemplars, Neuron, Pixels, Responses
from dnd_local.stages.exemplars import RELEASED_SIDE, exemplify, top_images
from tests import oracles
from tests.fakes import LAYER, Calls, FakeTarget
from tests.stages.world import MemoryBlobs, PatchProbe, in_batches, neurons, splits, top_of

CONFIG = ExemplarsConfig()
PROBE = PatchProbe()


@given(
    values=hnp.arrays(
        np.float16,
        st.tuples(st.integers(1, 12), st.integers(1, 3)),
        elements=st.sampled_from([0.0, -0.0, 0.5, 1.0, -2.0, float("nan")]),
    ),
    count=st.integers(1, 6),
    data=st.data(),
)
def test_top_images_with_ties_gaps_and_a_holdout_in_any_chunks(
    values: np.ndarray, count: int, data: st.DataObject
) -> None:
    n, width = values.shape
    cuts = sorted(data.draw(st.lists(st.integers(0, n), max_size=3)))
    eligible = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    chunks = [
        Responses("layer", start, piece)
        for start, piece in zip([0, *cuts], np.split(values, cuts), strict=True)
    ]
    before = values.copy()
    found = top_images(chunks, range(width), count, eligible)
    rows = values.astype(float).tolist()
    assert found == [oracles.top_images(rows, k, count, eligible.tolist()) for k in range(width)]
    assert np.array_equal(before, values, equal_nan=True)


def test_only_the_neurons_asked_for_in_their_order() -> None:
    values = np.array([[1, 2, 3], [3, 2, 1]], dtype=np.float16)
    chunks = [Responses("layer", 0, values)]
    assert top_images(chunks, [2, 0], 1, np.ones(2, dtype=bool)) == [[0], [1]]


def exemplars(
    which: Sequence[Neuron],
    target: FakeTarget | None = None,
    config: ExemplarsConfig = CONFIG,
    blobs: MemoryBlobs | None = None,
    **words,
) -> list[Exemplars]:
    top = [top_of(PROBE, neuron.index, config.images) for neuron in which]
    return exemplify(
        which, top, target or FakeTarget(Calls()), PROBE, blobs or MemoryBlobs(), config, **words
    )


def direct(neuron: Neuron, config: ExemplarsConfig) -> list[tuple[int, Box | None, float]]:
    """One neuron, one picture, one crop at a time, with the oracles of the regions."""
    target = FakeTarget(Calls())

    def response(picture: Pixels) -> float:
        return float(target.responses([picture], [LAYER])[LAYER][0, neuron.index])

    views: list[tuple[int, Box | None, float]] = []
    for index in top_of(PROBE, neuron.index, config.images):
        picture = PROBE.pixels(index)
        height, width = picture.shape[:2]
        views.append((index, None, response(picture)))
        (((map_,),)) = target.maps([picture], LAYER, [[neuron.index]])
        grid = regions.to_eight_bit(map_.values).tolist()
        thresholds = oracles.otsu_thresholds(grid)
        if not thresholds:
            continue
        bright = [[value > thresholds[0] for value in row] for row in grid]
        kept = oracles.keep_apart(
            oracles.outer_boxes(bright), Box(0, 0, width, height), config.crops,
            config.crop_iou, config.whole_iou,
        )  # fmt: skip
        for box in kept:
            cut = picture[box.top : box.bottom, box.left : box.right]
            views.append((index, box, response(regions.pad_to_framing(cut, 1.0))))
    return [views[i] for i in oracles.highest([view[2] for view in views], config.count)]


@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize(
    "config",
    [CONFIG, ExemplarsConfig(images=5, count=3, crops=1), ExemplarsConfig(crop_iou=0.0, count=20)],
)
def test_exemplars_are_those_of_a_direct_implementation(
    index: int, config: ExemplarsConfig
) -> None:
    (found,) = exemplars(neurons(index), config=config)
    seen = [(own.image, own.box, own.response) for own in found.exemplars]
    assert seen == direct(neurons(index)[0], config)
    assert any(own.box for own in found.exemplars)
    assert found.note == ""


def test_an_exemplar_carries_its_own_picture_name_map_and_region() -> None:
    blobs = MemoryBlobs()
    (found,) = exemplars(neurons(1), blobs=blobs)
    tried = dict(found.boxes)
    for own in found.exemplars:
        picture = PROBE.pixels(own.image)
        height, width = picture.shape[:2]
        wanted = regions.crop(picture, own.box) if own.box else picture
        assert np.array_equal(blobs.get(own.blob), wanted)
        assert own.name == f"patches-{own.image}"
        assert own.seen == Box(0, 0, width, height)
        assert own.map is not None
        map_ = regions.to_eight_bit(picture[..., 1].astype(np.float32))
        assert np.array_equal(blobs.get(own.map)[..., 0], map_)
        assert own.box is None or own.box in tried[own.image]


@settings(max_examples=15)
@given(splits(4))
def test_company_and_order_change_nothing(batches: list[list[int]]) -> None:
    which = neurons(0, 1, 2, 5)
    assert in_batches(which, batches, exemplars) == exemplars(which)


def test_a_picture_that_several_neurons_share_goes_through_the_network_once_for_maps() -> None:
    class Counting(FakeTarget):
        mapped = 0

        def maps(self, pictures, layer, neurons) -> list[list[ResponseMap]]:
            self.mapped += len(pictures)
            return super().maps(pictures, layer, neurons)

    target = Counting(Calls())
    exemplars(neurons(0, 5), target)
    assert target.mapped == CONFIG.images


class Flat(FakeTarget):
    """A layer without maps."""

    def maps(self, pictures, layer, neurons) -> list[list[ResponseMap]]:
        return [[] for _ in pictures]


class Opaque(FakeTarget):
    """A network whose transform could not be followed."""

    def maps(self, pictures, layer, neurons) -> list[list[ResponseMap]]:
        found = super().maps(pictures, layer, neurons)
        return [[ResponseMap(own.values, None) for own in maps] for maps in found]

    def framing(self, height: int, width: int) -> Box | None:
        return None


@pytest.mark.parametrize(
    ("target", "note"),
    [(Flat, "the layer has no map"), (Opaque, "the transform could not be followed")],
)
def test_without_a_map_there_are_no_crops_and_the_record_says_why(
    target: type[FakeTarget], note: str
) -> None:
    (found,) = exemplars(neurons(0), target(Calls()))
    assert found.note == f"{note}, so there are no crops"
    assert found.boxes == ()
    assert all(own.box is None and own.seen is None for own in found.exemplars)
    assert {own.map is None for own in found.exemplars} == {target is Flat}
    assert [own.image for own in found.exemplars] == top_of(PROBE, 0, CONFIG.images)


def test_the_network_sees_all_of_a_crop() -> None:
    class Central(FakeTarget):
        """Sees the middle half of a picture; remembers what it was given."""

        given: tuple[Pixels, ...] = ()

        def framing(self, height: int, width: int) -> Box | None:
            return Box(width // 4, height // 4, width - width // 4, height - height // 4)

        def responses(self, pictures, layers):
            self.given = tuple(pictures)
            return super().responses(pictures, layers)

    target = Central(Calls())
    (found,) = exemplars(neurons(0), target)
    crops = [box for _, boxes in found.boxes for box in boxes]
    padded = [p for p in target.given if p.shape[0] == p.shape[1]]
    for box in crops:
        side = max(box.width, box.height)
        assert any(2 * side <= p.shape[0] <= 2 * side + 1 for p in padded)


def test_the_official_way_squashes_wraps_and_stretches() -> None:
    class Half(FakeTarget):
        """Maps of the left half; values that wrap."""

        def maps(self, pictures, layer, neurons):
            left = [picture[:, : picture.shape[1] // 2] for picture in pictures]
            return [
                [
                    ResponseMap(half[..., k % 3].astype(np.float32) / 50, Box(0, 0, 4, 4))
                    for k in own
                ]
                for half, own in zip(left, neurons, strict=True)
            ]

    blobs = MemoryBlobs()
    (found,) = exemplars(neurons(0), Half(Calls()), blobs=blobs, ledger=RELEASED)
    square = Box(0, 0, RELEASED_SIDE, RELEASED_SIDE)
    for own in found.exemplars:
        assert blobs.get(own.blob).shape == (RELEASED_SIDE, RELEASED_SIDE, 3)
        assert own.seen == square
        picture = regions.squash(PROBE.pixels(own.image), RELEASED_SIDE)
        wrapped = regions.wrap_to_eight_bit(
            picture[:, : RELEASED_SIDE // 2, 0].astype(np.float32) / 50
        )
        assert own.map is not None
        assert np.array_equal(blobs.get(own.map)[..., 0], wrapped)
        if own.box:
            cut = regions.squash(regions.crop(picture, own.box), RELEASED_SIDE)
            assert np.array_equal(blobs.get(own.blob), cut)


def test_a_neuron_without_top_images_has_no_exemplars() -> None:
    (found,) = exemplify(neurons(0), [[]], FakeTarget(Calls()), PROBE, MemoryBlobs(), CONFIG)
    assert found.exemplars == ()


class OnePicture:
    """A probe set of one dark picture of 8 x 8."""

    digest = "2" * 64

    def __len__(self) -> int:
        return 1

    def name(self, index: int) -> str:
        return "only"

    def pixels(self, index: int) -> Pixels:
        return np.full((8, 8, 3), 10, dtype=np.uint8)


class Mapped(FakeTarget):
    """A network with one map for every neuron and picture; remembers what it was given."""

    def __init__(self, values: np.ndarray, seen: Box) -> None:
        super().__init__(Calls())
        self.values, self.seen = values.astype(np.float32), seen
        self.given: list[Pixels] = []

    def maps(self, pictures, layer, neurons) -> list[list[ResponseMap]]:
        return [[ResponseMap(self.values, self.seen) for _ in own] for own in neurons]

    def responses(self, pictures, layers):
        self.given.extend(pictures)
        return super().responses(pictures, layers)


def boxes_of(target: Mapped, ledger: Ledger) -> tuple[Box, ...]:
    (found,) = exemplify(
        neurons(0), [[0]], target, OnePicture(), MemoryBlobs(), CONFIG, ledger
    )  # fmt: skip
    return found.boxes[0][1] if found.boxes else ()


def test_a_peak_above_one_wraps_and_loses_its_box() -> None:
    values = np.zeros((8, 8))
    values[1:3, 1:3] = 0.5
    values[5:7, 5:7] = 258.5 / 255
    target = Mapped(values, Box(0, 0, 8, 8))
    weak, strong = Box(1, 1, 3, 3), Box(5, 5, 7, 7)
    assert boxes_of(target, Ledger()) == (weak, strong)
    # 0.5 x 255 = 127 stays, 258 becomes 2: Otsu puts the stronger peak with the ground.
    assert boxes_of(target, Ledger(map_values="released")) == (weak,)


def test_the_map_of_a_part_is_stretched_over_the_whole() -> None:
    values = np.zeros((8, 4))
    values[2:4, 1:3] = 1
    target = Mapped(values, Box(0, 0, 4, 8))
    assert boxes_of(target, Ledger()) == (Box(1, 2, 3, 4),)
    # The network saw the left half: stretched, the box lies twice as far right, twice as wide.
    assert boxes_of(target, Ledger(map_place="released")) == (Box(2, 2, 6, 4),)


def test_the_released_resize_makes_other_boxes() -> None:
    # The corner alone: the angle around it fills the picture, so its box is dropped.
    values = np.array([[1, 1, 1], [1, 0, 0], [1, 0, 1]])
    target = Mapped(values, Box(0, 0, 8, 8))
    assert boxes_of(target, Ledger()) == (Box(6, 6, 8, 8),)
    assert boxes_of(target, Ledger(map_resize="released")) == (Box(5, 5, 8, 8),)


def test_images_and_crops_are_squashed_and_not_padded() -> None:
    class Central(Mapped):
        """Sees the middle half of a picture, so that a padded crop would be twice as large."""

        def framing(self, height: int, width: int) -> Box | None:
            return Box(width // 4, height // 4, width - width // 4, height - height // 4)

    target = Central(np.zeros((8, 8)), Box(0, 0, 8, 8))
    target.values[2:4, 2:6] = 1
    blobs = MemoryBlobs()
    exemplify(neurons(0), [[0]], target, OnePicture(), blobs, CONFIG, Ledger(crop_shape="released"))
    square = (RELEASED_SIDE, RELEASED_SIDE, 3)
    assert [picture.shape for picture in target.given] == [square, square]
    assert {picture.shape for picture in blobs.kept.values()} == {square, (8, 8, 3)}


def test_an_image_has_no_more_views_among_exemplars_than_asked_for() -> None:
    (every,) = exemplars(neurons(0), config=ExemplarsConfig(count=200))
    for most in (1, 2):
        (few,) = exemplars(neurons(0), config=ExemplarsConfig(count=200, views=most))
        expected = [
            one
            for place, one in enumerate(every.exemplars)
            if [before.image for before in every.exemplars[:place]].count(one.image) < most
        ]
        assert few.exemplars == tuple(expected)
        assert len(few.exemplars) < len(every.exemplars)
    (three,) = exemplars(neurons(0), config=ExemplarsConfig(count=3, views=1))
    assert len({one.image for one in three.exemplars}) == 3


def test_the_least_side_and_the_whole_reach_the_boxes() -> None:
    (usual,) = exemplars(neurons(0))
    widest = max(min(box.width, box.height) for _, boxes in usual.boxes for box in boxes)
    (none,) = exemplars(neurons(0), config=ExemplarsConfig(min_side=widest + 1))
    assert none.boxes == ()
    target = PartTarget()
    (by_picture,) = exemplars(neurons(0), target)
    (by_seen,) = exemplars(neurons(0), target, ExemplarsConfig(whole="seen"))
    assert by_picture.boxes
    assert by_seen.boxes == ()


class PartTarget(FakeTarget):
    """Sees the left half of a picture, and lights up nearly all of it."""

    def __init__(self) -> None:
        super().__init__(Calls())

    def maps(self, pictures, layer, neurons):
        values = np.ones((20, 20), np.float32)
        values[0] = 0
        return [
            [ResponseMap(values, Box(0, 0, one.shape[1] // 2, one.shape[0])) for _ in asked]
            for one, asked in zip(pictures, neurons, strict=True)
        ]
