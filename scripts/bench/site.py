"""Measure the report of a run of thousands of neurons: its writing, its size, its opening.

Copies a small finished run until it has as many neurons as asked for, each copy with exemplars'
pictures and labels of its own, writes its report, and opens that in headless Chromium::

    python scripts/bench/site.py --workspace DIR --run NAME --neurons 2048

Captions, responses and generated pictures are those of the small run, repeated.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import sync_playwright

from dnd_local.core.config import Execution
from dnd_local.core.records import (
    Captions,
    Concepts,
    Exemplars,
    LayerTriage,
    Neuron,
    Responses,
    Scores,
    Triage,
)
from dnd_local.pipeline.evidence import gather_evidence
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.plan import (
    CAPTIONS,
    CONCEPTS,
    EXEMPLARS,
    PHRASES,
    PICTURES,
    RESPONSES,
    SCORES,
    TRIAGE,
    responses_of,
)
from dnd_local.pipeline.reading import StoredRun, open_run
from dnd_local.pipeline.settings import default_data
from dnd_local.pipeline.stage import Item
from dnd_local.report.site import Site, build_site
from dnd_local.store.runs import RunFolder
from dnd_local.store.weights import default_root

OPENINGS = 7
LARGEST_INDEX = 5_000_000
LONGEST_OPENING = 2_000.0
TYPED = "s"

USABLE = """() => new Promise(resolve => {
  const box = document.querySelector("#search"), count = document.querySelector("#count");
  const before = count.textContent;
  let pressed = 0;
  box.focus();
  box.addEventListener("keydown", () => { pressed = performance.now(); }, {once: true});
  box.addEventListener("input", () => requestAnimationFrame(() => setTimeout(() => resolve({
    search_ms: performance.now() - pressed, narrowed: count.textContent !== before,
  }))), {once: true});
})"""
"""Wait for a key in the search box and resolve once the narrowed list has been drawn."""


@dataclass(frozen=True, slots=True)
class Opening:
    """Milliseconds from the start of a navigation, and from the first key to the drawn answer."""

    load_ms: float
    painted_ms: float
    search_ms: float


class Copier:
    """Writes copies of a run's neurons as one larger layer of a run in another workspace."""

    def __init__(self, source: StoredRun, workspace: Path, count: int) -> None:
        self.source, self.count = source, count
        self.layer = next(iter(source.record.neurons))
        self.indices = source.record.neurons[self.layer]
        config = source.record.config
        execution = Execution(workspace=workspace, weights=default_root(), data=default_data())
        self.lab = Lab(config, execution)
        self.folder = RunFolder(workspace, "site")
        self.record = self.folder.extend(config, {self.layer: range(count)})
        self._painted: set[str] = set()

    def copy(self) -> StoredRun:
        """Write every part and return the run."""
        shutil.copytree(self.source.lab.blobs.root, self.lab.blobs.root)
        self._copy_layer()
        classes = self.source.triages()
        wanted = [
            description
            for description in self.source.descriptions()
            if description.neuron.layer == self.layer
        ]
        for place, evidence in enumerate(gather_evidence(self.source.lab, wanted, classes)):
            for index in range(place, self.count, len(self.indices)):
                self._copy_neuron(evidence, index)
        return StoredRun(self.record, self.folder, self.lab)

    def _copy_layer(self) -> None:
        triage = self.source.triages()[self.layer]
        neurons = tuple(self._triage(triage, index) for index in range(self.count))
        TRIAGE.parts(self.lab).write(self.layer, replace(triage, neurons=neurons))
        columns = np.resize(np.array(self.indices), self.count)
        for chunk, chunk_responses in enumerate(responses_of(self.source.lab, self.layer)):
            part = Responses(
                chunk_responses.layer,
                chunk_responses.first,
                chunk_responses.values[:, columns],
                chunk_responses.skipped,
            )
            RESPONSES.parts(self.lab).write(Item.of_chunk(self.layer, chunk).name, part)

    def _triage(self, triage: LayerTriage, index: int) -> Triage:
        width = len(self.indices)
        neuron = triage.neurons[self.indices[index % width]]
        there = neuron.twin in self.indices
        twin = index - index % width + self.indices.index(neuron.twin) if there else None
        return replace(neuron, index=index, twin=twin)

    def _copy_neuron(self, evidence: Any, index: int) -> None:
        neuron = Neuron(evidence.neuron.target, self.layer, index)
        copy, name = index // len(self.indices), Item.of_neuron(neuron).name
        for stage, record in (
            (EXEMPLARS, evidence.exemplars and self._exemplars(evidence.exemplars, neuron, copy)),
            (CAPTIONS, evidence.captions and Captions(neuron, evidence.captions.texts)),
            (PHRASES, evidence.phrases and replace(evidence.phrases, neuron=neuron)),
            (CONCEPTS, evidence.concepts and relabelled(evidence.concepts, neuron, copy)),
            (SCORES, evidence.scores and relabelled(evidence.scores, neuron, copy)),
        ):
            if record:
                stage.parts(self.lab).write(name, record)
        for pictures in evidence.pictures:
            text = varied(pictures.concept, copy)
            if text not in self._painted:
                self._painted.add(text)
                part = replace(pictures, concept=text)
                count = len(part.pictures)
                PICTURES.parts(self.lab).write(Item.of_block(text, 0, count).name, part)

    def _exemplars(self, exemplars: Exemplars, neuron: Neuron, copy: int) -> Exemplars:
        """Return the exemplars with pictures of this copy's own: the same, a little darker."""
        shown = []
        for exemplar in exemplars.exemplars:
            pixels = self.lab.blobs.get(exemplar.blob)
            blob = self.lab.blobs.put((pixels * (1 - 0.01 * copy)).astype(np.uint8))
            shown.append(replace(exemplar, blob=blob))
        return replace(exemplars, neuron=neuron, exemplars=tuple(shown))


