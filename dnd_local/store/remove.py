"""Taking weights off the disk again."""

from __future__ import annotations

import shutil
from pathlib import Path

from dnd_local.core.errors import Refused
from dnd_local.store.manifest import Shipped
from dnd_local.store.own_models import forget_own, locked
from dnd_local.store.stamps import forget_stamps
from dnd_local.store.weights import Weights


def remove(weights: Weights, name: str) -> int:
    """Remove an id's folder, pins and whatever of it was on its way; return the bytes freed.

    Of a model that the user registered the links and the entry go; the user's folder stays.

    Raises:
        UnknownName: the manifest has no such id.
        Refused: it ships with the package, or its folder is a link.
    """
    entry = weights.manifest.entry(name)
    if isinstance(entry.source, Shipped):
        raise Refused(f"'{name}' ships with dnd-local and cannot be removed by itself")
    folder = weights.place(entry)
    if folder.is_symlink():
        raise Refused(f"{folder} is a link; remove it yourself")
    freed = _size(folder) + _size(weights.root / ".partial" / name)
    for path in (folder, weights.root / ".partial" / name):
        if path.exists():
            shutil.rmtree(path)
    forget_stamps(weights.root, name)
    weights.pins.forget(name)
    if entry.own:
        with locked(weights.root):
            forget_own(weights.root, name)
    return freed


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
