"""``search`` and ``group``: neurons by what their labels say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dnd_local.cli import tables
from dnd_local.cli.arguments import AsJson, Out, Run, Weights, Workspace
from dnd_local.cli.figures import show_records, write_all
from dnd_local.cli.wordwise import say
from dnd_local.core.amounts import count_text
from dnd_local.core.descriptions import SAME_CONCEPT
from dnd_local.core.errors import UserError

if TYPE_CHECKING:
    from dnd_local.core.descriptions import Description
    from dnd_local.store.outputs import Cell


def search(
    run: Run,
    words: Annotated[str, typer.Argument(help="What is sought: 'striped red'.")],
    top: Annotated[int, typer.Option(help="Neurons found by meaning alone.", min=0)] = 10,
    out: Out = None,
    workspace: Workspace = None,
    weights: Weights = None,
    as_json: AsJson = False,
) -> None:
    """Find a run's neurons by the words of their labels, and by their meaning.

    Meaning is the cosine of the embedder of the run (CLIP, its text side); the median of all labels
    says what an unrelated label has.

    Example:

      dnd-local search my-run dog
    """
    from dnd_local.evaluate.label_search import search_labels

    descriptions, vectors = _labels_of(run, workspace, weights, words)
    result = search_labels(descriptions, words, vectors[words], vectors, top)
    records = [hit.record() for hit in result.hits]
    if as_json:
        tables.echo_json({"hits": records, "median": result.median})
    else:
        show_records(records)
        by_words = sum(hit.words for hit in result.hits)
        say("", f"With the words in a label: {count_text(by_words, 'neuron')}. Median cosine of "
                f"all labels: {result.median:.4f}")  # fmt: skip
    write_all(out, {"search": records})


def group(
    run: Run,
    above: Annotated[
        float,
        typer.Option(help="Labels of at least this cosine are joined.", min=0, max=1),
    ] = SAME_CONCEPT,
    out: Out = None,
    workspace: Workspace = None,
    weights: Weights = None,
    as_json: AsJson = False,
) -> None:
    """Group a run's neurons by concept: those whose first labels mean alike.

    Labels are joined where their cosine is high enough; a group is what hangs together. The second
    table says how many groups there are at other cosines: a threshold that is too low joins all.

    Example:

      dnd-local group my-run --above 0.95
    """
    from dnd_local.evaluate.groups import group_neurons, group_records, label_tree, sweep

    descriptions, vectors = _labels_of(run, workspace, weights)
    firsts = {description.labels[0].text for description in descriptions if description.labels}
    tree = label_tree({text: vectors[text] for text in firsts})
    groups = group_neurons(descriptions, tree, above)
    levels = [level.record() for level in sweep(descriptions, tree)]
    records = group_records(groups)
    if as_json:
        tables.echo_json({"above": above, "groups": groups, "sweep": levels})
    else:
        shared: list[dict[str, Cell]] = [
            {"concept": several.name, "neurons": len(several.neurons),
             "which": ", ".join(f"{n.layer}:{n.index}" for n in several.neurons),
             "other labels": ", ".join(text for text, _ in several.labels[1:])}
            for several in groups if len(several.neurons) > 1
        ]  # fmt: skip
        if shared:
            show_records(shared)
            say("")
        alone = sum(len(several.neurons) == 1 for several in groups)
        say(
            f"At cosine {above:g}: {count_text(len(groups) - alone, 'group')}, "
            f"{count_text(alone, 'neuron')} alone",
            "",
        )
        show_records(levels)
    write_all(out, {"groups": records, "sweep": levels})


def _labels_of(
    run: str, workspace: Any, weights: Any, *more: str
) -> tuple[Sequence[Description], dict[str, Any]]:
    """Return a run's descriptions and the vector of each label, and of `more` texts.

    Raises:
        UserError: the run has no label.
    """
    from dnd_local.pipeline.label_vectors import text_vectors
    from dnd_local.pipeline.reading import open_run

    stored = open_run(run, workspace, weights)
    descriptions = stored.descriptions()
    texts = sorted({label.text for description in descriptions for label in description.labels})
    if not texts:
        raise UserError(
            f"run '{run}' has no label yet; `dnd-local status {run}` says how far it is"
        )
    texts = sorted({*texts, *more})
    try:
        return descriptions, dict(zip(texts, text_vectors(stored.lab, texts), strict=True))
    finally:
        stored.lab.close()
