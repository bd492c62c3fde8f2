"""Turning a pickled checkpoint into safetensors, in a child process without a network.

The parent calls `convert` once a pickle's hash has been checked; the child (this module run by
itself) unpickles with torch's restricted reader, which builds tensors and nothing else.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from dnd_local.core.errors import Refused
from dnd_local.store.guard import child_environment, go_offline
from dnd_local.store.netns import isolated, why_not

LIMIT_SECONDS: Final = 1800
MODULE: Final = "dnd_local.store.convert"
"""Named, since this module is `__main__` in the child."""


def convert(source: Path, target: Path) -> None:
    """Write the tensors of the pickle `source` to the safetensors file `target`.

    Raises:
        Refused: the pickle holds more than tensors, or is not readable; the message has the
            child's last line.
    """
    command: Sequence[str] = (sys.executable, "-P", "-m", MODULE, str(source), str(target))
    if not why_not():
        command = isolated(command)
    child = subprocess.run(
        command,
        env=child_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    if child.returncode:
        lines = child.stderr.strip().splitlines() or [f"exit status {child.returncode}"]
        target.unlink(missing_ok=True)
        raise Refused(f"{source.name} could not be converted to safetensors: {lines[-1]}")


def tensors_of(checkpoint: object) -> dict[str, Any]:
    """Return the named tensors of a loaded checkpoint.

    A `state_dict` inside is taken out, and the prefix that data-parallel training leaves on every
    name is cut off.

    Raises:
        Refused: there is something other than tensors among them, or none at all.
    """
    if isinstance(checkpoint, Mapping) and isinstance(checkpoint.get("state_dict"), Mapping):
        checkpoint = checkpoint["state_dict"]
    if not isinstance(checkpoint, Mapping) or not checkpoint:
        raise Refused(f"it holds a {type(checkpoint).__name__}, not a table of tensors")
    for name, value in checkpoint.items():
        if not isinstance(name, str) or not hasattr(value, "contiguous"):
            raise Refused(f"its '{name}' is a {type(value).__name__}, not a tensor")
    prefix = "module." if all(name.startswith("module.") for name in checkpoint) else ""
    return {name.removeprefix(prefix): value for name, value in checkpoint.items()}


def main(source: Path, target: Path) -> None:
    """Convert in this process, which is a child started for it."""
    go_offline()
    import torch
    from safetensors.torch import save_file

    checkpoint = torch.load(source, map_location="cpu", weights_only=True)
    # A copy each: safetensors refuses tensors that share memory, as tied weights do.
    tensors = {name: value.contiguous().clone() for name, value in tensors_of(checkpoint).items()}
    save_file(tensors, target, metadata={"format": "pt"})


if __name__ == "__main__":  # pragma: no cover - the child
    main(Path(sys.argv[1]), Path(sys.argv[2]))
