"""``evaluate``: does a label predict its neuron on images that did not choose the label?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from dnd_local.cli import tables
from dnd_local.cli.arguments import AsJson, Devices, Out, Run, Seed, Weights, Workspace
from dnd_local.cli.figures import show_records, write_all
from dnd_local.cli.judging import judged
from dnd_local.cli.wordwise import say
from dnd_local.core.amounts import count_text

if TYPE_CHECKING:
    from dnd_local.evaluate.held_out import EvidenceKind
    from dnd_local.evaluate.verdicts import Verdict
    from dnd_local.store.outputs import Cell

SHOWN = ("layer", "neuron", "label", "verdict", "support", "reach", "correlation", "auprc", "auc")


class Evidence(StrEnum):
    """The kinds of evidence that labels are judged by."""

    images = "images"
    pictures = "pictures"
    both = "both"

    def kinds(self) -> list[EvidenceKind]:
        """Return the kinds that this stands for."""
        from dnd_local.evaluate.held_out import EVIDENCE_KINDS

        return [kind for kind in EVIDENCE_KINDS if self.value in (kind, "both")]


def evaluate(
    run: Run,
    labels: Annotated[
        str, typer.Option(help="Judge another describer's labels on this run's neurons.")
    ] = "",
    probe: Annotated[
        str, typer.Option(help="Images that the run has not seen, where it holds none out.")
    ] = "",
    evidence: Annotated[
        Evidence, typer.Option(help="Held-out images, fresh pictures of the labels, or both.")
    ] = Evidence.both,
    layer: Annotated[str, typer.Option(help="Judge only this layer's neurons.")] = "",
    devices: Devices = "cpu",
    word: Annotated[str, typer.Option(help="The constant word of the second null.")] = "object",
    out: Out = None,
    seed: Seed = 0,
    workspace: Workspace = None,
    weights: Weights = None,
    as_json: AsJson = False,
) -> None:
    """Give every neuron's label a verdict: supported, weak, or no better than the null.

    Images that yielded no exemplar, and pictures from fresh seeds, judge the label against the
    labels of other neurons and against one constant word. All figures go into the run's
    verdicts.csv, from which `show`, `status` and `report` take them; the table shows the measures
    that decide. Where the true meaning of neurons is known, `truth` holds labels against it.

    Examples:

      dnd-local evaluate my-run

      dnd-local evaluate my-run --labels clip-dissect.csv --evidence images
    """
    from dnd_local.evaluate.describers import open_describer
    from dnd_local.evaluate.judged_rows import of_layer, on_devices, placed
    from dnd_local.evaluate.verdicts import lines, read_verdicts, write_verdicts
    from dnd_local.pipeline.dissection import read_devices
    from dnd_local.pipeline.reading import open_run

    stored = on_devices(open_run(run, workspace, weights), read_devices(devices))
    read = open_describer(labels or run, layer if labels else "", workspace, weights)
    whole = placed(stored, read.table)
    table = of_layer(stored, whole, layer)
    kinds = evidence.kinds()
    verdicts = judged(stored, table, probe=probe, kinds=kinds, word=word, seed=seed)
    records = lines(verdicts, table.rows)
    if not labels:
        earlier = read_verdicts(stored.folder.folder).besides(layer)
        write_verdicts(stored.folder, [*earlier, *verdicts], whole.rows)
    if as_json:
        tables.echo_json({"describer": table.describer, "verdicts": records})
    else:
        _show(records, verdicts, table.describer)
    write_all(out, {"verdicts": records})


def _show(
    records: Sequence[Mapping[str, Cell]], verdicts: Sequence[Verdict], describer: str
) -> None:
    from dnd_local.evaluate.verdicts import NO_LABEL, counts

    words: dict[Cell, str] = {verdict.ruling: verdict.word for verdict in verdicts}
    show_records(
        [{**record, "verdict": words.get(record["verdict"], NO_LABEL)} for record in records],
        SHOWN if len({record["layer"] for record in records}) > 1 else SHOWN[1:],
    )
    counted = ", ".join(f"{count} {ruling}" for ruling, count in counts(verdicts).items())
    say("", f"{describer}, {count_text(len(verdicts), 'label')}: {counted}")
