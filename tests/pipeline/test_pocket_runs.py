"""The real engines on the embedded pack: nothing about how a run is done may change its bytes.

Neither may the network, which can be taken away: a run needs none.
"""

from __future__ import annotations

import json
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from dnd_local.pipeline.opening import model_ids
from dnd_local.pipeline.settings import make_config
from dnd_local.store.guard import child_environment
from dnd_local.store.netns import isolated, why_no_loopback, why_not
from dnd_local.store.runs import RunFolder
from dnd_local.store.weights import Weights
from tests.outside import ADDRESS, ask_for_a_way_out
from tests.sharing import made_once

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800, func_only=True)]
needs_namespaces = pytest.mark.skipif(bool(why_not()), reason=why_not())

PROGRAM = "from dnd_local.cli.main import run; run()"
COMMAND = [sys.executable, "-c", PROGRAM]
LAYER = "layer4"
QUICK = ["--pictures-steps", "2", "--pictures-count", "2", "--concepts-max-draws", "5"]
STAGES = ("responses", "exemplars", "captions", "phrases", "concepts", "pictures", "scores")


PLANTED = f"""
import os, socket, sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from dnd_local.engines import registry
from tests.outside import ask_for_a_way_out

def past_python():
    if number := ask_for_a_way_out():
        raise OSError(number, os.strerror(number))

def through_python():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.connect(({ADDRESS!r}, 80))

opened = registry.open_built_in
def open_built_in(role, *given):
    if role == "captioner":
        CALL()
    return opened(role, *given)

registry.open_built_in = open_built_in
"""
"""Makes a call outside, of the kind that CALL names, where the captioner is opened."""


def dissect(
    workspace: Path,
    ids: str,
    *options: str,
    program: str = PROGRAM,
    closed: Callable[[Sequence[str]], Sequence[str]] = tuple,
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program, "dissect", "pocket", LAYER, "--ids", ids]
    command += ["--run", "same", *QUICK, "--workspace", str(workspace), *options]
    return subprocess.run(
        closed(command), env=child_environment(),
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def described(lines: bytes) -> list[Any]:
    return [json.loads(line) for line in lines.splitlines()]


def outcome(workspace: Path) -> bytes:
    return (workspace / "runs" / "same" / "descriptions.jsonl").read_bytes()


@pytest.fixture(scope="module")
def triaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which the pass over the probe set is done."""
    needed = [name for ids in model_ids(make_config("pocket")).values() for name in ids]
    if absent := Weights.open().missing(needed):
        pytest.skip(f"this copy has no weights of {', '.join(absent)}")

    def make(workspace: Path) -> None:
        command = [*COMMAND, "triage", "pocket", LAYER, "--workspace", str(workspace)]
        subprocess.run(command, check=True, capture_output=True)

    return made_once(tmp_path_factory, "triaged", make)


@pytest.fixture(scope="module")
def finished(triaged: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which the run is done."""

    def make(workspace: Path) -> None:
        shutil.copytree(triaged, workspace, dirs_exist_ok=True)
        done = dissect(workspace, "1,2,3")
        assert done.returncode == 0, done.stderr

    return made_once(tmp_path_factory, "finished", make)


@pytest.fixture(scope="module")
def reference(finished: Path) -> bytes:
    return outcome(finished)


@pytest.fixture
def workspace(triaged: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(triaged, tmp_path / "work"))


def test_order_and_company(workspace: Path, reference: bytes) -> None:
    for ids in ("3", "2,1"):
        assert dissect(workspace, ids).returncode == 0
    assert outcome(workspace) == reference


def test_other_padded_batches_change_no_more_than_rounding(finished: Path, tmp_path: Path) -> None:
    shapes = {"network": 13, "captions": 5, "llm": 3, "pictures": 3, "clip": 7}
    batches = [word for of, size in shapes.items() for word in (f"--{of}-batch", str(size))]
    done = dissect(tmp_path / "work", "1,2,3", *batches)
    assert done.returncode == 0, done.stderr
    ours, theirs = (described(outcome(place)) for place in (finished, tmp_path / "work"))
    other = 0
    for one, two in zip(ours, theirs, strict=True):
        best, *others = (label["score"] for label in one["labels"])
        if [label["text"] for label in one["labels"]] == [label["text"] for label in two["labels"]]:
            scores = [label["score"] for label in two["labels"]]
            assert scores == pytest.approx([best, *others], abs=1e-4)
        else:
            other += 1
            assert others, "a label changed with nothing near it"
            assert min(abs(best - score) for score in others) < 1e-4
    assert other <= 1


def test_two_workers(workspace: Path, reference: bytes) -> None:
    done = dissect(workspace, "1,2,3", "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert outcome(workspace) == reference
    said = json.loads((workspace / "runs" / "same" / "run.json").read_bytes())["isolation"]
    assert said.startswith("this process guarded; workers guarded, ")
    assert ("in an empty network namespace" in said) == (not why_no_loopback())


def test_three_share_the_work_and_one_is_killed(workspace: Path, reference: bytes) -> None:
    command = [*COMMAND, "dissect", "pocket", LAYER, "--ids", "1,2,3", "--run", "same", *QUICK]
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [*command, "--shared", "--workspace", str(workspace)],
                    env=child_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                )
            )
            for _ in range(3)
        ]  # fmt: skip
        while len(list(workspace.glob("artefacts/pictures-*/*.json"))) < 3:
            assert not any(process.poll() for process in processes)
            time.sleep(0.05)
        processes[0].kill()
        ends = [(process.communicate()[1], process.returncode) for process in processes[1:]]
    assert [code for _, code in ends] == [0, 0], ends
    assert outcome(workspace) == reference
    made = Counter[str]()
    for event in RunFolder(workspace, "same").events():
        if event["event"] == "finish":
            made[event["stage"]] += event["items"]
    for stage in STAGES[1:]:
        parts = list(workspace.glob(f"artefacts/{stage}-*/*.json"))
        assert made[stage] <= len(parts) - 1, f"something of {stage} was made twice"
    # The killed one's own file stays until it is an hour old.
    assert len(list(workspace.rglob("*.lease"))) == 1


