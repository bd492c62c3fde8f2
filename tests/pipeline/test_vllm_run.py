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

IDS = "0-7"

pytestmark = [*MARKS, pytest.mark.timeout(1200)]


def first_labels(workspace: Path, engine: str) -> list[str]:
    command = [sys.executable, "-c", "from dnd_local.cli.main import run; run()"]
    command += ["dissect", "pocket", "fc", "--ids", IDS, "--llm", engine, "--run", engine]
    command += ["--llm-temperature", "0", "--workspace", str(workspace)]
    command += ["--vllm-python", str(PYTHON)]
    done = subprocess.run(
        command, env=child_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = (workspace / "runs" / engine / "descriptions.jsonl").read_bytes().splitlines()
    return [json.loads(line)["labels"][0]["text"] for line in lines]


def test_the_same_labels_as_without_a_server(tmp_path: Path) -> None:
    needed = [name for ids in model_ids(make_config("pocket")).values() for name in ids]
    if absent := Weights.open().missing(needed):
        pytest.skip(f"this copy has no weights of {', '.join(absent)}")
    ours, served = (first_labels(tmp_path, engine) for engine in ("transformers", "vllm"))
    assert len(ours) == 8
    same = sum(one == other for one, other in zip(ours, served, strict=True))
    assert same >= 7, list(zip(ours, served, strict=True))
