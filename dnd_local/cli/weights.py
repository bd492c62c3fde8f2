"""`dnd-local weights`: fetch models on a connected machine, carry them over, check them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from dnd_local import __version__
from dnd_local.cli import completion, weights_add, weights_tables
from dnd_local.cli.landing import LandingBar
from dnd_local.core.errors import BadConfig
from dnd_local.store.fetch import Wanted
from dnd_local.store.guard import go_offline
from dnd_local.store.manifest import Entry, Shipped
from dnd_local.store.weights import Weights

app = typer.Typer(
    no_args_is_help=True,
    help="Fetch models on a connected machine, carry them over an air gap, check them.",
)

Names = Annotated[
    list[str],
    typer.Argument(
        help="Profiles (paper, fast, eval, usecases) or ids of `list`.",
        autocompletion=completion.weights,
    ),
]
SomeNames = Annotated[
    list[str] | None,
    typer.Argument(
        help="Profiles or ids. Default: all that is here.", autocompletion=completion.weights
    ),
]
Root = Annotated[
    Path | None,
    typer.Option("--weights", help="The weights folder. Default: $DND_LOCAL_WEIGHTS."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


app.command("add")(weights_add.add)


@app.command()
def pull(
    names: Names,
    weights: Root = None,
    trust: Annotated[
        list[str] | None,
        typer.Option(help="NAME=SHA256 of a pickle that you have judged yourself."),
    ] = None,
    yes: Annotated[
        bool,
        typer.Option("--yes", help="Read pickles known by the first digits of their hash."),
    ] = False,
    parallel: Annotated[int, typer.Option(min=1, help="Files on their way at once.")] = 4,
    as_json: AsJson = False,
) -> None:
    """Fetch weights and check every byte. The only command that uses the network.

    Stop it at any time: the same command goes on from what has landed. A gated model needs an
    access token in HF_TOKEN; HF_ENDPOINT names a mirror of the hub. Of most of torchvision's
    networks only the first eight digits of the hash are published: such a pickle is read after you
    agree, by a process without a network that builds tensors and nothing else, and the whole
    hashes of it and of the file made from it are pinned.

    Examples:

      dnd-local weights pull paper

      dnd-local weights pull resnet50 sd15 qwen3-4b-instruct
    """
    import httpx

    from dnd_local.store import pull as pulling

    there = Weights.open(weights)
    timeout = httpx.Timeout(30, connect=10)
    with LandingBar("pulling") as bar, httpx.Client(timeout=timeout) as client:
        done = pulling.pull(
            there,
            names,
            client,
            bar,
            trusted=_trusted(trust or ()),
            consent=partial(_agrees, bar, yes),
            parallel=parallel,
        )
    facts = {"landed": done.landed, "kept": done.kept, "pinned": done.pinned}
    weights_tables.tell({**facts, "by_hand": weights_tables.pages(done.by_hand)}, as_json)


@app.command()
def pack(
    names: Names,
    output: Annotated[Path, typer.Option("--output", "-o", help="A new folder or .tar file.")],
    weights: Root = None,
    wheels: Annotated[bool, typer.Option(help="Take the Python packages along.")] = True,
    vllm_python: Annotated[
        str, typer.Option(help="The Python that has vLLM.", envvar="DND_LOCAL_VLLM_PYTHON")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Write weights, packages and an install script into one bundle to carry over.

    Examples:

      dnd-local weights pack paper -o bundle.tar

      dnd-local weights pack paper eval -o /media/disk/bundle --no-wheels
    """
    from dnd_local.store import pack as packing

    outside = dict(os.environ)  # pip, in a child process, may use the network that we give up
    go_offline()
    gather = _gatherer(vllm_python, outside) if wheels else None
    with LandingBar("packing") as bar:
        made_by = f"dnd-local {__version__}"
        done = packing.pack(
            Weights.open(weights), names, output, bar, made_by=made_by, wheels=gather
        )
    facts = {"bundle": str(done.path), "ids": done.ids, "size": done.size}
    weights_tables.tell({**facts, "by_hand": weights_tables.pages(done.by_hand)}, as_json)


@app.command()
def unpack(
    source: Annotated[Path, typer.Argument(help="The bundle: a folder or a .tar file.")],
    weights: Root = None,
    as_json: AsJson = False,
) -> None:
    """Bring a bundle's weights into the weights folder, each file checked on its way.

    Example:

      dnd-local weights unpack /media/disk/bundle.tar
    """
    from dnd_local.store import unpack as unpacking

    go_offline()
    with LandingBar("unpacking") as bar:
        done = unpacking.unpack(Weights.open(weights), source, bar)
    facts = {"landed": done.landed, "kept": done.kept, "registered": done.registered}
    weights_tables.tell(facts, as_json)


