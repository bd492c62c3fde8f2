"""A whole run whose labels a real vLLM writes, beside the same run without a server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dnd_local.pipeline.opening import model_ids
from dnd_local.pipeline.settings import make_config
from dnd_local.store.guard import child_environment
from dnd_local.store.weights import Weights
from tests.real_vllm import MARKS, PYTHON

pytestmark = [*MARKS, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of all runs here, so that what no language model touches is made once."""
    needed = [name for ids in model_ids(make_config("pocket")).values() for name in ids]
    if absent := Weights.open().missing(needed):
        pytest.skip(f"this copy has no weights of {', '.join(absent)}")
    return tmp_path_factory.mktemp("served")


def first_labels(workspace: Path, run: str, *words: str) -> list[str]:
    command = [sys.executable, "-c", "from dnd_local.cli.main import run; run()"]
    command += ["dissect", "pocket", "fc", "--run", run, "--workspace", str(workspace), *words]
    done = subprocess.run(
        command, env=child_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = (workspace / "runs" / run / "descriptions.jsonl").read_bytes().splitlines()
    return [json.loads(line)["labels"][0]["text"] for line in lines]


def test_the_documented_command_at_its_default_settings(workspace: Path) -> None:
    served = ("--ids", "0-9", "--llm", "vllm", "--vllm-python", str(PYTHON))
    labels = first_labels(workspace, "default", *served)
    assert len(labels) == 10
    assert len(set(labels)) >= 7, labels


def test_the_same_labels_as_without_a_server(workspace: Path) -> None:
    cold = ("--ids", "0-7", "--llm-temperature", "0")
    ours = first_labels(workspace, "transformers", *cold, "--llm", "transformers")
    with_server = ("--llm", "vllm", "--vllm-python", str(PYTHON))
    served = first_labels(workspace, "vllm", *cold, *with_server)
    assert len(ours) == 8
    same = sum(one == other for one, other in zip(ours, served, strict=True))
    assert same >= 7, list(zip(ours, served, strict=True))
