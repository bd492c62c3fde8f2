"""Neurons on one page in one file, to be passed on: style, script and pictures lie in it."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dnd_local.core.amounts import size_text
from dnd_local.core.cards import Card
from dnd_local.core.errors import Refused
from dnd_local.core.records import Neuron
from dnd_local.evaluate.verdicts import read_verdicts
from dnd_local.pipeline.evidence import gather_evidence
from dnd_local.pipeline.reading import StoredRun
from dnd_local.report.cards import card_of
from dnd_local.report.gather import exemplar_blobs, histograms, ranges
from dnd_local.report.neuron_view import NeuronView, neuron_view
from dnd_local.report.pages import STATIC, render
from dnd_local.report.shelf import SIDE, InlineShelf
from dnd_local.store.files import write_atomic

LARGEST: Final = 10_000_000
"""Bytes of a page that can be passed on: what mail takes."""

SIDES: Final = (SIDE, 320, 224, 160, 112)
"""Longest sides of pictures that are tried, until the page is small enough."""

_OURS: Final = b'content="dnd-local'


@dataclass(frozen=True, slots=True)
class Inline(Card):
    """Style and script as they stand in the page, with the digests that its policy allows."""

    style: str
    script: str

    @property
    def style_digest(self) -> str:
        return _digest(self.style)

    @property
    def script_digest(self) -> str:
        return _digest(self.script)


@dataclass(frozen=True, slots=True)
class SinglePage(Card):
    """A written page; `side` is the longest side of its pictures, `missing` counts lost ones."""

    path: Path
    neurons: int
    size: int
    side: int
    missing: int


def write_single(run: StoredRun, path: Path, neurons: Sequence[Neuron] = ()) -> SinglePage:
    """Write neurons of a run as one page in one file and return what it came to.

    Args:
        run: the run.
        path: the file; an earlier page is written over.
        neurons: which; all of the run by default.

    Raises:
        Refused: `path` holds something else, or the page would be larger than `LARGEST`.
    """
    check_file(path)
    for side in SIDES:
        page, missing = _page(run, neurons, side)
        if len(page) <= LARGEST:
            write_atomic(path, page)
            count = len(neurons) or len(run.record.wanted())
            return SinglePage(path, count, len(page), side, missing)
    raise Refused(
        f"these neurons come to {size_text(len(page))} on one page, though with pictures of {side} "
        f"pixels; {size_text(LARGEST)} is the most that mail takes; name fewer with --neurons"
    )


def check_file(path: Path) -> None:
    """Check that a page may be written to a file.

    Raises:
        Refused: it is a folder, or a file that is no page of ours.
    """
    if path.is_dir():
        raise Refused(f"{path} is a folder; name a file for the page, such as {path / 'page.html'}")
    if path.exists() and _OURS not in path.read_bytes()[:2000]:
        raise Refused(f"{path} is there and is no page of a report; name another file")


def _page(run: StoredRun, neurons: Sequence[Neuron], side: int) -> tuple[bytes, int]:
    """Return the page with pictures of a size, and how many pictures are lost."""
    lab = run.lab
    workers = min(os.cpu_count() or 1, 8)
    with closing(InlineShelf(lab.blobs, lab.probe, lab.config.ledger, workers, side)) as shelf:
        page = render(
            "single.html",
            views=_views(run, neurons, shelf),
            inline=Inline(_static("report.css"), _static("report.js")),
            run_name=run.record.name,
            config=run.record.config,
            like=(),
            encoder="",
            twin_page="",
            root="",
        )
        return page.encode("utf-8", "replace"), shelf.missing


def _views(run: StoredRun, neurons: Sequence[Neuron], shelf: InlineShelf) -> list[NeuronView]:
    chosen = list(neurons) or list(run.record.wanted())
    by_neuron = {description.neuron: description for description in run.descriptions()}
    descriptions, classes = [by_neuron[neuron] for neuron in chosen], run.triages()
    verdicts, blobs = read_verdicts(run.folder.folder), exemplar_blobs(run)
    counted, ranged = histograms(run, chosen, classes), ranges(run, chosen)
    views = []
    for evidence in gather_evidence(run.lab, descriptions, classes):
        card = card_of(
            evidence.description, evidence.triage, (), shelf, verdicts.of(evidence.description)
        )
        counts, groups = counted.get(evidence.neuron), ranged.get(evidence.neuron, ())
        views.append(neuron_view(evidence, card, counts, groups, shelf, run.lab.blobs, blobs.whole))
    return views


def _static(name: str) -> str:
    return (STATIC / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """Return what a page's policy calls a script or style of its own: its SHA-256."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"
