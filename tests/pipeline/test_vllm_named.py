"""Whole runs answered by a real vLLM that someone else started: who answered is known."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from dnd_local.engines.llm_survey import KEY_VARIABLE
from dnd_local.pipeline.opening import model_ids
from dnd_local.pipeline.settings import make_config
from dnd_local.store.guard import SWITCHES, child_environment
from dnd_local.store.weights import Weights
from tests.real_vllm import MARKS, PYTHON

pytestmark = [*MARKS, pytest.mark.timeout(1200)]

KEY = "a key of this test"
SHORT = ("--pictures-count", "2", "--pictures-steps", "2", "--concepts-count", "2")
"""Little painting: it is no matter here."""


@contextmanager
def vllm(folder: Path, names: tuple[str, ...], socket: Path) -> Iterator[None]:
    """Run a vLLM as its user would: by its own command, with a key and names of their own."""
    command = [str(PYTHON), "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder)]
    command += ["--served-model-name", *names, "--uds", str(socket), "--dtype", "float32"]
    command += ["--enforce-eager", "--no-enable-chunked-prefill"]
    mine = {"VLLM_API_KEY": KEY, "VLLM_CPU_KVCACHE_SPACE": "1", "CUDA_VISIBLE_DEVICES": ""}
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    with (
        socket.with_suffix(".log").open("wb") as log,
        subprocess.Popen(
            command, cwd=socket.parent, env={**environment, **SWITCHES, **mine},
            stdout=log, stderr=log, stdin=subprocess.DEVNULL,
        ) as process,
    ):  # fmt: skip
        try:
            while not is_healthy(socket):
                assert process.poll() is None, socket.with_suffix(".log").read_text()[-2000:]
                time.sleep(0.5)
            yield
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
            socket.unlink(missing_ok=True)


def is_healthy(socket: Path) -> bool:
    try:
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket))) as client:
            return client.get("http://localhost/health").status_code == 200
    except httpx.HTTPError:
        return False


def dissect(workspace: Path, run: str, ids: str, *words: str, key: str = KEY) -> tuple[int, str]:
    """Return the exit code and what was said of a dissection in a process of its own."""
    command = [sys.executable, "-c", "from dnd_local.cli.main import run; run()"]
    command += ["dissect", "pocket", "fc", "--ids", ids, "--run", run]
    command += ["--workspace", str(workspace), *SHORT, *words]
    environment = {**child_environment(), KEY_VARIABLE: key}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


def record(workspace: Path, run: str) -> dict[str, dict[str, dict[str, str]]]:
    return dict(json.loads((workspace / "runs" / run / "run.json").read_bytes()))


def test_who_answered_is_known_and_stays_the_same(tmp_path: Path) -> None:
    weights = Weights.open()
    needed = [name for ids in model_ids(make_config("pocket")).values() for name in ids]
    if absent := weights.missing(needed):
        pytest.skip(f"this copy has no weights of {', '.join(absent)}")
    model = weights.folder(make_config("pocket").llm.model)
    socket, work = tmp_path / "llm", tmp_path / "work"
    url = ("--llm", "vllm", "--llm-url", f"unix:{socket}")
    named = (*url, "--llm-model", "house-model")

    with vllm(model, ("house-model", "its-other-name"), socket):
        code, said = dissect(work, "mine", "0-1", *url, key="another")
        assert (code, "answered 401" in said) == (2, True), said
        code, said = dissect(work, "mine", "0-1", *url, "--llm-model", "nobody")
        assert (code, "serves house-model, its-other-name, not 'nobody'" in said) == (2, True), said
        assert not (work / "artefacts").exists(), "refused before any work"
        code, said = dissect(work, "mine", "0-1", *named, "--llm-revision", "v1", "--report")
        assert code == 0, said
        code, said = dissect(work, "mine", "0-1", *url, "--llm-model", "its-other-name")
        assert (code, "llm.model was house-model, is its-other-name" in said) == (2, True), said

    kept = record(work, "mine")
    llm = kept["config"]["llm"]
    assert (llm["engine"], llm["model"], llm["root"]) == ("server", "house-model", str(model))
    assert llm["revision"] == "v1"
    assert str(kept["llm_server"]).startswith("vLLM 0.")
    page = (work / "runs/mine/report/index.html").read_text()
    assert "house-model" in page
    assert str(kept["llm_server"]) in page
    # The key: another name would be another folder of parts.
    keys = {path.parent.name: json.loads(path.read_bytes()) for path in work.rglob("key.json")}
    (phrases,) = [what for name, what in keys.items() if name.startswith("phrases-")]
    assert phrases["of"]["settings"][0]["model"] == "house-model"

    again = (*named, "--llm-revision", "v1")
    assert dissect(work, "mine", "0-1", *again)[0] == 0, "work that is done asks no server"
    code, said = dissect(work, "mine", "0-2", *again)
    assert (code, "no language model server answers" in said) == (2, True), said
    code, said = dissect(work, "replayed", "0-1", "--llm", "replay:mine")
    assert code == 0, said
    assert record(work, "replayed")["config"]["llm"]["model"] == "house-model"
    assert labels(work, "replayed") == labels(work, "mine")

    other = tmp_path / "another-root"
    shutil.copytree(model, other)
    with vllm(other, ("house-model",), socket):
        assert dissect(work, "mine", "0-1", *again)[0] == 0
        code, said = dissect(work, "mine", "0-2", *again)
        assert (code, "is not mixed in from another model" in said) == (2, True), said


def labels(workspace: Path, run: str) -> list[list[str]]:
    lines = (workspace / "runs" / run / "descriptions.jsonl").read_bytes().splitlines()
    return [[label["text"] for label in json.loads(line)["labels"]] for line in lines]
