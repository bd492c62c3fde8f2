"""The release's tables from small files of the same shapes, by hand-made vectors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dnd_local.core.errors import UserError
from dnd_local.evaluate import reproduce
from dnd_local.evaluate.metric_opening import Opened
from dnd_local.evaluate.ratings import scoring_rules
from dnd_local.evaluate.release_files import join, read_release
from dnd_local.evaluate.reproduce import (
    LETTERS,
    as_published,
    captioner_swap,
    last_layer,
    milannotations,
)
from dnd_local.evaluate.tables import ReadTable
from dnd_local.evaluate.text_similarity import EmbeddingCosine, TokenF1
from dnd_local.evaluate.text_truth import read_classes


class WordEncoder:
    """One axis a word, scaled to length 1: a cosine one can compute by hand."""

    def __init__(self) -> None:
        self.axes: dict[str, int] = {}

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        found = np.zeros((len(texts), 40), dtype=np.float32)
        for i, text in enumerate(texts):
            for word in text.split():
                found[i, self.axes.setdefault(word, len(self.axes))] = 1
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)


def opened(name: str = "CLIP cosine") -> Opened:
    return Opened((EmbeddingCosine(name, "words", WordEncoder()), TokenF1()), ())


def table(folder: Path, name: str, text: str) -> ReadTable:
    path = folder / name
    path.write_text(text)
    return read_release(str(path))


def test_last_layer_has_similarity_null_constant_and_retrieval(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("red fish\nblue bird\nanimal\n")
    dnd = table(tmp_path, "x_fc.csv", "Neuron ID,label\n0,red fish\n1,blue sky\n2,red sky\n")
    classes = read_classes(tmp_path / "classes.txt")
    figure, f1 = last_layer(classes, [dnd], opened().metrics)
    assert (figure.describer, figure.metric, figure.published) == ("DnD", "CLIP cosine", None)
    assert figure.matched.value == pytest.approx((1 + 0.5 + 0) / 3)
    assert figure.null == pytest.approx((0 + 0 + (0.5 + 0) / 2) / 3)
    assert dict(figure.constants)["animal"] == pytest.approx(1 / 3)
    assert figure.retrieval is not None
    assert figure.retrieval.top_1 == pytest.approx(2 / 3)
    assert f1.retrieval is None
    assert figure.record()["top_1"] == pytest.approx(2 / 3)


def test_without_every_class_there_is_no_retrieval(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("a\nb\nc\n")
    dnd = table(tmp_path, "x_fc.csv", "Neuron ID,label\n0,a\n1,b\n")
    (figure, _) = last_layer(read_classes(tmp_path / "classes.txt"), [dnd], opened().metrics)
    assert figure.retrieval is None
    assert figure.record()["top_1"] is None


def test_a_published_figure_stands_only_beside_its_own_case(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(reproduce.PUBLISHED_NEURONS, "last-layer", 2)
    (tmp_path / "classes.txt").write_text("a\nb\n")
    dnd = table(tmp_path, "x_fc.csv", "Neuron ID,label\n0,a\n1,b\n")
    (figure, _) = last_layer(read_classes(tmp_path / "classes.txt"), [dnd], opened().metrics)
    assert figure.published == 0.7598


PEOPLE = """layer,unit,summary
layer1,0,red dots
layer1,0,red dots
layer1,0,sky
layer1,1,cars
layer1,1,trees
layer1,1,snow
layer2,0,blue sky
layer2,0,objects
layer2,0,blue sky
layer2,9,not described
"""


def test_annotations_are_held_against_the_neurons_people_agree_on(tmp_path: Path) -> None:
    people = table(tmp_path, "people.csv", PEOPLE)
    dnd = join(
        [
            table(tmp_path, "d_layer1.csv", "Neuron ID,Label 1\n0,red dots\n1,cars\n"),
            table(tmp_path, "d_layer2.csv", "Neuron ID,Label 1\n0,blue sky\n"),
        ]
    )
    milan = table(
        tmp_path, "m_x.csv", "layer,unit,description\nlayer1,0,sky\nlayer1,1,x\nlayer2,0,objects\n"
    )
    figures = milannotations(people, [*dnd, milan], opened())
    ours, _, theirs, _ = figures
    assert (ours.describer, theirs.describer) == ("DnD", "MILAN")
    assert ours.matched.n == 2  # layer1 unit 1 has three annotators of three minds
    assert ours.matched.value == pytest.approx(2 / 3)
    assert theirs.matched.value == pytest.approx(1 / 3)
    assert dict(ours.constants)["objects"] == pytest.approx(1 / 6)
    every = milannotations(people, [*dnd, milan], opened("mpnet cosine"), above=None)
    assert every[0].matched.n == 3


def test_the_published_figures_compare_letter_by_letter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = table(tmp_path, "people.csv", "layer,unit,summary\nl,0,ab\nl,0,a\nl,1,b c\n")
    dnd = table(tmp_path, "d.csv", "describer,target,layer,neuron,status,label_1,label_2,label_3\n"
                "DnD,x,l,0,described,a,,\nDnD,x,l,1,described,b c,,\n")  # fmt: skip
    monkeypatch.setitem(reproduce.PUBLISHED_NEURONS, "milannotations", 2)
    every = as_published(opened("mpnet cosine"))
    figures = milannotations(people, [dnd], every, above=None)
    (letters,) = [figure for figure in figures if figure.metric == LETTERS]
    # Of "ab" and "a": half the letters of one are the label, and the only one of the other. Of
    # "b c" each letter is at 45 degrees to the label "b c", and the blank has no word at all.
    assert letters.matched.value == pytest.approx(((0.5 + 1) / 2 + 2 / 3 / np.sqrt(2)) / 2)
    assert letters.published == 0.109
    with pytest.raises(UserError, match="give --metric mpnet"):
        as_published(opened())


def test_no_neuron_to_agree_on_and_no_clip_to_tell_are_refused(tmp_path: Path) -> None:
    people = table(tmp_path, "people.csv", PEOPLE)
    dnd = table(tmp_path, "d_layer1.csv", "Neuron ID,Label 1\n1,cars\n")
    with pytest.raises(UserError, match="of 1 neurons, two annotators agree above"):
        milannotations(people, [dnd], opened())
    with pytest.raises(UserError, match="is told by CLIP"):
        milannotations(people, [dnd], opened("mpnet cosine"))


def test_captioner_swap_has_matched_and_unmatched(tmp_path: Path) -> None:
    left = table(tmp_path, "a-Layer4.csv", "Neuron ID,Label 1\n1,red dots\n2,sky\n3,only left\n")
    right = table(tmp_path, "b-Layer4.csv", "Neuron ID,Label 1\n1,red dots\n2,blue sky\n")
    figure, _ = captioner_swap(left, right, opened().metrics)
    assert figure.matched.value == pytest.approx((1 + 1 / np.sqrt(2)) / 2)
    assert (figure.null, figure.constants) == (0, ())


RATINGS = "Layer,Unit," + ",".join(
    f"{rule} {rater} Rating"
    for rater in ("E1", "E2")
    for rule in ("Mean Caption", "Topk-Sq", "Image-Products", "Topk-Compare")
)


def test_ratings_average_raters_and_units(tmp_path: Path) -> None:
    path = tmp_path / "ratings.csv"
    path.write_text(f"{RATINGS}\n1,0,1,2,5,4,3,2,5,4\n1,1,1,1,4,2,1,1,4,2\n")
    found = scoring_rules(path)
    by_rule = {own.rule: own for own in found.rules}
    assert by_rule["mean"].rating.value == pytest.approx(1.5)
    assert by_rule["image-products"].rating.value == pytest.approx(4.5)
    against = by_rule["image-products"].against_chosen
    assert against is not None
    assert against.difference.value == pytest.approx(1.5)
    assert by_rule["topk-compare"].against_chosen is None
    assert by_rule["mean"].published is None
    assert found.random_rule == pytest.approx(np.mean([1.5, 1.5, 4.5, 3.0]))
    assert by_rule["mean"].record()["minus_topk_compare"] == pytest.approx(-1.5)


def test_raters_who_rank_alike_correlate_fully(tmp_path: Path) -> None:
    path = tmp_path / "ratings.csv"
    path.write_text(f"{RATINGS}\n1,0,1,2,5,4,1,2,5,4\n1,1,1,2,4,3,1,2,4,3\n")
    assert scoring_rules(path).rater_agreement == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "no column"),
        (f"{RATINGS}\n1,0,1,2,6,4,1,2,5,4\n", "is '6', not 1 to 5"),
        (f"{RATINGS}\n{'x' * 200_000}\n", "field larger"),
    ],
)
def test_other_rating_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "ratings.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        scoring_rules(path)