@app.command()
def verify(
    names: SomeNames = None,
    weights: Root = None,
    deep: Annotated[bool, typer.Option("--deep", help="Hash every file again.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check that weights are what they should be; needs no network.

    Files that were hashed before and not touched since are not read again, unless with --deep.

    Examples:

      dnd-local weights verify

      dnd-local weights verify paper --deep
    """
    go_offline()
    there = Weights.open(weights)
    entries = there.manifest.select(names) if names else _present(there)
    with LandingBar("verifying") as bar:
        bar.total(sum(_size_on_disk(there, entry) for entry in entries))
        check = partial(there.report, deep=deep, progress=bar.landed)
        reports = [check(entry.id) for entry in entries]
    weights_tables.show(reports, as_json)
    weights_tables.refuse(reports)


@app.command("list")
def list_(
    names: SomeNames = None,
    weights: Root = None,
    as_json: AsJson = False,
) -> None:
    """Say what is here, what is missing or damaged, how large it is and on which terms.

    Networks of torchvision that are not here and in no profile are left out unless named:
    `dnd-local targets` has them all.

    Examples:

      dnd-local weights list

      dnd-local weights list paper --json
    """
    go_offline()
    there = Weights.open(weights)
    entries = there.manifest.select(names) if names else _worth_a_line(there)
    with LandingBar("checking") as bar:
        bar.total(sum(_size_on_disk(there, entry) for entry in entries))
        reports = [there.report(entry.id, progress=bar.landed) for entry in entries]
    weights_tables.show(reports, as_json)


@app.command()
def remove(
    ids: Annotated[
        list[str], typer.Argument(help="Ids of `list`.", autocompletion=completion.weights)
    ],
    weights: Root = None,
    as_json: AsJson = False,
) -> None:
    """Remove weights from the disk, with their pins.

    Example:

      dnd-local weights remove sd14
    """
    from dnd_local.store import remove as removing

    go_offline()
    there = Weights.open(weights)
    for name in ids:
        there.manifest.entry(name)  # every name is checked before the first is removed
    weights_tables.tell({"freed": {name: removing.remove(there, name) for name in ids}}, as_json)


def _agrees(bar: LandingBar, yes: bool, wanted: Sequence[Wanted]) -> bool:
    """Return whether the user lets pickles be read of whose hash only a prefix is known."""
    if yes or not _asked_at():
        return yes
    names = ", ".join(f"{one.label} (hash {one.sha256_prefix}...)" for one in wanted)
    question = (
        f"{names}: only the first digits of the hash are published. Fetch, convert in a process "
        "without a network, and pin the whole hashes?"
    )
    return bar.ask(question)


def _asked_at() -> bool:
    return sys.stdin.isatty()


def _trusted(given: Iterable[str]) -> dict[str, str]:
    """Return hashes by name from `NAME=SHA256`.

    Raises:
        BadConfig: one is not of that form.
    """
    pairs = [text.partition("=") for text in given]
    for name, _, value in pairs:
        if not name or len(value) != 64 or set(value.lower()) - set("0123456789abcdef"):
            raise BadConfig(f"--trust takes NAME=SHA256 with 64 hex digits, not '{name}={value}'")
    return {name: value for name, _, value in pairs}


def _gatherer(vllm_python: str, environment: dict[str, str]) -> Any:
    from dnd_local.store.commands import output_of
    from dnd_local.store.resources import checkout
    from dnd_local.store.wheels import gather

    return partial(
        gather,
        checkout=checkout(),
        version=__version__,
        vllm_python=vllm_python,
        runner=partial(output_of, environment=environment),
    )


def _worth_a_line(there: Weights) -> list[Entry]:
    """Return all entries but torchvision's networks that are not here and in no profile."""
    return [
        one
        for one in there.manifest.entries
        if one.profiles
        or not one.network.startswith("torchvision:")
        or (there.root / one.id).is_dir()
    ]


def _present(there: Weights) -> list[Entry]:
    shipped = [one for one in there.manifest.entries if isinstance(one.source, Shipped)]
    pulled = [one for one in there.manifest.entries if (there.root / one.id).is_dir()]
    return shipped + pulled


def _size_on_disk(there: Weights, entry: Entry) -> int:
    paths = [there.place(entry) / file.path for file in entry.files]
    return sum(path.stat().st_size for path in paths if path.is_file())
