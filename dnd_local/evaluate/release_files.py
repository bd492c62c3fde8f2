"""The release's CSV files: whose labels each holds, and the layers of one describer joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from dnd_local.core.descriptions import DescriptionTable
from dnd_local.core.errors import UserError
from dnd_local.evaluate.tables import ReadTable, read_table

DESCRIBERS: Final = {
    "dnd": "DnD", "milan": "MILAN", "clip-dissect": "CLIP-Dissect", "netdissect": "NetDissect",
}  # fmt: skip
"""Describers of the release by the name a user types, with the name that figures show."""

_FAMILY: Final = {
    "DnD release": "DnD",
    "DnD release, last layer": "DnD",
    "CLIP-Dissect": "CLIP-Dissect",
    "NetDissect": "NetDissect",
}
"""Whose labels a format holds; a file of our own names its describer."""

_SHARED: Final = "MILAN"
"""A format (layer, unit, description) that CLIP-Dissect's files have too, without similarities."""

_MILAN_PREFIX: Final = "m_"
"""How the release's names of MILAN's files begin."""


def read_release(named: str, layer: str = "") -> ReadTable:
    """Return the table of a file, its describer the one that is meant.

    Args:
        named: the file, or ``DESCRIBER=FILE``, where the describer is one of `DESCRIBERS` or any
            other name.
        layer: as for `read_table`.

    Raises:
        UserError: as `read_table`, or nothing tells whose labels the file holds.
    """
    before, given, after = named.partition("=")
    if given and not Path(named).is_file():
        return _of(read_table(Path(after), layer), DESCRIBERS.get(before.lower(), before))
    path = Path(named)
    read = read_table(path, layer)
    if read.format == _SHARED and path.name.startswith(_MILAN_PREFIX):
        return _of(read, "MILAN")
    if read.format == _SHARED:
        raise UserError(
            f"{path} has a layer, a unit and a description, as files of MILAN and of CLIP-Dissect "
            f"have; say whose labels it holds: milan={path} or clip-dissect={path}"
        )
    return _of(read, _FAMILY.get(read.format, read.table.describer))


def join(tables: Sequence[ReadTable]) -> tuple[ReadTable, ...]:
    """Return one table a describer: its files that cover different layers, joined.

    The release keeps a layer a file. Formats that name the layer in a column are left alone.

    Raises:
        UserError: two files of one describer cover the same layer.
    """
    joined: dict[str, ReadTable] = {}
    for read in tables:
        name = read.table.describer
        earlier = joined.get(name)
        if earlier is None:
            joined[name] = read
            continue
        layers = {row.layer for row in earlier.table.rows}
        twice = {row.layer for row in read.table.rows} & layers
        if twice:
            raise UserError(
                f"{earlier.source} and {read.source} both describe "
                f"{', '.join(sorted(twice)) or 'a layer they do not name'} for {name}; leave one "
                "out, or say whose labels it holds: DESCRIBER=FILE"
            )
        joined[name] = replace(
            earlier,
            table=DescriptionTable(name, (*earlier.table.rows, *read.table.rows)),
            source=f"{earlier.source}, {read.source}",
            notes=(*earlier.notes, *read.notes),
        )
    return tuple(joined.values())


def _of(read: ReadTable, describer: str) -> ReadTable:
    rows = tuple(replace(row, describer=describer) for row in read.table.rows)
    return replace(read, table=DescriptionTable(describer, rows))
