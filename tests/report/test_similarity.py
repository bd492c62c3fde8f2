"""Likeness of labels without a model, and the map."""

from __future__ import annotations

import numpy as np

from dnd_local.report.similarity import label_vectors, layout, neighbours

LABELS = [["red dog", "dog"], ["red dogs"], ["blue sky"], [], ["sky, cloudy"], ["dog", "animal"]]


def test_rows_are_unit_or_empty() -> None:
    norms = np.linalg.norm(np.asarray(label_vectors(LABELS).todense()), axis=1)
    np.testing.assert_allclose(norms, [1, 1, 1, 0, 1, 1])


def test_neighbours_share_words_even_inflected() -> None:
    near, cosines = neighbours(label_vectors(LABELS), 2)
    assert set(near[0]) == {1, 5}
    assert near[2][0] == 4
    assert (np.diff(cosines, axis=1) <= 0).all()
    assert cosines.max() < 1


def test_a_neuron_without_a_label_is_nobodys_neighbour() -> None:
    near, cosines = neighbours(label_vectors(LABELS), 5)
    assert (near[3] == -1).all()
    assert not cosines[3].any()
    assert 3 not in near
    assert all(i not in own for i, own in enumerate(near))


def test_neighbours_agree_with_all_pairs() -> None:
    generator = np.random.default_rng(1)
    words = ["red", "dog", "old", "sky", "tree", "wet"]
    labels = [[" ".join(generator.choice(words, 2))] for _ in range(600)]
    vectors = label_vectors(labels)
    every = np.asarray((vectors @ vectors.T).todense())
    np.fill_diagonal(every, -1)
    _, cosines = neighbours(vectors, 3)
    np.testing.assert_allclose(cosines, -np.sort(-every, axis=1)[:, :3])


def test_fewer_neurons_than_neighbours() -> None:
    near, _ = neighbours(label_vectors([["dog"]]), 6)
    assert near.shape == (1, 0)
    near, _ = neighbours(label_vectors([["dog"], ["dogs"]]), 6)
    assert near.tolist() == [[1], [0]]


def test_the_map_is_in_the_square_and_the_same_again() -> None:
    vectors = label_vectors([[f"{a} {b}"] for a in ("red", "blue") for b in ("dog", "sky", "car")])
    places = layout(vectors)
    assert ((places >= 0) & (places <= 1)).all()
    np.testing.assert_array_equal(places, layout(vectors))
    assert not np.array_equal(places, layout(vectors, seed=1))


def test_like_labels_lie_closer_than_others() -> None:
    labels = [["furry dog"]] * 15 + [["blue sky"]] * 15 + [["stone bridge"]] * 15
    places = layout(label_vectors(labels)).reshape(3, 15, 2)
    centres = places.mean(axis=1)
    inside = np.linalg.norm(places - centres[:, None], axis=2).mean()
    between = np.linalg.norm(centres[:, None] - centres[None], axis=2).sum() / 6
    assert inside < between / 2


def test_maps_of_hardly_anything() -> None:
    assert layout(label_vectors([])).shape == (0, 2)
    assert layout(label_vectors([["dog"]])).tolist() == [[0.25, 0.5]]
    assert layout(label_vectors([[], [], []])).tolist() == [[0.5, 0.5]] * 3


def test_neurons_without_a_label_do_not_move_the_map() -> None:
    labels = [["red dog"], ["red cat"], ["blue sky"], ["sky"]]
    alone = layout(label_vectors(labels))
    among = layout(label_vectors([*labels, *[[]] * 40]))[:4]
    assert ((among.max(axis=0) - among.min(axis=0)) > 0.5).all()
    assert alone.shape == among.shape
