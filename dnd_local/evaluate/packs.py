"""Packs: a run's labels to publish, or to open as a describer somewhere else.

A pack is a folder of tables (CSV, JSON lines, Parquet), ``README.md`` for people, and ``pack.json``
with the source and hashes of the tables (docs/packs.md). It is removed first and written last, so a
folder that has it is complete. Of a folder or a factory's file only its name goes in, no path.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from dnd_local import __version__
from dnd_local.core.descriptions import Description, DescriptionRow, DescriptionTable, Status
from dnd_local.core.digest import sha256
from dnd_local.core.errors import DamagedFile, Refused, UserError
from dnd_local.core.factory_names import own_name
from dnd_local.core.ledger_rows import sides
from dnd_local.core.records import RULES
from dnd_local.evaluate.exports import jsonl_text, records_csv
from dnd_local.evaluate.pack_card import card, public_settings, sources
from dnd_local.evaluate.tables import ReadTable
from dnd_local.evaluate.verdicts import Verdicts, lines, read_verdicts
from dnd_local.pipeline.describing import LABELS, read_scores
from dnd_local.pipeline.reading import OUTDATED, StoredRun
from dnd_local.store.files import write_atomic
from dnd_local.store.outputs import Cell

SCHEMA: Final = 1
"""Raised when a column or an entry changes its meaning; new ones do not raise it."""

FORMAT: Final = "dnd-local pack"
INDEX: Final = "pack.json"
README: Final = "README.md"
TABLES: Final = ("labels", "candidates", "verdicts")
ENDINGS: Final = ("csv", "jsonl", "parquet")

_TEXTS: Final = {
    "describer", "target", "layer", "status", "reason", "rule", "label", "verdict", "candidate",
    *(f"label_{i + 1}" for i in range(LABELS)),
}  # fmt: skip
_NUMBERS: Final = {"neuron"}


class Pack(Struct, frozen=True, kw_only=True):
    """The content of ``pack.json``; entries that a newer version added are passed over."""

    format: Literal["dnd-local pack"]
    schema: int
    describer: str
    target: str
    layers: dict[str, int]
    counts: dict[str, int]
    provenance: dict[str, Any]
    files: dict[str, str]


class _LabelLine(Struct, frozen=True):
    """A line of ``labels.jsonl``, as far as a describer needs it."""

    layer: str
    neuron: int
    status: Status
    label_1: str | None = None
    label_2: str | None = None
    label_3: str | None = None
    score_1: float | None = None
    score_2: float | None = None
    score_3: float | None = None

    def row(self, describer: str, target: str) -> DescriptionRow:
        labels = [text for text in (self.label_1, self.label_2, self.label_3) if text]
        scores = [one for one in (self.score_1, self.score_2, self.score_3) if one is not None]
        return DescriptionRow(
            describer, target, self.layer, self.neuron, tuple(labels),
            tuple(scores) if len(scores) == len(labels) else (), self.status,
        )  # fmt: skip


def write_pack(run: StoredRun, folder: Path) -> Pack:
    """Write a run's pack and return what its ``pack.json`` says.

    Args:
        run: whose labels, candidates and verdicts go in.
        folder: made if need be; an earlier pack in it is replaced.

    Raises:
        UserError: the run has no label.
        Refused: the folder holds something else than a pack.
    """
    descriptions = run.descriptions()
    if not any(description.labels for description in descriptions):
        why = OUTDATED if run.outdated() else "none of its neurons is finished"
        raise UserError(f"run '{run.record.name}' has no label to pack: {why}")
    _check(folder)
    (folder / INDEX).unlink(missing_ok=True)
    verdicts = read_verdicts(run.folder.folder)
    records = {
        "labels": label_records(run.record.name, descriptions, verdicts),
        "candidates": _candidate_records(run),
        "verdicts": lines(verdicts.on(descriptions), ()),
    }
    files = {
        f"{name}.{ending}": data
        for name, rows in records.items()
        if rows
        for ending, data in _in_every_form(rows).items()
    }
    for name in TABLES:
        for ending in ENDINGS:
            if f"{name}.{ending}" not in files:
                (folder / f"{name}.{ending}").unlink(missing_ok=True)
    pack = _index(run, descriptions, verdicts, files)
    files[README] = card(msgspec.to_builtins(pack)).encode("utf-8")
    pack = msgspec.structs.replace(pack, files={name: sha256(files[name]) for name in files})
    for name, data in files.items():
        write_atomic(folder / name, data)
    write_atomic(folder / INDEX, msgspec.json.format(msgspec.json.encode(pack, order="sorted")))
    return pack


def read_pack(folder: Path, layer: str = "") -> ReadTable:
    """Return the labels of a pack as a describer's table.

    Args:
        folder: the pack.
        layer: only this layer's neurons.

    Raises:
        UserError: the folder is no pack, or has not this layer.
        Refused: a newer version wrote it.
        DamagedFile: a file is not what ``pack.json`` promises.
    """
    pack = _read_index(folder)
    data = b""
    for name, promised in pack.files.items():
        if Path(name).name != name:
            raise DamagedFile(f"{folder / INDEX} names the file '{name}' outside of the pack")
        try:
            content = (folder / name).read_bytes()
        except OSError as error:
            raise DamagedFile(f"pack {folder}: {name} cannot be read: {error.strerror}") from None
        if sha256(content) != promised:
            raise DamagedFile(f"pack {folder}: {name} is not what {INDEX} promises; copy it again")
        data = content if name == "labels.jsonl" else data
    try:
        rows = tuple(
            msgspec.json.decode(line, type=_LabelLine).row(pack.describer, pack.target)
            for line in data.splitlines()
        )
    except msgspec.DecodeError as error:
        raise DamagedFile(f"{folder / 'labels.jsonl'} cannot be read: {error}") from None
    rows = tuple(row for row in rows if layer in ("", row.layer))
    if not rows:
        raise UserError(
            f"pack {folder} has no neuron of layer '{layer}'; it has {', '.join(pack.layers)}"
        )
    return ReadTable(
        DescriptionTable(pack.describer, rows), str(folder), f"pack of schema {pack.schema}"
    )


def is_pack(folder: Path) -> bool:
    """Return whether a folder is a complete pack."""
    return (folder / INDEX).is_file()


def label_records(
    describer: str, descriptions: Sequence[Description], verdicts: Verdicts
) -> list[dict[str, Cell]]:
    """Return one record a neuron: status, labels with scores, and the first label's verdict."""
    records = []
    for description in descriptions:
        record: dict[str, Cell] = {
            "describer": describer,
            "target": own_name(description.neuron.target),
            "layer": description.neuron.layer,
            "neuron": description.neuron.index,
            "status": description.status,
            "reason": description.reason,
            "rule": description.rule,
        }
        for place in range(LABELS):
            label = description.labels[place] if place < len(description.labels) else None
            record[f"label_{place + 1}"] = label.text if label else None
            record[f"score_{place + 1}"] = label.score if label else None
        verdict = verdicts.of(description)
        record["verdict"] = verdict.word if verdict else None
        record["support"] = verdict.support if verdict else None
        records.append(record)
    return records


