"""Vectors of labels: embedded once a workspace, summed a neuron, compared by cosine."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from dnd_local.core.errors import UserError
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.label_vectors import (
    encoder_name,
    most_alike,
    neighbours,
    neuron_vectors,
    text_vectors,
)
from tests.bench import Bench


class Letters:
    """Embeds a text as the unit vector of how often it has a, b, c; counts what it is asked."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    def embed_texts(self, texts: list[str]) -> np.ndarray:
        self.asked.update(texts)
        counts = np.array([[t.count(c) for c in "abc"] for t in texts], dtype=np.float64)
        return (counts / np.linalg.norm(counts, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def letters() -> Letters:
    return Letters()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, letters: Letters) -> Bench:
    made = Bench(tmp_path / "work", monkeypatch)
    made.replaced["embedder"] = letters
    return made


def cache(bench: Bench) -> Path:
    (path,) = (bench.workspace / "cache").glob("label-vectors-*.safetensors")
    return path


def test_a_text_is_embedded_once_a_workspace(bench: Bench, letters: Letters) -> None:
    first = text_vectors(bench.lab(), ["a", "ab", "a"])
    assert first == pytest.approx(np.array([[1, 0, 0], [0.7071, 0.7071, 0], [1, 0, 0]]), abs=1e-4)
    again = bench.lab()
    assert text_vectors(again, ["ab", "c"])[0].tolist() == first[1].tolist()
    assert letters.asked == {"a": 1, "ab": 1, "c": 1}
    opened = bench.calls.opened["embedder"]
    text_vectors(bench.lab(), ["c", "a", "ab"])
    assert bench.calls.opened["embedder"] == opened


def test_nothing_to_embed_opens_nothing(bench: Bench) -> None:
    assert len(text_vectors(bench.lab(), [])) == 0
    assert neuron_vectors(bench.lab(), [(), ()]).shape == (2, 0)
    assert bench.calls.opened["embedder"] == 0


def test_a_damaged_cache_is_made_again(bench: Bench, letters: Letters) -> None:
    whole = text_vectors(bench.lab(), ["a", "b"])
    data = cache(bench).read_bytes()
    for damaged in (b"", data[:-1], data[:-1] + bytes([data[-1] ^ 1]), b"not a file at all"):
        cache(bench).write_bytes(damaged)
        assert text_vectors(bench.lab(), ["a", "b"]).tolist() == whole.tolist()
    assert letters.asked == {"a": 5, "b": 5}


def test_other_weights_or_settings_have_their_own_vectors(bench: Bench, letters: Letters) -> None:
    text_vectors(bench.lab(), ["a"])
    text_vectors(bench.lab(clip={"model": "other"}), ["a"])
    assert letters.asked == {"a": 2}


def test_text_that_is_not_utf_8_is_embedded_all_the_same(bench: Bench) -> None:
    assert text_vectors(bench.lab(), ["a\ud800", "a"]).tolist() == [[1, 0, 0], [1, 0, 0]]


def test_without_weights_it_says_so(
    bench: Bench, letters: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    text_vectors(bench.lab(), ["a"])

    def refuse(*_: object, **__: object) -> None:
        raise UserError("no weights of clip; get them")

    monkeypatch.setattr(Lab, "require", refuse)
    assert len(text_vectors(bench.lab(), ["a"])) == 1
    with pytest.raises(UserError, match="no weights of clip"):
        text_vectors(bench.lab(), ["a", "b"])


def test_a_neurons_vector_is_that_of_its_labels_the_first_most(bench: Bench) -> None:
    vectors = neuron_vectors(bench.lab(), [("a", "b", "c", "c"), ("b",), ()])
    wanted = np.array([3, 2, 1]) / np.sqrt(14)
    assert vectors == pytest.approx(np.array([wanted, [0, 1, 0], [0, 0, 0]]), abs=1e-6)


def test_the_most_alike_come_first_ties_to_the_lower_row() -> None:
    rows = np.array([[1, 0], [0, 1], [0.6, 0.8], [0, 1], [0, 0]], dtype=np.float32)
    indices, cosines = most_alike(np.array([[0, 1], [0, 0]], dtype=np.float32), rows, 6)
    assert indices.tolist() == [[1, 3, 2, 0, -1, -1], [-1] * 6]
    assert cosines[0] == pytest.approx([1, 1, 0.8, 0, 0, 0])
    assert cosines[1].tolist() == [0] * 6


def test_the_neighbours_of_a_row_are_others() -> None:
    rows = np.array([[1, 0], [0.6, 0.8], [0, 0], [1, 0], [1, 0]], dtype=np.float32)
    indices, _ = neighbours(rows, 2)
    assert indices.tolist() == [[3, 4], [0, 3], [-1, -1], [0, 4], [0, 3]]
    assert neighbours(rows[:1], 3)[0].tolist() == [[-1, -1, -1]]


def test_thousands_of_rows_are_compared_in_blocks() -> None:
    rows = np.random.default_rng(0).standard_normal((1100, 8)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    indices, cosines = neighbours(rows, 3)
    whole = rows @ rows.T
    np.fill_diagonal(whole, -2)
    assert indices[1000].tolist() == np.argsort(-whole[1000])[:3].tolist()
    assert cosines[1000] == pytest.approx(np.sort(whole[1000])[::-1][:3])


def test_the_encoder_has_a_name(bench: Bench) -> None:
    assert encoder_name(bench.lab(clip={"model": "mine"})) == "mine"
