"""``dissect``, the main job, and ``triage``, its cheap beginning."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dnd_local.cli import completion, tables
from dnd_local.cli.arguments import (
    RARE,
    AsJson,
    Devices,
    Ids,
    Layers,
    Model,
    Preset,
    Probe,
    RunSeed,
    Settings,
    Weights,
    Workspace,
)
from dnd_local.cli.judging import judge_labels, ready_to_judge
from dnd_local.cli.options import with_settings
from dnd_local.cli.progress import ProgressLines
from dnd_local.cli.report import write_report
from dnd_local.cli.wordwise import say
from dnd_local.store.guard import go_offline

if TYPE_CHECKING:
    from dnd_local.pipeline.dissection import Dissection
    from dnd_local.pipeline.reading import StoredRun
    from dnd_local.pipeline.runner import RunResult

SERVER = "The language model's server"
"""The panel of the help for options of a server."""


@with_settings()
def dissect(
    model: Model,
    layer: Layers,
    ids: Ids = "all",
    probe: Probe = None,
    preset: Preset = "",
    config: Settings = None,
    run: Annotated[
        str,
        typer.Option(
            help="The run's name. Default: made from the rest.", autocompletion=completion.runs
        ),
    ] = "",
    workspace: Workspace = None,
    weights: Weights = None,
    devices: Devices = "cpu",
    workers: Annotated[
        int, typer.Option(help="Processes. Default: one a device.", min=0, rich_help_panel=RARE)
    ] = 0,
    shared: Annotated[
        bool,
        typer.Option(
            "--shared",
            help="Share the work with every process that is started with this option too, on any "
            "machine that sees the workspace.",
            rich_help_panel=RARE,
        ),
    ] = False,
    cluster: Annotated[
        str,
        typer.Option(
            help="A Ray cluster's address, or local: its actors are the workers, one a GPU (extra "
            "ray; the one exception to the rules on network and pickle, docs/airgap.md).",
            rich_help_panel=RARE,
        ),
    ] = "",
    seed: RunSeed = None,
    manifest: Annotated[
        Path | None,
        typer.Option(
            help="A manifest of your own models, in place of the shipped one.", rich_help_panel=RARE
        ),
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option(help="Another folder of prompts.", rich_help_panel=RARE)
    ] = None,
    llm_url: Annotated[
        str, typer.Option(help="A server that already runs.", rich_help_panel=SERVER)
    ] = "",
    allow_remote_llm: Annotated[
        bool,
        typer.Option(
            "--allow-remote-llm",
            help="Let --llm-url leave this machine; the run says so.",
            rich_help_panel=SERVER,
        ),
    ] = False,
    llm_timeout: Annotated[
        float,
        typer.Option(
            help="Seconds that one request to the server may take.", min=0.1, rich_help_panel=SERVER
        ),
    ] = 300.0,
    llm_concurrency: Annotated[
        int,
        typer.Option(
            help="Requests at once. Default: 256 a copy of the model at a server that is started, "
            "8 at another.",
            min=0,
            rich_help_panel=SERVER,
        ),
    ] = 0,
    vllm_python: Annotated[
        str,
        typer.Option(
            help="The Python that has vLLM. Default: $DND_LOCAL_VLLM_PYTHON, else this.",
            rich_help_panel=SERVER,
        ),
    ] = "",
    vllm_options: Annotated[
        str,
        typer.Option(
            help="More options for the server that is started, in quotes: "
            "'--max-model-len 8192 --gpu-memory-utilization 0.6'.",
            rich_help_panel=SERVER,
        ),
    ] = "",
    report: Annotated[bool, typer.Option(help="Also write the run's pages.")] = False,
    evaluate: Annotated[
        bool,
        typer.Option(
            "--evaluate",
            help="Also judge every label, on a fifth of the images, which then yield no exemplars.",
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option(help="Say what would be done, and stop.")] = False,
    as_json: AsJson = False,
    *,
    settings: dict[str, Any],
) -> None:
    """Describe neurons of a network in plain words, with all the evidence.

    Everything is kept: the same command again does nothing, more ids cost only the new ones, and
    a run that was stopped goes on where it was.

    Examples:

      dnd-local dissect pocket layer4 --ids 1,2,3

      dnd-local dissect resnet50 layer4 --ids 0-63 --preset fast --devices 0,1

      dnd-local dissect my/net.py:make encoder.layers.5 --ids all --probe photos/
    """
    from dnd_local.core.libraries import check_libraries
    from dnd_local.pipeline import dissection as asked

    if report:
        check_libraries(["jinja2"])  # said now, not when all is done
    go_offline(allow=asked.allowed_hosts(llm_url, allow_remote_llm, cluster))
    dissection = asked.Dissection(
        model=model, layer=layer, ids=ids, probe=probe, preset=preset, config=config, run=run,
        workspace=workspace, weights=weights, manifest=manifest, devices=devices, workers=workers,
        shared=shared, cluster=cluster, seed=seed, prompts=prompts, llm_url=llm_url,
        allow_remote_llm=allow_remote_llm, llm_timeout=llm_timeout, llm_concurrency=llm_concurrency,
        vllm_python=vllm_python, vllm_options=vllm_options, settings=settings,
    )  # fmt: skip
    if evaluate:
        dissection = ready_to_judge(dissection)
    if dry_run:
        tables.show_forecast(dissection.forecast(), as_json)
        return
    result = _carry_out(dissection)
    if evaluate:
        judge_labels(_stored(dissection, result.record.name), dissection.execution().devices)
    if report:
        say(f"Report: {write_report(_stored(dissection, result.record.name)).index}", err=True)
    tables.show_result(result, as_json)


def _carry_out(dissection: Dissection) -> RunResult:
    with ProgressLines() as progress:
        return dissection.run_now(progress)


def _stored(dissection: Dissection, run: str) -> StoredRun:
    from dnd_local.pipeline.reading import open_run

    return open_run(
        run,
        dissection.workspace,
        dissection.weights,
        dissection.data,
        dissection.prompts,
        dissection.manifest,
    )


@with_settings("network", "probe.chunk", "probe.keep", "probe.sample", "triage", "compat")
def triage(
    model: Model,
    layer: Layers,
    probe: Probe = None,
    preset: Preset = "",
    config: Settings = None,
    workspace: Workspace = None,
    weights: Weights = None,
    devices: Devices = "cpu",
    as_json: AsJson = False,
    *,
    settings: dict[str, Any],
) -> None:
    """Say which neurons are live, dead, constant or duplicates, before any generation.

    Example:

      dnd-local triage pocket layer4
    """
    from dnd_local.pipeline import dissection as asked
    from dnd_local.pipeline.runner import triage_layers

    dissection = asked.Dissection(
        model=model, layer=layer, probe=probe, preset=preset, config=config, workspace=workspace,
        weights=weights, devices=devices, settings=settings,
    )  # fmt: skip
    with ProgressLines() as progress:
        triages = triage_layers(
            dissection.make_config(),
            dissection.execution(),
            dissection.selection().layers,
            progress,
        )
    tables.show_triage(triages, as_json)
