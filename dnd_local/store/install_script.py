"""The script inside a bundle that installs it on a machine without a network."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence

_HEAD = """\
#!/bin/sh
# Installs dnd-local and the weights of this folder; needs no network.
#   sh install.sh [FOLDER]     FOLDER holds the environments (default: ~/dnd-local)
# PYTHON names the interpreter: the version that the wheels were gathered with, {python}.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
target=${{1:-"$HOME/dnd-local"}}
python=${{PYTHON:-{python}}}
"""

_MAIN = """\
(cd "$here" && sha256sum --check --quiet SHA256SUMS)
"$python" -m venv "$target/main"
"$target/main/bin/python" -m pip install --no-index --find-links "$here/wheels/main" \\
    --no-deps --require-hashes --requirement "$here/wheels/main/requirements.txt"
program="$target/main/bin/dnd-local"
"""

_VLLM = """\
"$python" -m venv "$target/vllm"
"$target/vllm/bin/python" -m pip install --no-index --find-links "$here/wheels/vllm" \\
    --no-deps --require-hashes --requirement "$here/wheels/vllm/requirements.txt"
export DND_LOCAL_VLLM_PYTHON="$target/vllm/bin/python"
echo "vLLM is in its own environment; name it with --vllm-python $target/vllm/bin/python"
"""

_NO_WHEELS = """\
program=$(command -v dnd-local) || {
    echo "this bundle has no wheels: install dnd-local first" >&2
    exit 2
}
"""

_TAIL = """\
"$program" weights unpack "$here"
"$program" weights verify {ids}
"$program" doctor || true
echo "installed: $program"
"""


def install_script(ids: Sequence[str], *, has_wheels: bool, has_vllm: bool) -> str:
    """Return the shell script of a bundle with these ids and wheels."""
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    parts = [_HEAD.format(python=python), _MAIN if has_wheels else _NO_WHEELS]
    if has_vllm:
        parts.append(_VLLM)
    parts.append(_TAIL.format(ids=shlex.join(ids)))
    return "".join(parts)
