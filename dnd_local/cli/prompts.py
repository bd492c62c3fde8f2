"""``prompts``: questions for a model elsewhere, its replies, and the original release's wording."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from dnd_local.cli import tables
from dnd_local.cli.arguments import AsJson, Devices, Run, Weights, Workspace
from dnd_local.cli.progress import ProgressLines
from dnd_local.cli.wordwise import say
from dnd_local.core.amounts import count_text

if TYPE_CHECKING:
    from dnd_local.pipeline.describers import Imported, Round

app = typer.Typer(
    no_args_is_help=True,
    help="Ask a language model that is not here, and read the original release's prompts.",
)

Describer = Annotated[str, typer.Option(help="What to call the model that answers.")]
Prompts = Annotated[
    Path | None, typer.Option(help="The folder of prompts that the run was made with.")
]


_JOINING: Final = {
    "summarise": "--compat official joins the phrases by ', ', as the release does; otherwise each "
    "is a line",
    "merge": "--compat official splits the list at ',' and joins it by ', ', as the release does; "
    "otherwise it goes as it came",
}
"""How several texts enter a prompt of the release, where they do."""


class Format(StrEnum):
    """What a round of questions can be written as."""

    openai_batch = "openai-batch"


class Family(StrEnum):
    """Which of their settings the models of a service take."""

    chat = "chat"
    reasoning = "reasoning"


@app.command("export")
def export(
    run: Run,
    describer: Describer = "gpt-4o",
    model: Annotated[
        str, typer.Option(help="The model's name at the service. Default: the describer's.")
    ] = "",
    layout: Annotated[Format, typer.Option("--format", help="The file's format.")] = (
        Format.openai_batch
    ),
    family: Annotated[
        Family,
        typer.Option(
            help="reasoning: for models that refuse a temperature and count their thought as reply."
        ),
    ] = Family.chat,
    out: Annotated[
        Path | None, typer.Option(help="The file to write. Default: RUN-DESCRIBER.jsonl here.")
    ] = None,
    workspace: Workspace = None,
    weights: Weights = None,
    prompts: Prompts = None,
    as_json: AsJson = False,
) -> None:
    """Write the next round of questions about a run's neurons, message for message.

    Example:

      dnd-local prompts export pocket-layer4-1a2b3c4d --describer gpt-4o
    """
    from dnd_local.pipeline.describers import next_round
    from dnd_local.pipeline.reading import open_run
    from dnd_local.store.files import write_atomic

    questions = next_round(open_run(run, workspace, weights, prompts=prompts), describer)
    path = out or Path(f"{run}-{describer}.jsonl")
    files = questions.files(model or describer, family.value)
    paths = [path] if len(files) == 1 else [
        path.with_name(f"{path.stem}-{number}{path.suffix}") for number in range(1, len(files) + 1)
    ]  # fmt: skip
    for place, lines in zip(paths, files, strict=True):
        write_atomic(place, "".join(f"{line}\n" for line in lines).encode())
    if as_json:
        first = str(paths[0]) if paths else None
        tables.echo_json(
            _facts(questions) | {"file": first, "files": [str(place) for place in paths]}
        )
    elif questions.requests:
        written = ", ".join(str(place) for place in paths)
        say(f"{written}: {_count(questions)} about {_neurons(questions)} for {describer}")
        say(f"Take the replies in with: dnd-local prompts import {run} REPLIES.jsonl "
                   f"--describer {describer}")  # fmt: skip
    else:
        say(f"{describer} has answered everything about {_neurons(questions)}")


@app.command("import")
def import_(
    run: Run,
    replies: Annotated[Path, typer.Argument(help="The output file of the batch service.")],
    describer: Describer = "gpt-4o",
    devices: Devices = "cpu",
    workspace: Workspace = None,
    weights: Weights = None,
    data: Annotated[Path | None, typer.Option(help="The folder of prepared probe sets.")] = None,
    prompts: Prompts = None,
    as_json: AsJson = False,
) -> None:
    """Take in the replies to a round; after the last one pictures and scores are made.

    A reply that is damaged, was not asked for or is an error does not enter and is named; the
    next export asks again. The labels come as a run of their own, RUN-DESCRIBER, to be compared.

    Example:

      dnd-local prompts import pocket-layer4-1a2b3c4d replies.jsonl --describer gpt-4o
    """
    from dnd_local.pipeline import describers
    from dnd_local.pipeline.dissection import read_devices
    from dnd_local.pipeline.reading import open_run

    stored = open_run(run, workspace, weights, data, prompts)
    imported = describers.import_replies(stored, describer, replies)
    if not as_json or imported.left.requests:
        _show_import(imported, run, describer, as_json)
    if not imported.left.requests:
        with ProgressLines() as progress:
            result = describers.describe_with(stored, describer, read_devices(devices), progress)
        tables.show_result(result, as_json)
    if imported.problems:
        raise typer.Exit(3)


@app.command("import-release")
def import_release(
    checkout: Annotated[Path, typer.Argument(help="Your copy of the release's repository.")],
    out: Annotated[Path, typer.Option(help="The new folder of prompts.")] = Path("release-prompts"),
    as_json: AsJson = False,
) -> None:
    """Read the original release's wording into a prompt set of your own.

    Nothing of it is executed. The wording is its authors' and comes without a licence: use it
    here with --prompts, do not pass it on.

    Example:

      dnd-local prompts import-release Describe-and-Dissect/ --out release-prompts
    """
    from dnd_local.store.release_prompts import import_release as read

    release = read(checkout, out)
    if as_json:
        told = [
            {"name": p.name, "file": str(p.path), "source": p.source, "line": p.line,
             "roles": p.roles, "joint": p.joint}
            for p in release.prompts
        ]  # fmt: skip
        tables.echo_json({"folder": str(release.folder), "prompts": told,
                          "sources": dict(release.digests)})  # fmt: skip
        return
    for prompt in release.prompts:
        turns = count_text(len(prompt.roles), "turn")
        say(f"{prompt.path}: {turns}, {prompt.source} line {prompt.line}")
        if joining := _JOINING.get(prompt.name, ""):
            say(f"  ({joining})")
    say("To send what the release sends, to the byte: dnd-local dissect MODEL LAYER "
               f"--compat official --prompts {release.folder}")  # fmt: skip


def _show_import(imported: Imported, run: str, describer: str, as_json: bool) -> None:
    if as_json:
        tables.echo_json(
            {
                "entered": imported.entered,
                "problems": imported.problems,
                "left": _facts(imported.left),
            }
        )
        return
    say(f"Entered for {describer}: {count_text(imported.entered, 'reply', 'replies')}")
    for problem in imported.problems:
        say(f"  {problem}", err=True)
    if imported.left.requests:
        say(f"{_count(imported.left)} left; write them with: dnd-local prompts export {run} "
                   f"--describer {describer}")  # fmt: skip


def _facts(questions: Round) -> dict[str, int]:
    return {
        "questions": len(questions.requests),
        "answered": questions.answered,
        "neurons": questions.neurons,
    }


def _count(questions: Round) -> str:
    return count_text(len(questions.requests), "question")


def _neurons(questions: Round) -> str:
    return count_text(questions.neurons, "neuron")
