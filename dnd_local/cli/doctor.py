"""`dnd-local doctor`: what is here, what is wrong, and what to do about it."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from dnd_local.cli import tables
from dnd_local.cli.wordwise import console, print_rows
from dnd_local.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dnd_local.pipeline.doctor import Finding

MARKS = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "problem": "[red]problem[/]"}


def doctor(
    weights: Annotated[Path | None, typer.Option(help="The weights folder.")] = None,
    workspace: Annotated[Path | None, typer.Option(help="Where all work is kept.")] = None,
    vllm_python: Annotated[
        str, typer.Option(help="The Python that has vLLM.", envvar="DND_LOCAL_VLLM_PYTHON")
    ] = "",
    smoke: Annotated[bool, typer.Option(help="Run one picture through the pocket models.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Look at everything a run needs: Python, GPUs, vLLM, weights, probe sets, disk, air gap.

    Then one picture goes through the embedded models. Ends with status 2 if there is a problem;
    each comes with its cure.

    Examples:

      dnd-local doctor

      dnd-local doctor --no-smoke --json
    """
    try:
        from dnd_local.pipeline.doctor import Patient, examine
        from dnd_local.pipeline.settings import default_data, default_workspace
        from dnd_local.pipeline.smoke import smoke_run
        from dnd_local.store.weights import Weights
    except ImportError as error:
        raise UserError(
            f"the package '{error.name}' cannot be loaded, and not even the doctor can do without "
            "it: install dnd-local again, with what it requires"
        ) from None

    there = Weights.open(weights)
    patient = Patient(
        weights=there,
        workspace=workspace or default_workspace(),
        data=default_data(),
        vllm_python=vllm_python,
        smoke=partial(smoke_run, there) if smoke else None,
    )
    findings = tuple(examine(patient))
    _show(findings, as_json)
    if any(finding.state == "problem" for finding in findings):
        raise typer.Exit(2)


def _show(findings: Iterable[Finding], as_json: bool) -> None:
    if as_json:
        tables.echo_json({"version": 1, "findings": [asdict(one) for one in findings]})
        return
    rows: list[tuple[str | Text, ...]] = []
    for one in findings:
        rows.append((one.subject, one.name, Text.from_markup(MARKS[one.state]), one.found))
        if one.cure:
            rows.append(("", "", "", Text(f"-> {one.cure}", "bold")))
    print_rows(console(), ("Looked at", "", "State", "Found"), rows, head=3)
