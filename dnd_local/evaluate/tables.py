"""Reading the files in which people keep descriptions of neurons.

Every format becomes one `DescriptionTable`; neurons count from 0 whatever the file does. What
was read and what was left out is said in the notes, one line each; what cannot be told apart is
refused in one line. Matching two tables is in `matching`, writing in `exports`.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dnd_local.core.amounts import count_text
from dnd_local.core.cards import Card
from dnd_local.core.descriptions import DescriptionRow, DescriptionTable, Status
from dnd_local.core.errors import UserError
from dnd_local.core.regular import read_regular
from dnd_local.evaluate.formats import FORMATS, Format
from dnd_local.store.outputs import unguard

_LAYER_IN_NAME = re.compile(r"(?:^|[_\- ])(layer\d+|conv\d+|fc|head|classifier)$", re.IGNORECASE)
_LONGEST_ID = 12
"""Digits of a neuron's id, at most: no layer is as wide, and Python refuses to read thousands."""
_BOMS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


@dataclass(frozen=True, slots=True)
class ReadTable(Card):
    """A table with where it came from; `notes` say, one line each, what a reader should know.

    `stacked` is what the labels of one neuron are where they are peers (annotations), empty
    where they are ranked, best first.
    """

    table: DescriptionTable
    source: str
    format: str
    encoding: str = ""
    stacked: str = ""
    notes: tuple[str, ...] = ()

    def summary(self) -> str:
        """Return one line: what was read, how many neurons, of which layers."""
        rows = self.table.rows
        layers = sorted({row.layer for row in rows})
        named = ", ".join(layer or "no layer named" for layer in layers)
        labelled = sum(bool(row.labels) for row in rows)
        coded = f", {self.encoding}" if self.encoding else ""
        neurons = count_text(len(rows), "neuron")
        return f"{self.source}: {self.format}, {neurons} ({named}), {labelled} with a label{coded}"


def read_table(path: Path, layer: str = "", describer: str = "") -> ReadTable:
    """Return the descriptions of a CSV file in any of `FORMATS`.

    Args:
        path: the file; comma, semicolon or tab separated.
        layer: keep only this layer; for a file without a layer column, the layer it is about.
        describer: the name to show, by default the file's.

    Raises:
        UserError: the file cannot be read or is in no known format, an id is missing, negative
            or no number, one neuron has two different descriptions, or the layer is not there.
    """
    text, encoding = read_text(path)
    header, records, kind = _records(text, path)
    rows, notes = _rows(records, header, kind, path, layer, describer or path.stem)
    if encoding not in ("utf-8", "utf-8-sig"):
        notes.append(f"read as {encoding}: it is not UTF-8")
    table = DescriptionTable(rows[0].describer, tuple(rows))
    return ReadTable(table, path.name, kind.name, encoding, kind.stacked, tuple(notes))


