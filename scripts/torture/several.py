"""Several processes on one workspace: one is killed, others go on; readers and cleaners look on."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from calls import Calls, kill
from crash import changes
from namespaces import see_at, why_no_mounts
from workplace import RUN, Child, Workplace, in_child

from dnd_local.core.errors import Refused, UserError
from dnd_local.evaluate.held_out import JUDGE_PICTURES
from dnd_local.pipeline.plan import PLAN
from dnd_local.pipeline.reading import list_runs, open_run
from dnd_local.pipeline.upkeep import check_workspace, find_unneeded, remove_unneeded
from dnd_local.report.site import build_site
from dnd_local.store.in_use import alone

STAGES = (*PLAN, JUDGE_PICTURES)


def shared(place: Workplace, trials: int, seed: int) -> Iterator[str]:
    """Two processes share a run (`--shared`) and one is killed; yield as the other sweeps do."""
    count, rng = changes(place), random.Random(seed)
    for at in sorted(rng.randrange(count) for _ in range(trials)):
        yield _shared(place, at)


def _shared(place: Workplace, at: int) -> str:
    workspace = place.fresh("shared")

    def work(strike_at: int) -> None:
        Calls(workspace, strike_at, kill).listen()
        place.asked(workspace, shared=True).run_now()

    one, other = Child(lambda: work(at)), Child(lambda: work(-1))
    struck, ending = one.ending(), other.ending()
    # The other may have made so much that the first never came to that change.
    if struck.code not in (-9, 0) or ending.code:
        return (
            f"change {at}: ended with {struck.code} and {ending.code}: {struck.said}{ending.said}"
        )
    if wrong := place.wrong(workspace):
        return f"change {at}: the process that went on left it so: {wrong}"
    wrong = place.wrong_after_resuming(workspace)
    return f"change {at}: {wrong}" if wrong else ""


def workers(place: Workplace, trials: int, seed: int) -> Iterator[str]:
    """A run of two worker processes is killed whole after a random time, then done again."""
    rng = random.Random(seed)
    began = time.monotonic()
    wrong = _by_workers(place, 0.0)
    whole = time.monotonic() - began
    yield wrong
    for _ in range(trials - 1):
        yield _by_workers(place, rng.uniform(0.05, 0.95) * whole)


def _by_workers(place: Workplace, stop_after_s: float) -> str:
    """Run two workers, killed after so many seconds (0: never), then again without workers."""
    workspace = place.fresh("workers")
    dissection = place.asked(workspace)
    settings = [f"--{a}-{b.replace('_', '-')}={v}" for a, group in dissection.settings.items()
                for b, v in group.items()]  # fmt: skip
    command = [
        sys.executable, "-P", "-m", "dnd_local", "dissect", dissection.model, dissection.layer,
        "--ids", dissection.ids, "--probe", str(dissection.probe), "--run", RUN, "--workers", "2",
        "--workspace", str(workspace), *settings,
    ]  # fmt: skip
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        _, said = child.communicate(timeout=stop_after_s or None)
        if child.returncode:
            return f"two workers ended with {child.returncode}: {said[-500:]}"
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
    wrong = place.wrong_after_resuming(workspace)
    return f"killed after {stop_after_s:.1f} s: {wrong}" if wrong else ""


def together(place: Workplace, trials: int, seed: int) -> Iterator[str]:
    """A run while others read, report, verify and clean up, from another machine's view of it."""
    rng = random.Random(seed)
    for _ in range(trials):
        yield _together(place, rng.choice(sorted(LOOKERS)))


def _together(place: Workplace, name: str) -> str:
    workspace, view = place.fresh("together"), place.folder / "view"
    workspace.mkdir()
    done = place.folder / "done"
    done.unlink(missing_ok=True)

    def look() -> str:
        if not why_no_mounts():
            see_at(workspace, view)
        seen = view if not why_no_mounts() else workspace
        looks = 0
        while not done.exists() or not looks:
            looks += 1
            try:
                LOOKERS[name](seen)
            except (UserError, Refused) as error:
                if "damaged" in str(error):
                    return str(error)
        return ""

    view.mkdir(exist_ok=True)
    looker, runner = Child(look), Child(lambda: place.dissect(workspace) and None)
    ran = runner.ending()
    done.touch()
    looked = looker.ending()
    if ran.code or looked.code or looked.said:
        return f"{name}: ended with {ran.code} and {looked.code}: {ran.said}{looked.said}"
    wrong = place.wrong(workspace) or place.wrong_after_resuming(workspace)
    return f"{name}: {wrong}" if wrong else ""


def _report(workspace: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        build_site(open_run(RUN, workspace), Path(folder) / "site")


def _clean(workspace: Path) -> None:
    with alone(workspace):
        remove_unneeded(find_unneeded(workspace, STAGES))


def _verify(workspace: Path) -> None:
    with alone(workspace):
        check_workspace(workspace, STAGES, repair=True)


def _read(workspace: Path) -> None:
    list_runs(workspace)
    run = open_run(RUN, workspace)
    run.status()
    run.descriptions()


LOOKERS: dict[str, Callable[[Path], Any]] = {
    "report": _report, "gc": _clean, "verify": _verify, "status": _read,
}  # fmt: skip


def small(place: Workplace, trials: int, seed: int) -> Iterator[str]:
    """A run on file systems too small for it, and one whose files may not grow: short writes."""
    rng = random.Random(seed)
    whole = sum(path.stat().st_size for path in place.reference.rglob("*") if path.is_file())
    for number in range(trials):
        if number % 2 or why_no_mounts():
            yield _limited(place, rng.randrange(100, 60_000))
        else:
            yield _small(place, rng.randrange(20_000, 2 * whole))


def _limited(place: Workplace, most: int) -> str:
    """No file may be longer: the system writes what fits and refuses the rest."""
    import resource

    workspace = place.fresh("small")

    def work() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        place.dissect(workspace)

    return _told(place, workspace, in_child(work), f"files of at most {most} bytes")


def _small(place: Workplace, size: int) -> str:
    """The whole workspace lies on a file system of so many bytes."""
    workspace, outside = place.fresh("small"), place.fresh("rescued")
    workspace.mkdir()

    def work() -> None:
        see_at(None, workspace, size)
        try:
            place.dissect(workspace)
        finally:
            # The small file system is gone with this process.
            shutil.copytree(workspace, outside)

    ending = in_child(work)
    return _told(place, outside, ending, f"a file system of {size} bytes")


def _told(place: Workplace, workspace: Path, ending: Any, what: str) -> str:
    if ending.code not in (0, 2) or "\n" in ending.said:
        return f"{what}: ended with {ending.code}: {ending.said}"
    wrong = place.wrong_after_resuming(workspace)
    return f"{what}: {wrong}" if wrong else ""
