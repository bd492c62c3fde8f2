"""What `dnd-local weights` prints: tables one can read, or JSON for programs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.text import Text

from dnd_local.cli import tables
from dnd_local.cli.wordwise import console, print_rows, say
from dnd_local.core.amounts import size_text
from dnd_local.core.errors import DamagedFile, MissingWeights
from dnd_local.store.cures import missing_text, repair
from dnd_local.store.manifest import Entry
from dnd_local.store.weights import EntryReport

COLOURS = {"have": "green", "missing": "dim", "damaged": "red", "unpinned": "yellow"}


def pages(entries: Iterable[Entry]) -> dict[str, str]:
    """Return where to ask for each entry that is left to the user."""
    return {entry.id: getattr(entry.source, "page", "") for entry in entries}


def refuse(reports: Iterable[EntryReport]) -> None:
    """Raise for the first damaged, then the first missing file of a verification."""
    bad = [(one, *file) for one in reports for file in one.files if file[1] != "have"]
    for report, path, state in sorted(bad, key=lambda one: one[2] != "damaged"):
        if state == "missing" and report.entry.own:
            raise MissingWeights(missing_text(report.entry, report.folder))
        error = DamagedFile if state == "damaged" else MissingWeights
        raise error(
            f"'{report.entry.id}': {report.folder / path} is {state}"
            f"{f' (and {len(bad) - 1} more files)' if len(bad) > 1 else ''}; "
            f"{repair(report.entry)}"
        )


def show(reports: list[EntryReport], as_json: bool) -> None:
    """Print a line an entry."""
    if as_json:
        tables.echo_json({"version": 1, "weights": [_facts(report) for report in reports]})
        return
    rows = [
        (
            (entry := report.entry).id,
            entry.role,
            Text(report.state, COLOURS[report.state]),
            size_text(size) if (size := report.size or entry.known_size) else "?",
            (entry.licence.spdx or "none stated") + (" (gated)" if entry.gated else ""),
            ", ".join(entry.profiles),
        )
        for report in reports
    ]
    names = ("Id", "Role", "State", "Size", "Licence", "Profiles")
    print_rows(console(), names, rows, right=("Size",), whole=("Size",))


def _facts(report: EntryReport) -> dict[str, Any]:
    entry = report.entry
    return {
        "id": entry.id,
        "role": entry.role,
        "state": report.state,
        "folder": str(report.folder),
        "bytes": report.size,
        "download_bytes": entry.known_size,
        "licence": {"spdx": entry.licence.spdx, "link": entry.licence.link},
        "gated": entry.gated,
        "profiles": entry.profiles,
        "memory_bytes": entry.memory,
        "files": dict(report.files),
        "extras": report.extras,
    }


def tell(facts: dict[str, Any], as_json: bool) -> None:
    """Print each fact on its own line; empty ones are left out."""
    if as_json:
        tables.echo_json({"version": 1, **facts})
        return
    if not any(facts.values()):
        say("nothing to do: it ships with dnd-local")
    for name, value in facts.items():
        if name == "by_hand":
            for one, page in value.items():
                say(f"{one}: its terms leave the download to you: {page}")
        elif name == "freed":
            for one, size in value.items():
                say(f"{one}: {size_text(size)} freed")
        elif name == "pinned" and value:
            say(f"hashes pinned: {len(value)}")
        elif value:
            shown = size_text(value) if name == "size" else value
            say(f"{name}: {shown if isinstance(shown, str) else ', '.join(shown)}")


def tell_added(facts: dict[str, Any], as_json: bool) -> None:
    """Print what was registered, a line a fact."""
    if as_json:
        tables.echo_json({"version": 1, **facts})
        return
    for name, value in facts.items():
        if name in ("size", "memory"):
            about = "about " if name == "memory" else ""
            say(f"{name}: {about}{size_text(value)}")
        elif value:
            shown = ", ".join(value) if isinstance(value, tuple) else value
            say(f"{name.replace('_', ' ')}: {shown}")
