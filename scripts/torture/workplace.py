"""A place to break things in: real pocket engines, loaded once, and a child process for each trial.

A trial forks, so that it starts with the engines in memory and may be killed at any moment.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

from dnd_local.core.errors import DndError, disk_error
from dnd_local.pipeline import opening
from dnd_local.pipeline.dissection import Dissection
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.runner import RunResult
from dnd_local.pocket.world import picture
from dnd_local.store.files import LEASE, SUFFIX

LAYER, RUN, IMAGES, NEURONS = "layer4", "same", 24, "1,2"
QUICK = {
    "pictures": {"count": 2, "steps": 1},
    "concepts": {"count": 2, "max_draws": 3},
    "exemplars": {"images": 4},
}
VOLATILE = {"events.jsonl", "run.json", ".lock", ".in-use"}
"""Files that say when, or that hold no result; so do temporary ones, swept ten seconds later."""

_FORK = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Ending:
    """How a trial's process ended: its exit code, below 0 a signal, and what it said."""

    code: int
    said: str


@dataclass(frozen=True)
class Watch:
    """Counts the parts that a run said are done, where that can be read after it was killed."""

    done: Synchronized[int] = field(default_factory=lambda: _FORK.Value("i", 0))

    def start(self, stage: str, total: int, missing: int) -> None:
        """Do nothing."""

    def advance(self, stage: str, done: int) -> None:
        """Count."""
        with self.done.get_lock():
            self.done.value += done

    def finish(self, stage: str, seconds: float) -> None:
        """Do nothing."""


class Workplace:
    """A small probe set, the engines of its run, and that run as it should come out."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.probe, self._opened = folder, folder / "images", ExitStack()
        self.probe.mkdir(parents=True)
        for index in range(IMAGES):
            picture(5, index)[0].save(self.probe / f"{index:02d}.png")
        self._hold_engines()
        self.reference = folder / "reference"
        # In a child as well: a process that has computed has threads, which its children lack.
        ending = in_child(lambda: self.dissect(self.reference) and None)
        assert not ending.code, ending.said
        self.expected = results(self.reference)

    def close(self) -> None:
        """Let go of the engines."""
        self._opened.close()

    def asked(self, workspace: Path, *, shared: bool = False) -> Dissection:
        """Return the run that every trial makes, in a workspace."""
        return Dissection(
            model="pocket", layer=LAYER, ids=NEURONS, probe=str(self.probe), run=RUN,
            workspace=workspace, shared=shared, settings=QUICK,
        )  # fmt: skip

    def dissect(self, workspace: Path, watch: Watch | None = None) -> RunResult:
        """Run it here."""
        return self.asked(workspace).run_now(watch)

    def copy(self, name: str) -> Path:
        """Return a fresh copy of the finished workspace."""
        place = self.folder / name
        shutil.rmtree(place, ignore_errors=True)
        return Path(shutil.copytree(self.reference, place))

    def fresh(self, name: str) -> Path:
        """Return the path of a workspace that is not there yet."""
        place = self.folder / name
        shutil.rmtree(place, ignore_errors=True)
        return place

    def wrong(self, workspace: Path) -> str:
        """Return how a workspace's results differ from what they should be, "" if they do not."""
        there = results(workspace)
        changed = sorted(
            name
            for name in self.expected.keys() | there.keys()
            if self.expected.get(name) != there.get(name)
        )
        return f"{len(changed)} files differ, the first is {changed[0]}" if changed else ""

    def wrong_after_resuming(self, workspace: Path) -> str:
        """Return what is wrong once the same command has run again, "" where nothing is."""
        again = in_child(lambda: self.dissect(workspace) and None)
        if again.code:
            return f"the same command again ended with {again.code}: {again.said}"
        return self.wrong(workspace)

    def _hold_engines(self) -> None:
        """Open each engine once; every later run of this process and its children has the same."""
        real = opening.open_engine
        held: dict[str, Any] = {}

        @contextmanager
        def open_engine(role: Any, *given: Any) -> Iterator[Any]:
            if role not in held:
                held[role] = self._opened.enter_context(real(role, *given))
            yield held[role]

        opening.open_engine = open_engine
        dissection = self.asked(self.folder)
        lab = Lab(dissection.make_config(), dissection.execution())
        opened = (lab.target, lab.captioner, lab.language_model, lab.painter, lab.embedder)
        assert all(opened)


class Child:
    """Work in a forked process.

    What a user would be told comes with exit code 2 (or 1, of an engine); anything else that is
    raised is a traceback with exit code 70.
    """

    def __init__(self, work: Callable[[], Any]) -> None:
        self._reader, writer = _FORK.Pipe(duplex=False)

        def body() -> None:
            code, said = 0, ""
            try:
                said = str(work() or "")
            except DndError as error:
                code, said = error.exit_code, str(error)
            except OSError as error:
                refused = disk_error(error)
                code, said = (2, str(refused)) if refused else (70, traceback.format_exc())
            except BaseException:  # noqa: BLE001
                code, said = 70, traceback.format_exc()
            writer.send(said)
            os._exit(code)

        self._process = _FORK.Process(target=body)
        self._process.start()
        writer.close()

    def ending(self) -> Ending:
        """Wait, and return how it ended."""
        try:
            said = self._reader.recv()
        except EOFError:
            said = ""
        self._process.join()
        return Ending(self._process.exitcode or 0, said)


def in_child(work: Callable[[], Any]) -> Ending:
    """Do `work` in a forked process and return how that ended."""
    return Child(work).ending()


def results(workspace: Path) -> dict[str, bytes]:
    """Return every file of a workspace that holds a result, by its path."""
    return {
        str(path.relative_to(workspace)): path.read_bytes()
        for path in sorted(workspace.rglob("*"))
        if path.is_file() and path.name not in VOLATILE and not path.name.endswith((SUFFIX, LEASE))
    }


def parts(workspace: Path) -> int:
    """Return how many whole parts a workspace has."""
    return sum(
        path.name != "key.json" and not path.name.startswith(".")
        for path in workspace.glob("artefacts/*/*")
    )
