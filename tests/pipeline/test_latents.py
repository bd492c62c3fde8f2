"""A run over the latents of the embedded network: commands, boxes, keys, memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from dnd_local.pipeline.opening import model_ids
from dnd_local.pipeline.settings import make_config
from dnd_local.store.guard import child_environment
from dnd_local.store.weights import Weights
from tests.engines.latents_folder import save_latents

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800, func_only=True)]

PROGRAM = "from dnd_local.cli.main import run; run()"
INPUTS = 96
"""Neurons of the embedded network's layer4."""

MEASURED = """
import pathlib, re, sys
from dnd_local.cli.main import run
try:
    run()
finally:
    # Not getrusage: it counts the process that started this one, too.
    status = pathlib.Path("/proc/self/status").read_text()
    print(re.search(r"VmHWM:\\s+(\\d+)", status)[1], file=sys.stderr)
"""


def command(*words: str, program: str = PROGRAM) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *words], env=child_environment(), capture_output=True,
        text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights folder with two encoders, registered by the command."""
    needed = [name for ids in model_ids(make_config("pocket")).values() for name in ids]
    if absent := Weights.open().missing(needed):
        pytest.skip(f"this copy has no weights of {', '.join(absent)}")
    root = tmp_path_factory.mktemp("latents")
    for name, latents in (("sae", 300), ("wide", 10_000)):
        folder = save_latents(root / name, INPUTS, latents, "topk", k=8)
        done = command(
            "weights", "add", name, str(folder), "--role", "latents", "--weights",
            str(root / "weights"),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert f"dnd-local dissect NETWORK LAYER --latents {name}" in done.stdout + done.stderr
    return root / "weights"


def test_a_whole_run(weights: Path, tmp_path: Path) -> None:
    where = ["--weights", str(weights), "--workspace", str(tmp_path)]
    quick = ["--pictures-steps", "2", "--pictures-count", "2", "--concepts-max-draws", "5"]
    asked = ["dissect", "pocket", "layer4", "--latents", "sae", "--probe-sample", "300", *quick]
    wrong = command(*asked[:2], "layer1", *asked[3:], *where)
    assert wrong.returncode == 2
    assert wrong.stderr.count("\n") == 1
    assert "as many neurons as the encoder reads" in wrong.stderr
    triaged = command("triage", *asked[1:7], *where, "--json")
    verdicts = {one["index"]: one["verdict"] for one in json.loads(triaged.stdout)[0]["neurons"]}
    live = [str(i) for i, verdict in verdicts.items() if verdict == "live"][:2]
    done = command(*asked, "--ids", ",".join(live), "--run", "first", *where)
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "runs/first/descriptions.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [(one["neuron"]["layer"], one["neuron"]["index"], one["status"]) for one in rows] == [
        ("layer4:sae", int(index), "described") for index in live
    ]
    shown = json.loads(
        command("show", "first", live[0], "--json", "--workspace", str(tmp_path), *where[:2]).stdout
    )
    exemplars = shown["exemplars"]["exemplars"]
    boxes = [one for one in exemplars if one["box"] is not None]
    assert boxes, "latents of map cells have boxes"
    again = command(*asked[:2], "layer4:sae", *asked[3:], "--ids", ",".join(live), *where)
    assert again.returncode == 0, again.stderr
    truth = command("truth", "first", "planted", *where)
    assert truth.returncode == 2, "what the network's neurons mean is no truth about latents"


def test_ten_thousand_latents_are_triaged_in_little_memory(weights: Path, tmp_path: Path) -> None:
    asked = ["triage", "pocket", "layer4", "--probe-sample", "300", "--json"]
    where = ["--weights", str(weights), "--workspace", str(tmp_path)]
    few = command(*asked, *where, program=MEASURED)
    done = command(*asked, *where, "--latents", "wide", program=MEASURED)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)[0]["neurons"]) == 10_000
    (part,) = [
        path for path in tmp_path.glob("artefacts/responses-*/*.safetensors") if "wide" in path.name
    ]
    (values,) = [one for one in load_file(part).values() if one.ndim == 2]
    assert values.shape == (300, 10_000)
    assert 0 < np.count_nonzero(values) < values.size
    # Against the network's own neurons: what libraries take is another figure on each machine.
    more = int(done.stderr.split()[-1]) - int(few.stderr.split()[-1])
    assert more < 650_000, f"{more} KiB; the covariance alone would be 780,000"
