"""Neurons on one page in one file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dnd_local.core.errors import Refused
from dnd_local.pipeline.reading import StoredRun, open_run
from dnd_local.report import single
from dnd_local.report.shelf import SIDE
from dnd_local.report.single import write_single
from tests.bench import Bench
from tests.report.conftest import Desk
from tests.report.synthetic import HOSTILE
from tests.report.test_site import Page


def test_everything_lies_in_the_file(judged: StoredRun, tmp_path: Path) -> None:
    chosen = [judged.neuron("2"), judged.neuron("0"), judged.neuron("3")]
    page = write_single(judged, tmp_path / "page.html", chosen)
    text = page.path.read_text(encoding="utf-8")
    assert (page.neurons, page.side, page.missing) == (3, SIDE, 0)
    assert page.size == page.path.stat().st_size
    addresses = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert addresses
    assert all(a.startswith(("data:", "#")) for a in addresses)
    titles = re.findall(r"<h1><bdi>([^<]*)</bdi></h1>", text)
    assert titles == [
        (d.labels[0].text if d.labels else d.reason)
        for d in (judged.evidence_of(neuron).description for neuron in chosen)
    ]
    assert "Does the label predict the neuron?" in text
    ids = re.findall(r' id="([^"]*)"', text)
    assert len(ids) == len(set(ids))
    assert {a[1:] for a in addresses if a.startswith("#")} <= set(ids)


def test_hostile_texts_stay_text(desk: Desk, tmp_path: Path) -> None:
    page = write_single(desk.hostile, tmp_path / "page.html")
    text = page.path.read_text(encoding="utf-8")
    assert page.neurons == 5
    assert text.count("<script>") == 1
    read = Page(page.path)
    assert not any(name.startswith("on") for _, own in read.elements for name in own)
    assert [tag for tag, _ in read.elements].count("script") == 1
    assert HOSTILE[0] in read.text
    assert HOSTILE[0] not in text


def test_pictures_get_smaller_until_the_page_is_small_enough(
    own: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own.run("0-2", name="one")
    run = open_run("one", own.workspace)
    tried = []

    def page(run: StoredRun, neurons: object, side: int) -> tuple[bytes, int]:
        tried.append(side)
        return bytes(side), 2

    monkeypatch.setattr(single, "_page", page)
    monkeypatch.setattr(single, "LARGEST", 250)
    made = write_single(run, tmp_path / "page.html")
    assert (made.side, made.size, made.missing) == (224, 224, 2)
    assert tried == [SIDE, 320, 224]
    monkeypatch.setattr(single, "LARGEST", 100)
    with pytest.raises(Refused, match="name fewer with --neurons"):
        write_single(run, tmp_path / "other.html")
    assert not (tmp_path / "other.html").exists()


def test_only_a_page_of_ours_is_written_over(desk: Desk, tmp_path: Path) -> None:
    neurons = [desk.plain.neuron("0")]
    path = write_single(desk.plain, tmp_path / "page.html", neurons).path
    assert write_single(desk.plain, path, neurons).path == path
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(Refused, match="is no page of a report"):
        write_single(desk.plain, tmp_path / "thesis.txt", neurons)
    with pytest.raises(Refused, match="is a folder; name a file"):
        write_single(desk.plain, tmp_path, neurons)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
