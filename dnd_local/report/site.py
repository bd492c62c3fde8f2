"""The report of a run as a folder of plain files: open ``index.html``, no server, no network."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from dnd_local.core.cards import Card
from dnd_local.core.descriptions import SAME_CONCEPT, Description
from dnd_local.core.errors import Refused, UserError
from dnd_local.core.records import Neuron
from dnd_local.core.sequences import distinct
from dnd_local.evaluate.comparisons import Compared, Recalled, compared_run, recall
from dnd_local.evaluate.exports import records_csv
from dnd_local.evaluate.matching import match
from dnd_local.evaluate.verdicts import Verdict, read_verdicts
from dnd_local.pipeline.describing import read_scores
from dnd_local.pipeline.evidence import gather_evidence
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.label_vectors import (
    Vectors,
    encoder_name,
    neighbours,
    neuron_vectors,
    text_vectors,
)
from dnd_local.pipeline.reading import StoredRun
from dnd_local.pipeline.session import Progress, Quiet
from dnd_local.report.cards import CardView, card_of, page_of
from dnd_local.report.compare_view import compare_view
from dnd_local.report.gather import exemplar_blobs, histograms, ranges
from dnd_local.report.groups_view import GroupsView, groups_view
from dnd_local.report.neuron_view import Neighbour, NeuronView, neuron_view
from dnd_local.report.pages import STATIC, render
from dnd_local.report.run_view import run_view
from dnd_local.report.searching import SEARCHED, search_script, searched_texts
from dnd_local.report.shelf import Shelf, write_whole
from dnd_local.report.similarity import layout
from dnd_local.store.outputs import candidates_csv, description_files, descriptions_jsonl

STAGE: Final = "report"
NEIGHBOURS: Final = 10
_MARK: Final = "assets/report.js"
"""A folder that holds it is a site of ours and may be written over."""


@dataclass(frozen=True, slots=True)
class Site(Card):
    """A written report; `missing` counts pictures that are not on disk any more.

    `left_out` has a line for each describer that the run was compared with and no longer can be.
    """

    folder: Path
    index: Path
    neurons: int
    pictures: int
    missing: int
    left_out: tuple[str, ...] = ()


def build_site(
    run: StoredRun,
    out: Path | None = None,
    others: Sequence[Compared] | None = None,
    progress: Progress | None = None,
    group_above: float = SAME_CONCEPT,
) -> Site:
    """Write the report of a run, everything that is there of it, and return where it is.

    Written again, only new pictures are converted.

    Args:
        run: the run.
        out: the site's folder; ``report`` in the run's own by default.
        others: other describers, for a page that compares them with the run; by default those
            that the run remembers.
        progress: who is told how far it is.
        group_above: the least cosine of two labels that the groups page joins.

    Raises:
        Refused: `out` holds something that is not a report.
        UserError: `others` and the run have no neuron in common.
    """
    folder = (out or run.folder.folder / "report").absolute()
    check_folder(folder)
    watch, lab, index = progress or Quiet(), run.lab, folder / "index.html"
    compared, left_out = _with_others(run, others)
    descriptions, classes = run.descriptions(), run.triages()
    verdicts = read_verdicts(run.folder.folder)
    blobs = exemplar_blobs(run)
    vectors, of_labels, unlike = _meanings(lab, descriptions)
    watch.start(STAGE, len(descriptions), len(descriptions))
    copy_static(folder)
    with closing(Shelf(folder, lab.blobs, lab.probe, lab.config.ledger, _workers())) as shelf:
        cards = [
            card_of(d, classes[d.neuron.layer].neurons[d.neuron.index],
                    blobs.by_neuron.get(d.neuron, ()), shelf, verdicts.of(d))
            for d in descriptions
        ]  # fmt: skip
        pages = _NeuronPages(folder, run, cards, vectors)
        neurons = [d.neuron for d in descriptions]
        counted, ranged = histograms(run, neurons, classes), ranges(run, neurons)
        texts = []
        for place, evidence in enumerate(gather_evidence(run.lab, descriptions, classes)):
            texts.append(searched_texts(evidence))
            counts, images = counted.get(evidence.neuron), ranged.get(evidence.neuron, ())
            shared = (shelf, lab.blobs, blobs.whole)
            pages.write(neuron_view(evidence, cards[place], counts, images, *shared), place)
            watch.advance(STAGE, 1)
    write_whole(folder / SEARCHED, search_script(texts))
    _compare(folder, run, cards, compared, left_out)
    groups = _groups(folder, run, groups_view(descriptions, cards, of_labels, group_above))
    downloads = _downloads(folder, run, descriptions, verdicts.on(descriptions), groups)
    view = run_view(run, cards, None if unlike else layout(vectors))
    _write(index, render(
        "run.html", run=view, root="", compared=bool(compared), groups=groups, unlike=unlike,
        missing=shelf.missing, encoder=encoder_name(lab), downloads=downloads,
    ))  # fmt: skip
    watch.finish(STAGE, 0.0)
    return Site(folder, index, len(cards), shelf.pictures, shelf.missing, left_out)


def _workers() -> int:
    return min(os.cpu_count() or 1, 8)


def _meanings(
    lab: Lab, descriptions: Sequence[Description]
) -> tuple[Vectors, Mapping[str, Vectors], str]:
    """Return a vector a neuron and one a first label.

    The third is why there are none, where the text encoder is not here.
    """
    firsts = distinct(d.labels[0].text for d in descriptions if d.labels)
    try:
        vectors = neuron_vectors(lab, [[label.text for label in d.labels] for d in descriptions])
        return vectors, dict(zip(firsts, text_vectors(lab, firsts), strict=True)), ""
    except UserError as error:
        return np.zeros((len(descriptions), 0), dtype=np.float32), {}, str(error)
    finally:
        lab.close()


class _NeuronPages:
    """The neurons' pages, each with links to those before, after and like it."""

    def __init__(
        self, folder: Path, run: StoredRun, cards: Sequence[CardView], vectors: Vectors
    ) -> None:
        self._folder, self._record, self._cards = folder, run.record, cards
        self._pages = {card.page for card in cards}
        self._near = neighbours(vectors, NEIGHBOURS)
        self._encoder = encoder_name(run.lab)

    def write(self, view: NeuronView, place: int) -> None:
        """Write the page of the neuron that is `place` in the run's order."""
        cards, neuron, twin = self._cards, view.card.neuron, view.evidence.triage.twin
        twin_page = "" if twin is None else page_of(Neuron(neuron.target, neuron.layer, twin))
        page = render(
            "neuron.html",
            view=view,
            like=self._like(place),
            encoder=self._encoder,
            run_name=self._record.name,
            config=self._record.config,
            before=cards[place - 1] if place else None,
            after=cards[place + 1] if place + 1 < len(cards) else None,
            place=place + 1,
            of=len(cards),
            twin_page=twin_page if twin_page in self._pages else "",
            root="../",
        )
        _write(self._folder / view.card.page, page)

    def _like(self, place: int) -> list[Neighbour]:
        pairs = zip(*(near[place].tolist() for near in self._near), strict=True)
        return [Neighbour(self._cards[j], cosine) for j, cosine in pairs if j >= 0]