def read_text(path: Path) -> tuple[str, str]:
    """Return a text file's content and its encoding: by its mark, else UTF-8, else Latin-1.

    Raises:
        UserError: the file cannot be read or is not text.
    """
    try:
        data = read_regular(path)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    encoding = next((name for mark, name in _BOMS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        encoding, text = "latin-1", data.decode("latin-1")
    # Looked for after decoding: half the bytes of a text in UTF-16 are zero.
    if "\0" in text:
        raise UserError(f"{path} is not a text file (it holds zero bytes)")
    return text, encoding


def _records(text: str, path: Path) -> tuple[list[str], list[tuple[int, list[str]]], Format]:
    """Return header, records with their line numbers and the format, for the delimiter that fits.

    The first delimiter whose header is known wins, so a description full of commas cannot
    mislead.
    """
    if not text.strip():
        raise UserError(f"{path} is empty; a table needs a header line and one line a neuron")
    for delimiter in ",;\t":
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        try:
            header = [" ".join(cell.lower().split()) for cell in next(reader)]
            kind = next((k for k in FORMATS if k.columns <= set(header)), None)
            if kind is not None:
                # Strict from here on: a quote left open would swallow the lines below it.
                reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
                next(reader)
                records = [(reader.line_num, record) for record in reader if any(record)]
                return header, records, kind
        except csv.Error as error:
            said = str(error).replace("unexpected end of data", "a double quote is never closed")
            raise UserError(f"{path}, line {reader.line_num}: {said}") from None
    first = text.lstrip("\ufeff").splitlines()[0][:80]
    shown = "".join(sign if sign.isprintable() else "?" for sign in first)
    known = "; ".join(sorted(",".join(sorted(k.columns)) for k in FORMATS))
    raise UserError(f"{path} has the header '{shown}', which is no known format ({known})")


def _rows(
    records: Sequence[tuple[int, list[str]]],
    header: Sequence[str],
    kind: Format,
    path: Path,
    layer: str,
    describer: str,
) -> tuple[list[DescriptionRow], list[str]]:
    notes: list[str] = []
    named = layer if kind.layer or layer else _layer_of(path, notes)
    grouped: dict[tuple[str, int], list[dict[str, str]]] = {}
    lines: dict[tuple[str, int], int] = {}
    repeats = 0
    for line, cells in _cells(records, header, path):
        key = (cells[kind.layer].strip() if kind.layer else named, _index(cells, kind, path, line))
        if kind.layer and layer and key[0] != layer:
            continue
        earlier = grouped.setdefault(key, [])
        if earlier and not kind.stacked:
            if earlier[0] != cells:
                raise UserError(
                    f"{path}: neuron {cells[kind.neuron]}{f' of {key[0]}' if key[0] else ''} is "
                    f"described twice, differently, on lines {lines[key]} and {line}; keep one"
                )
            repeats += 1
            continue
        lines.setdefault(key, line)
        earlier.append(cells)
    if not grouped:
        about = f"no row of layer '{layer}'" if layer and records else "no row under its header"
        raise UserError(f"{path} has {about}")
    rows = [_row(key, group, kind, describer) for key, group in sorted(grouped.items())]
    notes += _remarks(rows, kind, repeats)
    if len({row.describer for row in rows}) > 1:
        raise UserError(f"{path} holds several describers; split it into one file each")
    return rows, notes


def _cells(
    records: Sequence[tuple[int, list[str]]], header: Sequence[str], path: Path
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each record as a mapping; cells missing at the end of a line are empty."""
    for line, record in records:
        if len(record) > len(header):
            raise UserError(
                f"{path}, line {line}: {len(record)} cells under {len(header)} columns; a text "
                "with commas must stand in double quotes"
            )
        padded = [*record, *([""] * (len(header) - len(record)))]
        yield line, dict(zip(header, padded, strict=True))


def _index(cells: Mapping[str, str], kind: Format, path: Path, line: int) -> int:
    """Return the neuron's index from 0; '12.0', which spreadsheets make of 12, is 12."""
    text = cells[kind.neuron].strip()
    match = re.fullmatch(r"(\d+)(?:\.0*)?", text)
    if match is None or len(match.group(1)) > _LONGEST_ID:
        shown, why = text[:40], "is too long" if match else "is not a whole number"
        raise UserError(f"{path}, line {line}: neuron id '{shown}' {why}")
    index = int(match.group(1)) - kind.first
    if index < 0:
        raise UserError(f"{path}, line {line}: {kind.name} counts from {kind.first}, found {text}")
    return index


def _row(
    key: tuple[str, int], group: Sequence[Mapping[str, str]], kind: Format, describer: str
) -> DescriptionRow:
    labels: list[str] = []
    scores: list[float] = []
    for cells in group:
        for i, column in enumerate(kind.labels):
            if label := _clean(cells.get(column, ""), kind):
                labels.append(label)
                score = cells.get(kind.scores[i], "") if kind.scores else ""
                scores += [_score(score)] if score.strip() else []
    cells = group[0]
    status: Status = "described" if labels else "abstained"
    if kind.name == "dnd-local":
        status = cells["status"].strip() or status  # type: ignore[assignment]  # written by us
    return DescriptionRow(
        describer=unguard(cells.get("describer", "")) or describer,
        target=unguard(cells.get("target", "")),
        layer=key[0],
        neuron=key[1],
        labels=tuple(labels),
        scores=tuple(scores) if len(scores) == len(labels) else (),
        status=status,
    )


def _clean(text: str, kind: Format) -> str:
    """Return a label without outer space; NetDissect's `game_room-s` is a game room (a scene)."""
    label = " ".join(unguard(text).split())
    if kind.name == "NetDissect":
        label = re.sub(r"-[sc]$", "", label).replace("_", " ")
    return label


def _score(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _layer_of(path: Path, notes: list[str]) -> str:
    if match := _LAYER_IN_NAME.search(path.stem):
        notes.append(f"no layer column: '{match.group(1).lower()}' taken from the file's name")
        return match.group(1).lower()
    notes.append("no layer column and none in the file's name: neurons match by number alone")
    return ""


def _remarks(rows: Sequence[DescriptionRow], kind: Format, repeats: int) -> list[str]:
    notes = []
    if kind.first:
        notes.append(f"{kind.name} counts neurons from {kind.first}: {kind.first} is neuron 0 here")
    if repeats:
        notes.append(f"{count_text(repeats, 'line')} said the same as another and counted once")
    if empty := sum(not row.labels for row in rows):
        notes.append(f"{count_text(empty, 'neuron')} with an empty label: in no figure")
    if kind.stacked:
        counts = sorted({len(row.labels) for row in rows})
        notes.append(f"{kind.stacked} a neuron: {', '.join(map(str, counts))}")
    return notes
