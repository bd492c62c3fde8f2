"""``verify`` and ``gc``: whether a workspace is whole, and what in it nobody needs."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dnd_local.cli import tables
from dnd_local.cli.arguments import AsJson, Weights, Workspace
from dnd_local.cli.wordwise import say
from dnd_local.core.amounts import count_text, size_text

if TYPE_CHECKING:
    from dnd_local.pipeline.upkeep import Fault, Unneeded


def verify(
    repair: Annotated[
        bool, typer.Option("--repair", help="Remove what is damaged, so that it is made again.")
    ] = False,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Read every part, picture and run file of a workspace, and name what is damaged.

    Exit code 2 where damage is left. Weights have a command of their own: `dnd-local weights
    verify --deep`.

    Examples:

      dnd-local verify

      dnd-local verify --repair
    """
    from dnd_local.core.errors import DamagedFile
    from dnd_local.evaluate.held_out import JUDGE_PICTURES
    from dnd_local.pipeline.plan import PLAN
    from dnd_local.pipeline.upkeep import check_workspace
    from dnd_local.store.in_use import alone

    place = _there(workspace)
    # A repair beside a command at work would take a part whose picture came after the reading.
    with alone(place) if repair else nullcontext():
        health = check_workspace(place, (*PLAN, JUDGE_PICTURES), repair=repair)
    if as_json:
        tables.echo_json(health)
    else:
        for fault in health.faults:
            say(_line(fault))
        read = (
            count_text(health.parts, "part"),
            count_text(health.pictures, "picture"),
            count_text(health.runs, "run"),
        )
        damaged = len(health.faults)
        say(f"{', '.join(read)} read; {damaged or 'nothing'} damaged.")
    if health.left:
        raise DamagedFile(f"{count_text(len(health.left), 'fault')} left in {place}")


def gc(
    yes: Annotated[bool, typer.Option("--yes", help="Remove without asking.")] = False,
    workspace: Workspace = None,
    weights: Weights = None,
    as_json: AsJson = False,
) -> None:
    """Remove the work that no run of a workspace refers to, after saying what it is and asking.

    A run is its folder below `runs`: delete it, and what it alone refers to can go.

    Examples:

      dnd-local gc

      dnd-local gc --yes
    """
    from dnd_local.evaluate.held_out import JUDGE_PICTURES
    from dnd_local.pipeline.plan import PLAN
    from dnd_local.pipeline.upkeep import find_unneeded, remove_unneeded
    from dnd_local.store.in_use import alone

    place = _there(workspace)
    with alone(place):
        unneeded = find_unneeded(place, (*PLAN, JUDGE_PICTURES), weights)
        something = bool(unneeded.folders or unneeded.pictures)
        if as_json:
            tables.echo_json(unneeded)
        else:
            _tell(unneeded)
        if not something:
            return
        if yes or (sys.stdin.isatty() and typer.confirm("Remove them?", err=True)):
            remove_unneeded(unneeded)
            say(f"Removed: {size_text(unneeded.size)}.", err=True)
        else:
            say("Nothing was removed; --yes removes it.", err=True)


def _there(workspace: Path | None) -> Path:
    from dnd_local.core.errors import UserError
    from dnd_local.pipeline.settings import default_workspace

    place = workspace or default_workspace()
    if not place.is_dir():
        raise UserError(f"no workspace at {place}; name one: --workspace FOLDER")
    return place


def _line(fault: Fault) -> str:
    done = f"removed; {fault.remedy}" if fault.mended else fault.remedy
    return f"{fault.path} {fault.fault}{f'; {done}' if done else ''}"


def _tell(unneeded: Unneeded) -> None:
    for folder in unneeded.unknown:
        say(f"{folder} is of no stage that this version knows; it stays")
    if not (unneeded.folders or unneeded.pictures):
        say("Every part and picture belongs to a run.")
        return
    for folder in unneeded.folders:
        say(str(folder))
    what = (
        count_text(len(unneeded.folders), "folder") + " of parts",
        count_text(len(unneeded.pictures), "picture"),
    )
    say(f"No run refers to {' and '.join(what)}, {size_text(unneeded.size)}.")
