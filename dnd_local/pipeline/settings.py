"""From presets, a settings file and options to one checked `Config`, and where work is done."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dnd_local.core.config import Config
from dnd_local.core.config_reading import merge, read_config, read_toml
from dnd_local.core.errors import UnknownName, UserError
from dnd_local.pipeline.opening import POCKET_TARGETS
from dnd_local.store.resources import shipped, user_folder

WORKSPACE_VARIABLE = "DND_LOCAL_WORKSPACE"
DATA_VARIABLE = "DND_LOCAL_DATA"


def presets() -> dict[str, Path]:
    """Return the shipped presets by name."""
    return {path.stem: path for path in sorted(shipped("presets").glob("*.toml"))}


def make_config(
    target: str,
    preset: str = "",
    settings: Path | None = None,
    options: Mapping[str, Any] | None = None,
    meant: Mapping[str, Any] | None = None,
) -> Config:
    """Return the settings of a run: preset, then settings file, then options, later ones winning.

    Args:
        target: the network's name.
        preset: a preset's name; by itself `pocket` for pocket targets, else `paper`.
        settings: a TOML file of settings.
        options: nested settings given one by one.
        meant: how the image generator that the user names is meant to paint; wins over the
            preset, whose numbers are for another one.

    Raises:
        UnknownName: no such preset.
        BadConfig: an unknown key or a value out of range.
    """
    known = presets()
    preset = preset or ("pocket" if target in POCKET_TARGETS else "paper")
    if preset not in known:
        raise UnknownName("preset", preset, known, f"There are {', '.join(known)}.")
    base = read_toml(known[preset])
    # Each source is checked on its own, so that a mistake is blamed on the right one.
    given = read_toml(settings) if settings else {}
    read_config(merge(base, given), str(settings) if settings else "preset")
    pictures = {"pictures": meant} if meant else {}
    values = merge(base, pictures, given, options or {}, {"network": {"name": target}})
    return read_config(values, "options")


def default_workspace(environment: Mapping[str, str] = os.environ) -> Path:
    """Return ``$DND_LOCAL_WORKSPACE``, else ``dnd-workspace`` in the current folder."""
    return Path(environment.get(WORKSPACE_VARIABLE) or "dnd-workspace").expanduser()


def writable(workspace: Path) -> Path:
    """Return a workspace in which work can be kept; it need not be there yet.

    Raises:
        UserError: it is a file, lies below one, or the user may not write there.
    """
    nearest = next(path for path in (workspace, *workspace.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise UserError(
            f"the workspace {workspace} cannot be: {nearest} is a file; name a folder with "
            "--workspace"
        )
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UserError(
            f"the workspace {workspace} cannot be written: you have no right to write into "
            f"{nearest}; name another folder with --workspace"
        )
    return workspace


def default_data(
    environment: Mapping[str, str] = os.environ,
    platform: str = sys.platform,
    home: Path | None = None,
) -> Path:
    """Return where prepared probe sets lie: ``$DND_LOCAL_DATA``, else the user's data folder."""
    return user_folder(DATA_VARIABLE, "probe-sets", environment, platform, home)