@needs_namespaces
def test_the_whole_of_it_where_no_interface_is(reference: bytes, tmp_path: Path) -> None:
    done = dissect(tmp_path / "work", "1,2,3", closed=isolated)
    assert done.returncode == 0, done.stderr
    assert outcome(tmp_path / "work") == reference


@pytest.fixture
def uncaptioned(finished: Path, tmp_path: Path) -> Path:
    """A workspace in which nothing is left to do but to open the captioner and use it."""
    workspace = Path(shutil.copytree(finished, tmp_path / "uncaptioned"))
    (captions,) = workspace.glob("artefacts/captions-*")
    shutil.rmtree(captions)
    return workspace


@needs_namespaces
def test_a_planted_call_that_the_guard_cannot_see_fails_there(
    uncaptioned: Path, reference: bytes
) -> None:
    planted = f"{PLANTED.replace('CALL', 'past_python')}\n{PROGRAM}"
    inside = dissect(uncaptioned, "1,2,3", program=planted, closed=isolated)
    assert inside.returncode == 1
    assert "Network is unreachable" in inside.stderr.splitlines()[-1]
    if ask_for_a_way_out():
        pytest.skip("this machine has no network, so the control cannot succeed on it")
    outside = dissect(uncaptioned, "1,2,3", program=planted)
    assert outside.returncode == 0, outside.stderr
    assert "nothing was computed again" not in outside.stdout
    assert outcome(uncaptioned) == reference


def test_a_planted_call_that_the_guard_sees_fails_anywhere(uncaptioned: Path) -> None:
    planted = f"{PLANTED.replace('CALL', 'through_python')}\n{PROGRAM}"
    done = dissect(uncaptioned, "1,2,3", program=planted)
    assert done.returncode == 2
    assert f"a socket's connect to '{ADDRESS}' was refused, by " in done.stderr
    made = {path.name for path in uncaptioned.glob("artefacts/captions-*/*")}
    assert made <= {"key.json"}


def up_to(stage: str, finished: Path, workspace: Path) -> None:
    """Copy a finished run as it was when `stage` began: without its parts and all that follows."""
    shutil.copytree(finished, workspace, ignore=shutil.ignore_patterns("runs", "blobs"))
    everything = ("responses", "triage", *STAGES[1:])
    for later in everything[everything.index(stage) :]:
        for folder in workspace.glob(f"artefacts/{later}-*"):
            shutil.rmtree(folder)
    parts = [part.read_bytes() for part in workspace.rglob("*.json")]
    for blob in (path for path in finished.glob("blobs/**/*") if path.is_file()):
        if any(blob.stem.encode() in part for part in parts):
            place = workspace / blob.relative_to(finished)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(blob, place)


@pytest.mark.parametrize("stage", STAGES)
def test_killed_in_a_stage_and_resumed(
    stage: str, finished: Path, reference: bytes, tmp_path: Path
) -> None:
    workspace = tmp_path / "work"
    up_to(stage, finished, workspace)
    assert not list(workspace.glob(f"artefacts/{stage}-*"))
    command = [*COMMAND, "dissect", "pocket", LAYER, "--ids", "1,2,3", "--run", "same", *QUICK]
    with subprocess.Popen(
        [*command, "--workspace", str(workspace)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        started = time.monotonic()
        while not list(workspace.glob(f"artefacts/{stage}-*")):
            assert process.poll() is None, "the run ended before the stage began"
            assert time.monotonic() - started < 300, "the stage never began"
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    resumed = dissect(workspace, "1,2,3")
    assert resumed.returncode == 0, resumed.stderr
    assert outcome(workspace) == reference


def test_the_same_again_takes_no_time(finished: Path, reference: bytes, tmp_path: Path) -> None:
    workspace = Path(shutil.copytree(finished, tmp_path / "work"))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    again = dissect(workspace, "1,2,3")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "nothing was computed again" in again.stdout
    assert outcome(workspace) == reference
    # Processor time: the promise is 3 seconds, and other tests may share the machine.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 3
