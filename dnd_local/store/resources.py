"""Files that ship with the package: prompts, the weights manifest, presets.

In a wheel they lie inside the package; in a checkout `prompts/` and `weights_manifest.json` lie
at the top of the repository. One lookup serves both.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def shipped(name: str) -> Path:
    """Return the path of a shipped file or folder, for example ``"prompts"``.

    Raises:
        FileNotFoundError: the installation lacks it.
    """
    for base in (_PACKAGE / "_shipped", _PACKAGE.parent, _PACKAGE):
        if (path := base / name).exists():
            return path
    raise FileNotFoundError(f"this installation of dnd-local lacks {name}; install it again")


def checkout() -> Path | None:
    """Return this project's source tree where the package runs from one, None from a wheel."""
    home = _PACKAGE.parent
    return home if (home / "pyproject.toml").is_file() else None
