"""The world is a pure function of seed and index, and shows what its attributes say."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from dnd_local.pocket import world
from dnd_local.pocket.words import Concept, vocabulary


def pixels(seed: int, index: int) -> np.ndarray:
    return np.asarray(world.picture(seed, index)[0])


def test_a_picture_depends_on_seed_and_index_alone() -> None:
    first = [pixels(5, index) for index in range(6)]
    again = [pixels(5, index) for index in reversed(range(6))][::-1]
    assert all((one == other).all() for one, other in zip(first, again, strict=True))
    assert not (pixels(5, 0) == pixels(6, 0)).all()
    assert not (pixels(5, 0) == pixels(5, 1)).all()


def test_a_picture_is_small_and_rgb() -> None:
    image, _ = world.picture(world.PROBE_SEED, 0)
    assert image.mode == "RGB"
    assert image.size == (world.SIZE, world.SIZE)


def test_a_negative_index_is_refused() -> None:
    with pytest.raises(ValueError, match="-1 is negative"):
        world.picture(1, -1)


def test_seeds_for_learning_and_measuring_are_disjoint() -> None:
    seeds = (world.TRAIN_SEED, world.JUDGE_SEED, world.HELD_OUT_SEED, world.PROBE_SEED)
    assert len(set(seeds)) == len(seeds)


def test_none_one_or_two_objects_side_by_side() -> None:
    shown = [world.picture(7, index)[1] for index in range(300)]
    counts = {len(each.objects) for each in shown}
    assert counts == {0, 1, 2}
    for each in shown:
        assert len(set(each.objects)) == len(each.objects) == len(each.boxes)
        for x0, y0, x1, y1 in each.boxes:
            assert 0 <= x0 < x1 <= world.SIZE
            assert 0 <= y0 < y1 <= world.SIZE
        if len(each.boxes) == 2:
            assert each.boxes[0][2] <= each.boxes[1][0]


def test_the_background_has_the_colour_it_is_said_to_have() -> None:
    named = {colour.name: colour for colour in vocabulary().colours}
    for index in range(120):
        image, shown = world.picture(8, index)
        grid = np.asarray(image).astype(int)
        free = np.ones(grid.shape[:2], dtype=bool)
        for x0, y0, x1, y1 in shown.boxes:
            free[y0:y1, x0:x1] = False
        allowed = np.array([named[shown.colour].base, named[shown.colour].other])
        gaps = np.abs(grid[free][:, None, :] - allowed[None]).max(2).min(1)
        assert gaps.max() <= 10


@pytest.mark.parametrize("pattern", [entry.name for entry in vocabulary().patterns])
def test_every_pattern_is_drawn_as_named(pattern: str) -> None:
    image, _ = world.draw((), "blue", pattern, random.Random(3))
    grid = np.asarray(image).astype(int).sum(2)
    along_rows = bool((grid == grid[:, :1]).all())
    along_columns = bool((grid == grid[:1]).all())
    tones = len(np.unique(grid))
    assert tones == (1 if pattern == "plain" else 2)
    assert (along_rows or along_columns) == (pattern in ("plain", "striped"))


@pytest.mark.parametrize("pattern", ["plain", "striped", "checkered"])
def test_the_painters_pictures_lie_on_its_grid(pattern: str) -> None:
    grid = world.PAINTER_GRID
    for seed in range(20):
        image, shown = world.draw(("dog",), "blue", pattern, random.Random(seed), grid)
        assert all(edge % grid == 0 for edge in shown.boxes[0])
        cells = np.asarray(image).reshape(world.SIZE // grid, grid, world.SIZE // grid, grid, 3)
        varied = np.ptp(cells, axis=(1, 3)).any(-1)
        x0, y0, x1, y1 = (edge // grid for edge in shown.boxes[0])
        varied[y0:y1, x0:x1] = False
        assert not varied.any()


def test_an_unknown_pattern_is_refused() -> None:
    with pytest.raises(ValueError, match="teach"):
        world.draw((), "blue", "plaid", random.Random(0))


def test_an_object_changes_the_pixels_of_its_box_only() -> None:
    bare, _ = world.draw((), "red", "dotted", random.Random(4))
    image, shown = world.draw(("car",), "red", "dotted", random.Random(4))
    x0, y0, x1, y1 = shown.boxes[0]
    changed = (np.asarray(bare) != np.asarray(image)).any(2)
    assert changed[y0:y1, x0:x1].mean() > 0.2
    changed[y0:y1, x0:x1] = False
    assert not changed.any()


def test_attributes_know_their_concepts() -> None:
    boxes = ((0, 0, 30, 30), (32, 0, 60, 28))
    shown = world.Attributes(("dog", "cat"), boxes, "red", "striped")
    assert shown.categories() == ("animal",)
    assert shown.concepts() == {
        Concept("object", "dog"),
        Concept("object", "cat"),
        Concept("category", "animal"),
        Concept("colour", "red"),
        Concept("pattern", "striped"),
    }


def test_some_combinations_are_kept_from_the_painter() -> None:
    words = vocabulary()
    kept = set(world.held_out_combinations())
    every = len(words.objects) * len(words.colours) * len(words.patterns)
    assert every // 20 < len(kept) < every // 5
    for names in itertools.islice(kept, 5):
        assert world.kept_from_painter(*names)
    # What is kept away is the combination: each of its parts is met often enough.
    assert {colour for _, colour, _ in kept} == {colour.name for colour in words.colours}


def test_all_concepts_occur_in_the_probe_set() -> None:
    seen: set[Concept] = set()
    for index in range(300):
        seen |= world.picture(world.PROBE_SEED, index)[1].concepts()
    assert seen == set(vocabulary().concepts())
