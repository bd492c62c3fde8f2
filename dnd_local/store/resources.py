"""Files that ship with the package: prompts, the weights manifest, presets.

In a wheel they lie inside the package; in a checkout `prompts/` and `weights_manifest.json` lie
at the top of the repository. One lookup serves both.
"""

from __future__ import annotations

from collections.abc import Mapping
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


def user_folder(
    variable: str,
    name: str,
    environment: Mapping[str, str],
    platform: str,
    home: Path | None = None,
) -> Path:
    """Return a folder of the user's own: the environment `variable`, else in their data folder.

    Args:
        variable: the environment variable that names another folder.
        name: the folder's name below ``dnd-local`` in the platform's place for data.
        environment: the environment.
        platform: as `sys.platform` says.
        home: the user's home; asked of the system if not given.
    """
    if named := environment.get(variable):
        return Path(named).expanduser()
    home = home or Path.home()
    if platform == "win32":
        base = Path(environment.get("LOCALAPPDATA") or home / "AppData" / "Local")
    else:
        base = Path(environment.get("XDG_DATA_HOME") or home / ".local" / "share")
    return base / "dnd-local" / name
