"""Verdicts kept with a run: what was written comes back, and only about labels that still stand."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from dnd_local.core.descriptions import Description, Label
from dnd_local.core.errors import DamagedFile
from dnd_local.core.records import Neuron
from dnd_local.evaluate.verdicts import (
    FILE,
    LEGEND,
    RULINGS,
    Judged,
    Ruling,
    Verdict,
    Verdicts,
    counts,
    read_verdicts,
    write_verdicts,
)
from dnd_local.store.runs import RunFolder

LABELS = ("dog", "=2+3", "'=x", 'a, "b"\nc', "<script>", "-1", "'tis")


def verdict(neuron: int, label: str = "dog", ruling: Ruling = "supported") -> Verdict:
    measures = (
        Judged("correlation", 0.5, 0.4, 0.6, 0.0, 0.2, float("nan"), 0.975),
        Judged("f1", 0.25, 0.1, 0.5, 0.0, 0.3, 0.0, 0.5),
    )
    return Verdict('../la yer"<b>', neuron, label, ruling, 0.975, measures, 0.875)


def described(own: Verdict, *labels: str) -> Description:
    texts = tuple(Label(text, 1.0) for text in labels)
    neuron = Neuron("net", own.layer, own.neuron)
    return Description(neuron, "described" if labels else "dead", texts, "mean")


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path, "mine")


def test_what_was_written_comes_back(run: RunFolder) -> None:
    written = [verdict(i, text) for i, text in enumerate(LABELS)]
    write_verdicts(run, written)
    kept = read_verdicts(run.folder)
    assert len(kept.by_neuron) == len(LABELS)
    found = kept.on([described(own, own.label, "second") for own in written])
    assert [own.neuron for own in found] == list(range(len(LABELS)))
    first, also = found[0].measures
    assert (first.measure, first.value, first.percentile) == ("correlation", 0.5, 0.975)
    assert math.isnan(first.word)
    assert found[0].reach == 0.875
    assert (also.measure, also.low, also.high) == ("f1", 0.1, 0.5)
    assert found[0] != written[0]  # NaN is not itself
    assert found[0].record().keys() == written[0].record().keys()


def test_a_verdict_is_about_the_label_it_was_given(run: RunFolder) -> None:
    own = verdict(3)
    write_verdicts(run, [own])
    kept = read_verdicts(run.folder)
    assert kept.of(described(own, "dog")) is not None
    assert kept.of(described(own, "puppy", "dog")) is None
    assert kept.of(described(own)) is None
    assert kept.of(described(verdict(4), "dog")) is None


def test_a_file_of_before_there_was_a_reach_is_read(run: RunFolder) -> None:
    run.write_bytes(FILE, b"layer,neuron,label,verdict,support\nfc,0,dog,weak,0.5\n")
    assert math.isnan(read_verdicts(run.folder).by_neuron["fc", 0].reach)


def test_a_run_that_was_never_judged_has_none(run: RunFolder) -> None:
    kept = read_verdicts(run.folder)
    assert kept == Verdicts()
    assert kept.on([described(verdict(0), "dog")]) == ()


@pytest.mark.parametrize(
    "text",
    [
        b"\xff\xfe",
        b"layer,neuron\nfc,0\n",
        b"layer,neuron,label,verdict,support\nfc,x,dog,weak,0.5\n",
        b"layer,neuron,label,verdict,support\nfc,0,dog,splendid,0.5\n",
        b"layer,neuron,label,verdict,support\nfc,0\n",
        b"layer,neuron,label,verdict,support,f1_percentile\nfc,0,dog,weak,0.5,1\n",
    ],
)
def test_another_file_in_its_place_is_named_with_the_cure(run: RunFolder, text: bytes) -> None:
    run.write_bytes(FILE, text)
    with pytest.raises(DamagedFile, match=r"verdicts\.csv .*judge again: dnd-local evaluate mine"):
        read_verdicts(run.folder)


def test_a_changed_or_foreign_file_is_never_believed(run: RunFolder) -> None:
    write_verdicts(run, [verdict(0, ruling="weak")])
    path = run.folder / FILE
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"weak", b"supported"))
    with pytest.raises(DamagedFile, match=r"it was changed.*judge again: dnd-local evaluate mine"):
        read_verdicts(run.folder)
    path.write_bytes(whole)
    moved = run.folder.with_name("other")
    run.folder.rename(moved)
    with pytest.raises(DamagedFile, match="its checksum does not fit"):
        read_verdicts(moved)


def test_every_ruling_has_a_word_and_every_word_a_meaning() -> None:
    words = [verdict(0, ruling=ruling).word for ruling in RULINGS]
    assert words == ["supported", "weak", "abstained"] == list(LEGEND)
    found = counts([verdict(0), verdict(1, ruling="weak"), verdict(2)])
    assert list(found.values()) == [2, 1, 0]
