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
        wanted = [own for own in self.source.descriptions() if own.neuron.layer == self.layer]
        for place, own in enumerate(gather_evidence(self.source.lab, wanted, classes)):
            for index in range(place, self.count, len(self.indices)):
                self._copy_neuron(own, index)
        return StoredRun(self.record, self.folder, self.lab)

    def _copy_layer(self) -> None:
        triage = self.source.triages()[self.layer]
        neurons = tuple(self._triage(triage, index) for index in range(self.count))
        TRIAGE.parts(self.lab).write(self.layer, replace(triage, neurons=neurons))
        columns = np.resize(np.array(self.indices), self.count)
        for chunk, own in enumerate(responses_of(self.source.lab, self.layer)):
            part = Responses(own.layer, own.first, own.values[:, columns], own.skipped)
            RESPONSES.parts(self.lab).write(Item.of_chunk(self.layer, chunk).name, part)

    def _triage(self, triage: LayerTriage, index: int) -> Triage:
        width = len(self.indices)
        own = triage.neurons[self.indices[index % width]]
        there = own.twin in self.indices
        twin = index - index % width + self.indices.index(own.twin) if there else None
        return replace(own, index=index, twin=twin)

    def _copy_neuron(self, own: Any, index: int) -> None:
        neuron = Neuron(own.neuron.target, self.layer, index)
        copy, name = index // len(self.indices), Item.of_neuron(neuron).name
        for stage, record in (
            (EXEMPLARS, own.exemplars and self._exemplars(own.exemplars, neuron, copy)),
            (CAPTIONS, own.captions and Captions(neuron, own.captions.texts)),
            (PHRASES, own.phrases and replace(own.phrases, neuron=neuron)),
            (CONCEPTS, own.concepts and relabelled(own.concepts, neuron, copy)),
            (SCORES, own.scores and relabelled(own.scores, neuron, copy)),
        ):
            if record:
                stage.parts(self.lab).write(name, record)
        for pictures in own.pictures:
            text = varied(pictures.concept, copy)
            if text not in self._painted:
                self._painted.add(text)
                part = replace(pictures, concept=text)
                count = len(part.pictures)
                PICTURES.parts(self.lab).write(Item.of_block(text, 0, count).name, part)

    def _exemplars(self, own: Exemplars, neuron: Neuron, copy: int) -> Exemplars:
        """Return the exemplars with pictures of this copy's own: the same, a little darker."""
        shown = []
        for exemplar in own.exemplars:
            pixels = self.lab.blobs.get(exemplar.blob)
            blob = self.lab.blobs.put((pixels * (1 - 0.01 * copy)).astype(np.uint8))
            shown.append(replace(exemplar, blob=blob))
        return replace(own, neuron=neuron, exemplars=tuple(shown))


def relabelled(own: Concepts | Scores, neuron: Neuron, copy: int) -> Concepts | Scores:
    """Return a copy's record, its candidates worded differently."""
    texts = tuple(replace(one, text=varied(one.text, copy)) for one in own.candidates)
    return replace(own, neuron=neuron, candidates=texts)  # type: ignore[arg-type]  # as it was


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
            found = page.evaluate("window.answer")
            if not found["narrowed"]:
                raise SystemExit(f"the search for '{TYPED}' narrowed nothing")
            yield Opening(load, painted, found["search_ms"])
            context.close()
        browser.close()


def _chromium() -> str:
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        raise SystemExit("no Chromium: apt-get install chromium")
    return found


def sizes(site: Site) -> dict[str, dict[str, float]]:
    """Return the number of a site's files and their megabytes, by folder."""
    found: dict[str, dict[str, float]] = {}
    for path in site.folder.rglob("*"):
        if path.is_file():
            top = path.relative_to(site.folder).parts[0]
            for name in (top, "all"):
                own = found.setdefault(name, {"files": 0, "MB": 0.0})
                own["files"] += 1
                own["MB"] += path.stat().st_size / 1e6
    return {name: {**own, "MB": round(own["MB"], 3)} for name, own in sorted(found.items())}


def measure(source: StoredRun, workspace: Path, count: int) -> dict[str, object]:
    """Return every figure by its name: seconds, milliseconds, megabytes."""
    run = Copier(source, workspace, count).copy()
    written = []
    for _ in range(2):
        begun = time.perf_counter()
        site = build_site(run)
        written.append(round(time.perf_counter() - begun, 1))
    seen = list(openings(site.index))
    rows = [asdict(own) for own in seen]
    figures = {
        name: {"median": round(statistics.median(own[name] for own in rows)),
               "worst": round(max(own[name] for own in rows))}
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
