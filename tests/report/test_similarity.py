"""The map of neurons by the vectors of their labels."""

from __future__ import annotations

import numpy as np

from dnd_local.pipeline.label_vectors import Vectors
from dnd_local.report.similarity import layout


def unit(rows: list[list[float]]) -> Vectors:
    values = np.array(rows, dtype=np.float32).reshape(len(rows), -1)
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(values / np.where(norms > 0, norms, 1), dtype=np.float32)


SOME = unit([[1, 0, 0.1], [1, 0.2, 0], [0, 1, 0], [0.1, 1, 0.3], [0, 0, 1], [0.3, 0.2, 1]])


def test_the_map_is_in_the_square_and_the_same_again() -> None:
    places = layout(SOME)
    assert ((places >= 0) & (places <= 1)).all()
    np.testing.assert_array_equal(places, layout(SOME))
    assert not np.array_equal(places, layout(SOME, seed=1))


def test_like_labels_lie_closer_than_others_though_many_are_equal() -> None:
    places = layout(np.repeat(unit([[1, 0, 0.6], [0, 1, 0.6], [1, 1, 0]]), 15, axis=0))
    groups = places.reshape(3, 15, 2)
    centres = groups.mean(axis=1)
    inside = np.linalg.norm(groups - centres[:, None], axis=2).mean()
    between = np.linalg.norm(centres[:, None] - centres[None], axis=2).sum() / 6
    assert inside < between / 2
    assert len(np.unique(places, axis=0)) == len(places)


def test_maps_of_hardly_anything() -> None:
    assert layout(np.zeros((0, 0), np.float32)).shape == (0, 2)
    assert layout(SOME[:1]).tolist() == [[0.25, 0.5]]
    assert layout(np.zeros((3, 0), np.float32)).tolist() == [[0.5, 0.5]] * 3


def test_neurons_without_a_label_do_not_move_the_map() -> None:
    alone = layout(SOME)
    among = layout(np.concatenate([SOME, np.zeros((40, 3), np.float32)]))
    np.testing.assert_array_equal(among[: len(SOME)], alone)
    assert (among[len(SOME) :] == 0.5).all()
