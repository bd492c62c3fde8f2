"""Labels judged with a person watching, for `evaluate` and for `dissect --evaluate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dnd_local.cli.progress import ProgressLines

if TYPE_CHECKING:
    from dnd_local.core.descriptions import DescriptionTable
    from dnd_local.evaluate.verdicts import Verdict
    from dnd_local.pipeline.reading import StoredRun


def judged(run: StoredRun, table: DescriptionTable, **how: Any) -> tuple[Verdict, ...]:
    """Return the verdicts on a table's labels, as `judge_run` does; engines are closed after."""
    from dnd_local.evaluate.held_out import judge_run

    try:
        with ProgressLines() as progress:
            return judge_run(run, table, progress=progress, **how)
    finally:
        run.lab.close()
