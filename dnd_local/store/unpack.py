"""Bringing a bundle's weights over the air gap into the weights folder."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from dnd_local.core.amounts import size_text
from dnd_local.core.errors import DamagedFile, Refused, UserError
from dnd_local.store.bundle import WEIGHTS, Bundle, copy_checked, opened, read_inventory
from dnd_local.store.fetch import Progress
from dnd_local.store.manifest import SCHEMA, Entry, Manifest
from dnd_local.store.own_models import (
    OWN_NAME,
    locked,
    parse_own,
    portable,
    put_own,
    same_model,
)
from dnd_local.store.pins import PINS_NAME, Pin, Pins, parse_pins
from dnd_local.store.weights import Weights


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What unpacking did: ids that landed, ids that were complete before, own ids now known."""

    landed: tuple[str, ...]
    kept: tuple[str, ...]
    registered: tuple[str, ...] = ()


def unpack(
    weights: Weights,
    source: Path,
    progress: Progress,
    *,
    free: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
) -> Unpacked:
    """Bring a bundle's weights into the weights folder and return what was done.

    Everything is checked before anything lands; then each file is hashed on its way to a
    temporary folder inside the weights folder, and only a complete, right id is moved into place.

    Raises:
        Refused: the bundle holds what it should not, or ids this version does not know.
        DamagedFile: a file is not what it should be; it is named.
        UserError: there is no bundle, or too little disk.
    """
    with opened(source) as bundle:
        inventory = read_inventory(source, bundle)
        pins = _bundled_pins(source, bundle)
        registered = _new_own(weights, source, bundle)
        weights.manifest = weights.manifest.under(Manifest(schema=SCHEMA, entries=registered))
        known = {entry.id: entry for entry in weights.manifest.entries}
        if strange := [name for name in inventory.ids if name not in known]:
            raise Refused(
                f"{source} holds '{strange[0]}', which this version's manifest does not know; "
                f"install the version that made it ({inventory.made_by})"
            )
        entries = [known[name] for name in inventory.ids]
        _check_contents(source, bundle, entries)
        wanted = [one for one in entries if weights.report(one.id).state != "have"]
        needed = sum(bundle.sizes[f"{WEIGHTS}/{e.id}/{p}"] for e in wanted for p in _paths(e))
        weights.root.mkdir(parents=True, exist_ok=True)
        if needed > free(weights.root):
            raise UserError(
                f"the disk of {weights.root} has {size_text(free(weights.root))} free, and "
                f"{source} needs {size_text(needed)}; make room, or name another folder in "
                "DND_LOCAL_WEIGHTS"
            )
        progress.total(needed)
        try:
            for entry in registered:
                with locked(weights.root):
                    put_own(weights.root, entry)
            for entry in wanted:
                _land(weights, entry, source, bundle, pins, progress)
        except OSError as error:
            raise UserError(f"{weights.root}: {error.strerror} ({error.filename})") from None
    kept = tuple(entry.id for entry in entries if entry not in wanted)
    return Unpacked(tuple(e.id for e in wanted), kept, tuple(entry.id for entry in registered))


def _land(
    weights: Weights,
    entry: Entry,
    source: Path,
    bundle: Bundle,
    pins: Pins,
    progress: Progress,
) -> None:
    with tempfile.TemporaryDirectory(dir=weights.root, prefix=".unpack-") as scratch:
        fresh: list[Pin] = []
        for file in entry.files:
            name = f"{WEIGHTS}/{entry.id}/{file.path}"
            pin = pins.find(entry, file.path)
            expected = weights.pins.hash_of(entry, file) or pins.hash_of(entry, file)
            if expected is None:
                raise Refused(f"{source}: no hash of '{name}' is known, so it is not taken")
            with bundle.open(name) as data:
                copy_checked(
                    data, Path(scratch, file.path), expected, f"{source}: '{name}'", progress
                )
            if pin is not None:
                fresh.append(pin)
        if fresh:
            weights.pins.add(fresh)
        folder = weights.place(entry)
        for file in entry.files:
            (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
            Path(scratch, file.path).replace(folder / file.path)
        weights.vouch(entry.id, _paths(entry))


def _check_contents(source: Path, bundle: Bundle, entries: Iterable[Entry]) -> None:
    """Refuse a bundle whose weights are not exactly the files of its ids."""
    right = {f"{WEIGHTS}/{entry.id}/{path}" for entry in entries for path in _paths(entry)}
    held = {name for name in bundle.sizes if name.startswith(f"{WEIGHTS}/")}
    papers = {f"{WEIGHTS}/{PINS_NAME}", f"{WEIGHTS}/{OWN_NAME}"}
    if extra := sorted(held - right - papers):
        raise Refused(f"{source} holds '{extra[0]}', which no id of it names")
    if absent := sorted(right - held):
        raise DamagedFile(f"{source} lacks '{absent[0]}'")


def _bundled_pins(source: Path, bundle: Bundle) -> Pins:
    name = f"{WEIGHTS}/{PINS_NAME}"
    if name not in bundle.sizes:
        return Pins(source)
    with bundle.open(name) as file:
        return Pins(source, parse_pins(file.read(), f"{source}, {name}"))


def _new_own(weights: Weights, source: Path, bundle: Bundle) -> tuple[Entry, ...]:
    """Return the models of their maker's own that a bundle brings and that are not known here.

    Raises:
        Refused: one has the name of another model.
    """
    name = f"{WEIGHTS}/{OWN_NAME}"
    if name not in bundle.sizes:
        return ()
    with bundle.open(name) as file:
        brought = parse_own(file.read(), f"{source}, {name}").entries
    here = {one: entry for entry in weights.manifest.entries for one in entry.names}
    for entry in brought:
        if entry.id in here and not (here[entry.id].own and same_model(here[entry.id], entry)):
            raise Refused(
                f"{source} brings a model '{entry.id}', and another one has that name here; pack "
                "it under another name, or remove yours first"
            )
    return tuple(portable(entry) for entry in brought if entry.id not in here)


def _paths(entry: Entry) -> list[str]:
    return [file.path for file in entry.files]
