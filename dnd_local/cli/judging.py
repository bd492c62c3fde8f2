"""Labels judged with a person watching, for `evaluate` and for `dissect --evaluate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dnd_local.cli.progress import ProgressLines

if TYPE_CHECKING:
    from dnd_local.core.descriptions import DescriptionTable
    from dnd_local.evaluate.verdicts import Verdict
    from dnd_local.pipeline.dissection import Dissection
    from dnd_local.pipeline.reading import StoredRun


HOLDOUT: Final = 0.2
"""The share of images held out where labels are to be judged and nothing else is said."""


def judged(run: StoredRun, table: DescriptionTable, **how: Any) -> tuple[Verdict, ...]:
    """Return the verdicts on a table's labels, as `judge_run` does; engines are closed after."""
    from dnd_local.evaluate.held_out import judge_run

    try:
        with ProgressLines() as progress:
            return judge_run(run, table, progress=progress, **how)
    finally:
        run.lab.close()


def ready_to_judge(dissection: Dissection) -> Dissection:
    """Return the same dissection with images held out, checked before any work.

    Raises:
        BadConfig: it is said that no image is held out.
        UserError: a library is missing, or too few images would be held out.
    """
    from dnd_local.evaluate.held_out import check_held_out
    from dnd_local.evaluate.response_measures import sklearn_metrics
    from dnd_local.pipeline.lab import Lab

    sklearn_metrics()
    ready = dissection.holding_out(HOLDOUT)
    check_held_out(Lab(ready.make_config(), ready.execution()))
    return ready


def judge_labels(run: StoredRun, devices: tuple[str, ...]) -> None:
    """Give every label of a run a verdict and keep them with it, unless each has one already."""
    from dnd_local.evaluate.describers import table_of_run
    from dnd_local.evaluate.judged_rows import on_devices
    from dnd_local.evaluate.verdicts import read_verdicts, write_verdicts

    table, kept = table_of_run(run), read_verdicts(run.folder.folder)
    if all(kept.of_row(row) for row in table.rows if row.labels):
        return
    write_verdicts(run.folder, judged(on_devices(run, devices), table), table.rows)
