"""The models that a user registered: a manifest of their own, beside the weights it names.

It is `own_models.json` at the top of the weights folder, lies over the shipped manifest, and is
written by `weights add`, `weights remove` and `weights unpack` alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
from filelock import FileLock, Timeout

from dnd_local.core.digest import canonical, key
from dnd_local.core.errors import BadConfig, UserError
from dnd_local.core.regular import read_regular
from dnd_local.store.files import write_atomic
from dnd_local.store.manifest import SCHEMA, Entry, Local, Manifest, parse_manifest

OWN_NAME: Final = "own_models.json"
_PATIENCE_S: Final = 60.0


def read_own(root: Path) -> Manifest:
    """Return the user's own manifest of a weights folder; an empty one where there is none.

    Raises:
        BadConfig: the file cannot be read, or names a model that is not a folder of the user's.
    """
    path = root / OWN_NAME
    try:
        return parse_own(read_regular(path), str(path))
    except FileNotFoundError:
        return Manifest(schema=SCHEMA, entries=())
    except OSError as error:
        raise BadConfig(f"cannot read {path}: {error.strerror}") from None


def parse_own(data: bytes, name: str) -> Manifest:
    """Return the own manifest of JSON bytes.

    Raises:
        BadConfig: as `read_own`; the message starts with `name`.
    """
    manifest = parse_manifest(data, name)
    for entry in manifest.entries:
        if not entry.own or any(file.sha256 is None for file in entry.files):
            raise BadConfig(
                f"{name}: '{entry.id}' is not a local model with all its hashes; this file is "
                "written by `dnd-local weights add` alone"
            )
    return manifest


def encoded_own(entries: Iterable[Entry]) -> bytes:
    """Return the bytes of an own manifest."""
    manifest = Manifest(schema=SCHEMA, entries=tuple(sorted(entries, key=lambda one: one.id)))
    return msgspec.json.format(canonical(manifest), indent=2) + b"\n"


def portable(entry: Entry) -> Entry:
    """Return an entry as it goes into a bundle: without the folder of this machine."""
    return msgspec.structs.replace(entry, source=Local()) if entry.own else entry


def put_own(root: Path, entry: Entry) -> None:
    """Write an entry into the own manifest, in place of one of that id; hold `locked`."""
    others = [one for one in read_own(root).entries if one.id != entry.id]
    write_atomic(root / OWN_NAME, encoded_own([*others, entry]))


def forget_own(root: Path, name: str) -> None:
    """Drop an id from the own manifest; hold `locked`."""
    write_atomic(root / OWN_NAME, encoded_own(e for e in read_own(root).entries if e.id != name))


def same_model(one: Entry, other: Entry) -> bool:
    """Return whether two entries are the same files, read as the same network in the same role.

    A converted file counts by what it was made from, as in keys.
    """
    return _meaning(one) == _meaning(other)


def _meaning(entry: Entry) -> str:
    origins = [(file.path, file.converted_from or file) for file in entry.files]
    return key([entry.role, entry.network, sorted((p, one.sha256 or "") for p, one in origins)])


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Hold the own manifest of a weights folder against other processes.

    Raises:
        UserError: another process holds it for a minute.
    """
    root.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(root / ".own_models.lock", timeout=_PATIENCE_S):
            yield
    except Timeout:
        raise UserError(
            f"another `weights add` or `weights remove` is at work in {root}; wait for it to end"
        ) from None
