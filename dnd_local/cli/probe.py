"""`dnd-local probe`: make a probe set from an archive, look at one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from dnd_local.cli import tables
from dnd_local.cli.arguments import AsJson, Workspace
from dnd_local.cli.progress import bar_width
from dnd_local.cli.wordwise import console, say
from dnd_local.core.amounts import count_text, size_text

if TYPE_CHECKING:
    from dnd_local.core.protocols import ProbeSet

app = typer.Typer(
    no_args_is_help=True,
    help="Make a probe set from an archive that you have, look at one.",
)

SHOWN = 20
"""Skipped images named on the screen; --json names all."""

Data = Annotated[
    Path | None,
    typer.Option(help="Where prepared sets lie. Default: $DND_LOCAL_DATA or your data folder."),
]


@app.command()
def prepare(
    name: Annotated[str, typer.Argument(help="imagenet-val or broden.")],
    archive: Annotated[Path, typer.Argument(help="The tar or zip that you have.")],
    data: Data = None,
    workspace: Workspace = None,
) -> None:
    """Take the images of an archive that you have into a probe set's folder.

    Stop it at any time: the same command goes on from what is there.

    Examples:

      dnd-local probe prepare imagenet-val ILSVRC2012_img_val.tar

      dnd-local probe prepare broden broden1_224.zip
    """
    from dnd_local.store.archives import prepare
    from dnd_local.store.probe_sets import known_set

    root, cache = _places(data, workspace)
    expected = known_set(name).images
    with _progress(f"preparing {name}", expected) as step:
        done = prepare(name, archive, root, cache, step)
    say(f"{name}: {count_text(done.images, 'image')} in {root / name}, digest {done.digest}")
    if done.images != expected:
        say(f"note: the full set has {expected:,} images", err=True, style="yellow")


@app.command()
def info(
    probe: Annotated[
        str,
        typer.Argument(help="pocket, imagenet-val, broden, a folder or file, or A+B."),
    ] = "pocket",
    data: Data = None,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Read every image of a probe set; say how many can be used, and why others cannot.

    Examples:

      dnd-local probe info ~/pictures

      dnd-local probe info imagenet-val+broden --json

      dnd-local probe info 'shards/{000..009}.tar'
    """
    from dnd_local.pipeline.opening import pocket_probe
    from dnd_local.store.probe_sets import open_probe

    root, cache = _places(data, workspace)
    opened = open_probe(
        [part.strip() for part in probe.split("+")], root, cache, {"pocket": pocket_probe}
    )
    with _progress("reading", len(opened)) as step:
        facts = _facts(opened, step)
    if as_json:
        tables.echo_json(facts)
    else:
        say(*(f"{name:13}{value}" for name, value in _rows(facts)))


def _places(data: Path | None, workspace: Path | None) -> tuple[Path, Path]:
    """Return where prepared sets lie and where content hashes are remembered."""
    from dnd_local.pipeline.opening import probe_cache
    from dnd_local.pipeline.settings import default_data, default_workspace

    return data or default_data(), probe_cache(workspace or default_workspace())


def _facts(probe: ProbeSet, progress: Callable[[int], None]) -> dict[str, Any]:
    """Return what `info` says; sizes are (width, height) in pixels, or bytes."""
    from dnd_local.pipeline.opening import decoding_threads
    from dnd_local.store.probe_subset import parts_of
    from dnd_local.store.probe_survey import survey

    seen = survey(probe, decoding_threads(), progress)
    sets = parts_of(probe)
    on_disk = [one for one in sets if hasattr(one, "size_on_disk")]
    return {
        "schema": 1,
        "images": seen.images,
        "usable": seen.images - len(seen.skipped),
        "skipped": [asdict(image) for image in seen.skipped],
        "smallest": seen.smallest,
        "largest": seen.largest,
        "kinds": [getattr(one, "kind", "drawn") for one in sets],
        "bands": getattr(probe, "bands", 0) or 3,
        "bytes": sum(one.size_on_disk() for one in on_disk),
        "other_files": sum(one.ignored for one in on_disk),
        "digest": probe.digest,
    }


def _rows(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the same for people, as names and values."""
    skipped = facts["skipped"]
    bands = "" if facts["bands"] == 3 else f" of {facts['bands']} bands"
    yield "Kind", " + ".join(facts["kinds"]) + bands
    yield "Images", f"{facts['images']:,}"
    yield "Usable", f"{facts['usable']:,}"
    for name in ("smallest", "largest"):
        if facts[name]:
            yield name.capitalize(), " x ".join(map(str, facts[name]))
    if facts["bytes"]:
        yield "On disk", size_text(facts["bytes"])
        yield "Other files", f"{facts['other_files']:,}"
    yield "Digest", facts["digest"]
    yield "Skipped", f"{len(skipped):,}"
    for image in skipped[:SHOWN]:
        yield "", f"{image['name']}: {image['reason']}"
    if len(skipped) > SHOWN:
        yield "", f"and {len(skipped) - SHOWN:,} more; --json names all"


@contextmanager
def _progress(title: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show a progress line on a terminal, nothing elsewhere; give what moves it."""
    out = console(err=True)
    bar = BarColumn(bar_width=bar_width(out.width, 20 + len(title), 40))
    columns = (TextColumn("{task.description}"), bar, TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=out, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(title, total=total)
        yield lambda done: progress.update(task, completed=done)