def _candidate_records(run: StoredRun) -> list[dict[str, Cell]]:
    return [
        {
            "layer": scores.neuron.layer,
            "neuron": scores.neuron.index,
            "candidate": candidate.text,
            **{rule: candidate.score(rule) for rule in RULES},
        }
        for scores in read_scores(run.lab, run.record)
        for candidate in scores.candidates
    ]


def _in_every_form(records: Sequence[Mapping[str, Cell]]) -> dict[str, bytes]:
    return {
        "csv": records_csv(records).encode("utf-8"),
        "jsonl": jsonl_text(records).encode("utf-8"),
        "parquet": _parquet(records),
    }


def _parquet(records: Sequence[Mapping[str, Cell]]) -> bytes:
    """Return records as Parquet; a column's type comes from its name, so that it never varies."""
    import pyarrow
    import pyarrow.parquet

    def kind(name: str) -> Any:
        if name in _NUMBERS:
            return pyarrow.int64()
        return pyarrow.string() if name in _TEXTS else pyarrow.float64()

    schema = pyarrow.schema(
        [(name, kind(name)) for name in records[0]], metadata={"dnd_local_schema": str(SCHEMA)}
    )
    table = pyarrow.Table.from_pylist([dict(record) for record in records], schema=schema)
    out = io.BytesIO()
    pyarrow.parquet.write_table(table, out)
    return out.getvalue()


def _index(
    run: StoredRun,
    descriptions: Sequence[Description],
    verdicts: Verdicts,
    files: Mapping[str, bytes],
) -> Pack:
    record = run.record
    statuses = [description.status for description in descriptions]
    judged = [verdict.word for verdict in verdicts.on(descriptions)]
    counts: dict[str, int] = {
        "neurons": len(descriptions),
        **{status: statuses.count(status) for status in sorted(set(statuses))},
        **{f"verdict {word}": judged.count(word) for word in sorted(set(judged))},
    }
    return Pack(
        format="dnd-local pack",
        schema=SCHEMA,
        describer=record.name,
        target=own_name(record.config.network.name),
        layers={layer: len(ids) for layer, ids in record.neurons.items()},
        counts=counts,
        provenance={
            "dnd_local": __version__,
            "settings": public_settings(record.config),
            "ledger": sides(record.config.ledger),
            "keys": dict(descriptions[0].keys),
            "prompts": run.prompts(),
            "models": sources(run.lab),
            "software": record.software,
        },
        files=dict.fromkeys(files, ""),
    )  # fmt: skip


def _check(folder: Path) -> None:
    """Refuse a folder that holds anything that no pack has.

    Raises:
        Refused: it does, or it is no folder.
    """
    known = {INDEX, README, *(f"{name}.{ending}" for name in TABLES for ending in ENDINGS)}
    if folder.exists() and not folder.is_dir():
        raise Refused(f"{folder} is a file; a pack is a folder")
    there = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    if other := next((name for name in sorted(there) if name not in known), ""):
        raise Refused(f"{folder} holds {other}, which is of no pack; give a new or empty folder")


def _read_index(folder: Path) -> Pack:
    path = folder / INDEX
    try:
        index = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        if index.get("format") == FORMAT and index.get("schema", 0) > SCHEMA:
            raise Refused(
                f"pack {folder} has schema {index['schema']}; this version reads {SCHEMA}"
            )
        return msgspec.convert(index, Pack)
    except OSError as error:
        raise UserError(f"{folder} is no pack: {INDEX} cannot be read: {error.strerror}") from None
    except (msgspec.MsgspecError, TypeError, RecursionError, UnicodeDecodeError) as error:
        raise DamagedFile(f"{path} is no pack's: {error}") from None
