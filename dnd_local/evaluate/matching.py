"""Putting the tables of several describers side by side, neuron by neuron."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dnd_local.core.amounts import count_text
from dnd_local.core.cards import Card
from dnd_local.core.descriptions import DescriptionRow, DescriptionTable
from dnd_local.core.errors import UserError

NeuronKey = tuple[str, int]
"""A layer's name, empty where the tables match by number alone, and the neuron's index."""


@dataclass(frozen=True, slots=True)
class Matching(Card):
    """The neurons that every table describes; `columns` has one tuple of rows a table.

    `how` says how ids were matched, `notes` what was left out, one line each.
    """

    keys: tuple[NeuronKey, ...]
    columns: tuple[tuple[DescriptionRow, ...], ...]
    how: str
    notes: tuple[str, ...]


def match(tables: Sequence[DescriptionTable]) -> Matching:
    """Return the neurons that all tables describe, by layer and index.

    Where a table names no layer, index alone decides, which needs one layer in each of the
    others. Neurons without a label stay out.

    Raises:
        UserError: fewer than two tables, a neuron twice in one, several layers against none, or
            no neuron in common.
    """
    if len(tables) < 2:
        raise UserError("nothing to compare with: name two tables or runs at least")
    layers = [sorted({row.layer for row in table.rows}) for table in tables]
    by_layer = all("" not in names for names in layers)
    if not by_layer:
        _one_layer_each(tables, layers)
    indexed = [_indexed(table, by_layer) for table in tables]
    common = sorted(set.intersection(*(set(rows) for rows in indexed)))
    if not common:
        spans = "; ".join(
            f"{table.describer} has {_span(rows)}"
            for table, rows in zip(tables, indexed, strict=True)
        )
        raise UserError(f"no neuron in common: {spans}")
    how = "layer and index" if by_layer else "index alone: a table names no layer"
    notes = [
        f"{table.describer}: of {count_text(len(rows), 'labelled neuron')}, "
        f"{len(rows) - len(common)} not in every other table"
        for table, rows in zip(tables, indexed, strict=True)
        if len(rows) > len(common)
    ]
    columns = tuple(tuple(rows[key] for key in common) for rows in indexed)
    return Matching(tuple(common), columns, how, tuple(notes))


def _one_layer_each(tables: Sequence[DescriptionTable], layers: Sequence[Sequence[str]]) -> None:
    bare = next(t.describer for t, names in zip(tables, layers, strict=True) if "" in names)
    for table, names in zip(tables, layers, strict=True):
        if len(names) > 1:
            raise UserError(
                f"{table.describer} has the layers {', '.join(names)} and {bare} names none; "
                "say which is meant with --layer"
            )


def _indexed(table: DescriptionTable, by_layer: bool) -> dict[NeuronKey, DescriptionRow]:
    rows: dict[NeuronKey, DescriptionRow] = {}
    for row in table.rows:
        key = (row.layer if by_layer else "", row.neuron)
        if key in rows:
            raise UserError(f"{table.describer} describes neuron {row.neuron} of {row.layer} twice")
        if row.labels:
            rows[key] = row
    return rows


def _span(rows: dict[NeuronKey, DescriptionRow]) -> str:
    if not rows:
        return "no label at all"
    low, high = min(rows), max(rows)
    return f"{' '.join(map(str, low)).strip()} to {' '.join(map(str, high)).strip()}"
