"""The bench of engines, at its tiny sizes on the CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_every_role_is_measured_at_tiny_sizes() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/bench/gpu.py", "--sizes", "tiny", "--repeats", "1"],
        cwd=ROOT, capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    first, *figures = [json.loads(line) for line in done.stdout.splitlines()]
    assert (first["device"], first["sizes"]) == ("cpu", "tiny")
    parts = [figure["part"] for figure in figures]
    assert parts == ["target", "captioner", "language-model", *["painter"] * 3, "embedder"]
    assert all(figure["seconds_a_neuron"] > 0 for figure in figures)
    painters = [figure for figure in figures if figure["part"] == "painter"]
    assert all(0 < figure["share_of_peak"] < 1.5 for figure in painters)
    steps = [figure["tflop_a_picture"] for figure in painters]
    assert steps[0] == pytest.approx(steps[1])
    assert steps[2] < steps[0], "fewer steps cost less"