def relabelled(record: Concepts | Scores, neuron: Neuron, copy: int) -> Concepts | Scores:
    """Return a copy's record, its candidates worded differently."""
    texts = tuple(replace(one, text=varied(one.text, copy)) for one in record.candidates)
    return replace(record, neuron=neuron, candidates=texts)  # type: ignore[arg-type]  # as it was


def varied(text: str, copy: int) -> str:
    """Return a text that differs from copy to copy, about as long as labels of photographs are."""
    return f"{text} of kind {copy}" if copy else text


def openings(index: Path) -> Iterator[Opening]:
    """Yield what it takes to open the index, in a browser that has not seen it, and to search."""
    with sync_playwright() as started:
        arguments = ["--no-sandbox", "--disable-background-networking"]
        browser = started.chromium.launch(executable_path=_chromium(), args=arguments)
        for _ in range(OPENINGS):
            context = browser.new_context(viewport={"width": 1440, "height": 900})
            page = context.new_page()
            page.goto(index.resolve().as_uri(), wait_until="load")
            page.wait_for_function("performance.timing.loadEventEnd > 0")
            load, painted = page.evaluate(
                "[performance.timing.loadEventEnd - performance.timing.navigationStart,"
                " performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? -1]"
            )
            page.evaluate(f"() => {{ window.answer = ({USABLE})(); }}")
            page.keyboard.press(TYPED)
            answer = page.evaluate("window.answer")
            if not answer["narrowed"]:
                raise SystemExit(f"the search for '{TYPED}' narrowed nothing")
            yield Opening(load, painted, answer["search_ms"])
            context.close()
        browser.close()


def _chromium() -> str:
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next((path for name in names if (path := shutil.which(name))), None)
    if program is None:
        raise SystemExit("no Chromium: apt-get install chromium")
    return program


def sizes(site: Site) -> dict[str, dict[str, float]]:
    """Return the number of a site's files and their megabytes, by folder."""
    folders: dict[str, dict[str, float]] = {}
    for path in site.folder.rglob("*"):
        if path.is_file():
            top = path.relative_to(site.folder).parts[0]
            for name in (top, "all"):
                counts = folders.setdefault(name, {"files": 0, "MB": 0.0})
                counts["files"] += 1
                counts["MB"] += path.stat().st_size / 1e6
    return {
        name: {**counts, "MB": round(counts["MB"], 3)} for name, counts in sorted(folders.items())
    }


def measure(source: StoredRun, workspace: Path, count: int) -> dict[str, object]:
    """Return every figure by its name: seconds, milliseconds, megabytes."""
    run = Copier(source, workspace, count).copy()
    written = []
    for _ in range(2):
        begun = time.perf_counter()
        site = build_site(run)
        written.append(round(time.perf_counter() - begun, 1))
    seen = list(openings(site.index))
    rows = [asdict(row) for row in seen]
    figures = {
        name: {"median": round(statistics.median(row[name] for row in rows)),
               "worst": round(max(row[name] for row in rows))}
        for name in rows[0]
    }  # fmt: skip
    size = site.index.stat().st_size
    return {
        "neurons": site.neurons,
        "pictures": site.pictures,
        "missing": site.missing,
        "write_s": {"first": written[0], "again": written[1]},
        "index_MB": round(size / 1e6, 3),
        "openings": len(seen),
        **figures,
        "site": sizes(site),
        "meets_demand": size < LARGEST_INDEX and figures["load_ms"]["worst"] < LONGEST_OPENING,
    }


def main() -> None:
    """Print every figure as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workspace", type=Path, required=True, help="where the small run lies")
    parser.add_argument("--run", required=True, help="its name; its first layer is copied")
    parser.add_argument("--neurons", type=int, default=2048)
    parser.add_argument("--scratch", type=Path, help="where to build, kept (default: deleted)")
    given = parser.parse_args()
    source = open_run(given.run, given.workspace)
    with tempfile.TemporaryDirectory() as folder:
        scratch = given.scratch or Path(folder)
        print(json.dumps(measure(source, scratch, given.neurons), indent=2))


if __name__ == "__main__":
    main()