def check_folder(folder: Path) -> None:
    """Check that a site may be written into a folder.

    Raises:
        Refused: it is a file, or holds something that is not a report.
    """
    if folder.exists() and not folder.is_dir():
        raise Refused(f"{folder} is a file; name a folder for the report")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / _MARK).exists():
        raise Refused(f"{folder} holds other files than a report; name a new or empty folder")


def copy_static(folder: Path) -> None:
    """Copy style and script into a site; the script first, which marks the folder as ours."""
    for source in sorted(STATIC.iterdir(), key=lambda path: path.name != Path(_MARK).name):
        write_whole(folder / "assets" / source.name, source.read_bytes())


def _with_others(
    run: StoredRun, others: Sequence[Compared] | None
) -> tuple[tuple[Compared, ...], tuple[str, ...]]:
    """Return the run and those it is compared with, none if with nobody, and what is left out.

    Raises:
        UserError: `others` and the run have no neuron in common.
    """
    recalled = recall(run) if others is None else Recalled(tuple(others), ())
    if not recalled.others:
        return (), recalled.left_out
    compared = (compared_run(run), *recalled.others)
    try:
        match([describer.table for describer in compared])
    except UserError as error:
        if others is not None:
            raise
        return (), (*recalled.left_out, f"No comparison: {error}")
    return compared, recalled.left_out


def _compare(
    folder: Path,
    run: StoredRun,
    cards: Sequence[CardView],
    compared: Sequence[Compared],
    left_out: Sequence[str],
) -> None:
    """Write the compare page, or take away one of other times."""
    if not compared:
        (folder / "compare.html").unlink(missing_ok=True)
        return
    by_neuron = {(card.neuron.layer, card.neuron.index): card for card in cards}
    view = compare_view(compared, by_neuron)
    page = render("compare.html", view=view, run_name=run.record.name, left_out=left_out, root="")
    _write(folder / "compare.html", page)


def _groups(folder: Path, run: StoredRun, view: GroupsView | None) -> GroupsView | None:
    """Write the groups page, or take away one of other times; return what it shows."""
    if view is None:
        (folder / "groups.html").unlink(missing_ok=True)
        return None
    encoder = encoder_name(run.lab)
    page = render("groups.html", view=view, run_name=run.record.name, encoder=encoder, root="")
    _write(folder / "groups.html", page)
    return view


def _downloads(
    folder: Path,
    run: StoredRun,
    descriptions: Sequence[Description],
    verdicts: Sequence[Verdict],
    groups: GroupsView | None,
) -> tuple[str, ...]:
    """Write the tables that the run page offers, their cells safe for spreadsheets."""
    files = {
        re.sub(r"[^A-Za-z0-9._-]", "_", name): data
        for name, data in description_files(descriptions).items()
    }
    files["candidates.csv"] = candidates_csv(read_scores(run.lab, run.record))
    files["descriptions.jsonl"] = descriptions_jsonl(descriptions)
    if verdicts:
        rows = [verdict.record() for verdict in verdicts]
        files["verdicts.csv"] = records_csv(rows).encode("utf-8")
    for name, records in (groups.tables if groups else {}).items():
        files[name] = records_csv(records).encode("utf-8")
    shutil.rmtree(folder / "data", ignore_errors=True)
    for name, data in files.items():
        write_whole(folder / "data" / name, data)
    return tuple(files)


def _write(path: Path, page: str) -> None:
    # A lone surrogate in a file's name cannot be UTF-8; it must not cost the page.
    write_whole(path, page.encode("utf-8", "replace"))
