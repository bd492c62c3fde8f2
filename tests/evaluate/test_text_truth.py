"""Truth in words: class names, and annotators who agree."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dnd_local.core.errors import UserError
from dnd_local.evaluate.planted_truth import read_truth
from dnd_local.evaluate.text_similarity import EmbeddingCosine
from dnd_local.evaluate.text_truth import classes_of_run, read_classes, reliable, retrieval
from dnd_local.store.weights import Weights


class TableEncoder:
    """Vectors given by hand."""

    def __init__(self, vectors: dict[str, list[float]]) -> None:
        self.vectors = vectors

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        found = np.array([self.vectors[text] for text in texts], dtype=np.float32)
        return found / np.linalg.norm(found, axis=1, keepdims=True)


def cosine(**vectors: list[float]) -> EmbeddingCosine:
    return EmbeddingCosine("CLIP cosine", "", TableEncoder(vectors))


def test_class_names_are_neurons_in_order(tmp_path: Path) -> None:
    path = tmp_path / "classes.txt"
    path.write_text("tench, Tinca tinca\ngoldfish\n")
    read = read_classes(path, "fc")
    assert [(r.layer, r.neuron, r.labels) for r in read.table.rows] == [
        ("fc", 0, ("tench, Tinca tinca",)),
        ("fc", 1, ("goldfish",)),
    ]


@pytest.mark.parametrize(("text", "message"), [("a\n\nb\n", "line 2 is empty"), ("\n", "is empty")])
def test_an_empty_class_name_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "classes.txt"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_classes(path)


def test_retrieval_counts_the_nearest_and_the_nearest_five() -> None:
    classes = [f"c{i}" for i in range(7)]
    circle = {c: [np.cos(i / 4), np.sin(i / 4)] for i, c in enumerate(classes)}
    labels = ["hit", "near", "far", *classes[3:]]
    vectors = circle | {"hit": circle["c0"], "near": circle["c3"], "far": [-1.0, -1.0]}
    found, ranks = retrieval(cosine(**vectors), labels, classes)
    assert ranks.tolist() == [0, 4, 4, 0, 0, 0, 0]  # c1 is as far from c3 as c5 is
    assert (found.top_1, found.top_5, found.classes) == (5 / 7, 1.0, 7)


def test_retrieval_agrees_with_sklearn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    texts = [f"t{i}" for i in range(60)]
    metric = cosine(**{text: list(rng.normal(size=3)) for text in texts})
    found, _ = retrieval(metric, texts[:30], texts[30:])
    similar = metric.matrix(texts[:30], texts[30:])
    for share, k in ((found.top_1, 1), (found.top_5, 5)):
        assert share == metrics.top_k_accuracy_score(np.arange(30), similar, k=k)


def test_classes_of_one_name_cannot_flatter() -> None:
    metric = cosine(a=[1.0, 0.0], b=[0.0, 1.0])
    found, _ = retrieval(metric, ["a", "a", "b"], ["a", "a", "b"])
    assert found.top_1 == pytest.approx(1 / 3)


def test_annotators_agree_if_any_two_do() -> None:
    metric = cosine(a=[1.0, 0.0], near=[0.9, 0.1], far=[0.0, 1.0], other=[-1.0, 0.0])
    notes = [("a", "far", "near"), ("a", "far", "other"), ("a",)]
    assert reliable(metric, notes, 0.81) == [True, False, False]


def run_about(root: Path, name: str, *layers: str) -> Any:
    config = SimpleNamespace(network=SimpleNamespace(name=name))
    record = SimpleNamespace(name="mine", config=config, neurons=dict.fromkeys(layers, (0,)))
    return SimpleNamespace(record=record, lab=SimpleNamespace(weights=Weights.open(root)))


def test_the_classes_are_those_of_the_weights(tmp_path: Path) -> None:
    rows = classes_of_run(run_about(tmp_path, "resnet50", "fc")).table.rows
    assert [row.labels for row in rows[:2]] == [("tench",), ("goldfish",)]
    assert len(rows) == 1000


@pytest.mark.parametrize("name", ["pocket", "pocket-odd"])
def test_the_classes_of_an_embedded_target_are_its_outputs(tmp_path: Path, name: str) -> None:
    run = run_about(tmp_path, name, "fc")
    rows = classes_of_run(run).table.rows
    planted = read_truth(run.lab, name).known("fc")
    assert len(rows) == 30
    assert {row.neuron: row.labels[0] for row in rows} == {i: c.name for i, c in planted.items()}


def test_the_classes_of_a_users_own_network_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"names of net\.py:make are not known.*truth mine FILE"):
        classes_of_run(run_about(tmp_path, "net.py:make", "fc"))


def test_a_run_without_the_last_layer_is_told_its_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the last layer of resnet50, fc; run 'mine' has layer4"):
        classes_of_run(run_about(tmp_path, "resnet50", "layer4"))


def test_weights_without_class_names_ask_for_them(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the weights of tile2vec bring no class names"):
        classes_of_run(run_about(tmp_path, "tile2vec", "fc"))
