"""The real engines on the embedded pack: nothing about how a run is done may change its bytes."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dnd_local.store.resources import shipped

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

COMMAND = [sys.executable, "-c", "from dnd_local.cli.main import run; run()"]
LAYER = "layer4"
QUICK = ["--pictures-steps", "2", "--pictures-count", "2", "--concepts-max-draws", "5"]
STAGES = ("responses", "exemplars", "captions", "phrases", "concepts", "pictures", "scores")


def dissect(workspace: Path, ids: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, "dissect", "pocket", LAYER, "--ids", ids, "--run", "same", *QUICK]
    return subprocess.run(
        [*command, "--workspace", str(workspace), *options],
        capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "2"},
    )  # fmt: skip


def outcome(workspace: Path) -> bytes:
    return (workspace / "runs" / "same" / "descriptions.jsonl").read_bytes()


@pytest.fixture(scope="module")
def triaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which the pass over the probe set is done."""
    if not (shipped("pocket") / "models" / "painter").exists():
        pytest.skip("the pocket models are not trained yet")
    workspace = tmp_path_factory.mktemp("triaged")
    subprocess.run(
        [*COMMAND, "triage", "pocket", LAYER, "--workspace", str(workspace)],
        check=True, capture_output=True,
    )  # fmt: skip
    return workspace


@pytest.fixture(scope="module")
def reference(triaged: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    workspace = tmp_path_factory.mktemp("reference") / "work"
    shutil.copytree(triaged, workspace)
    done = dissect(workspace, "1,2,3")
    assert done.returncode == 0, done.stderr
    return outcome(workspace)


@pytest.fixture
def workspace(triaged: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(triaged, tmp_path / "work"))


def test_order_and_company(workspace: Path, reference: bytes) -> None:
    for ids in ("3", "2,1"):
        assert dissect(workspace, ids).returncode == 0
    assert outcome(workspace) == reference


def test_two_workers(workspace: Path, reference: bytes) -> None:
    done = dissect(workspace, "1,2,3", "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert outcome(workspace) == reference


@pytest.mark.parametrize("stage", STAGES)
def test_killed_in_a_stage_and_resumed(
    stage: str, workspace: Path, reference: bytes, tmp_path: Path
) -> None:
    if stage == "responses":
        shutil.rmtree(workspace)
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


def test_the_same_again_takes_no_time(workspace: Path, reference: bytes) -> None:
    assert dissect(workspace, "1,2,3").returncode == 0
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    again = dissect(workspace, "1,2,3")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "nothing was computed again" in again.stdout
    assert outcome(workspace) == reference
    # Processor time: the promise is 3 seconds, and other tests may share the machine.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 3
