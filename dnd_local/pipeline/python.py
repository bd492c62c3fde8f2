"""`dissect` for Python; docs/python.md shows it with what a run gives afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dnd_local.core.config import TIMEOUT_S
from dnd_local.pipeline.dissection import Dissection
from dnd_local.pipeline.notebook_progress import notebook_progress
from dnd_local.pipeline.runner import RunResult
from dnd_local.pipeline.session import Progress


def dissect(
    model: str,
    layer: str,
    ids: str | Iterable[int] = "all",
    *,
    probe: str | None = None,
    preset: str = "",
    settings: Mapping[str, Any] | None = None,
    config: str | Path | None = None,
    run: str = "",
    workspace: str | Path | None = None,
    weights: str | Path | None = None,
    manifest: str | Path | None = None,
    data: str | Path | None = None,
    prompts: str | Path | None = None,
    devices: str = "cpu",
    workers: int = 0,
    shared: bool = False,
    cluster: str = "",
    seed: int | None = None,
    llm_url: str = "",
    allow_remote_llm: bool = False,
    llm_timeout: float = TIMEOUT_S,
    llm_concurrency: int = 0,
    vllm_python: str = "",
    vllm_options: str = "",
    progress: Progress | None = None,
) -> RunResult:
    """Return plain-word descriptions of neurons, with all their evidence on disk.

    What is on disk already is not made again. `open_run(result.record.name)` reads the evidence.

    Args:
        model: ``pocket``, a network of the weights manifest, or ``path/to/file.py:factory``.
        layer: dotted paths, joined by commas.
        ids: ``1,2,3``, ``0-63``, ``all``, or numbers.
        probe: a probe set's name or folder, several joined by ``+``; by default the preset's.
        preset: ``paper``, ``fast``, ``released`` or ``pocket``; by default by the model.
        settings: nested settings, ``{"pictures": {"steps": 20}}``; they win over `config`.
        config: a TOML file of settings; it wins over the preset.
        run: the run's name; by default made from the rest.
        workspace: where all work is kept; by default ``./dnd-workspace``.
        weights: the weights folder.
        manifest: a weights manifest in place of the shipped one.
        data: the folder of prepared probe sets.
        prompts: a folder of prompts in place of the shipped one.
        devices: ``cpu``, or CUDA indices: ``0`` or ``0,1``.
        workers: processes; 0 is one a device.
        cluster: a Ray cluster's address, or ``local``, whose actors are the workers.
        shared: whether to share the work with every process that is started so.
        seed: the run's seed.
        llm_url: a language model's server that runs already.
        allow_remote_llm: whether that server may be on another machine.
        llm_timeout: seconds that one question may take.
        llm_concurrency: questions asked at once; 0 is the default of the kind of server.
        vllm_python: the Python of an environment that holds vLLM.
        vllm_options: further options of vLLM, written as for a shell.
        progress: who is told how far it is; by default a notebook's cell, elsewhere nobody.

    Raises:
        UserError: what was asked for cannot be done; the message says why and what to do.
    """
    return Dissection(
        model=model,
        layer=layer,
        ids=ids if isinstance(ids, str) else ",".join(str(number) for number in ids),
        probe=probe,
        preset=preset,
        settings=settings or {},
        config=_path(config),
        run=run,
        workspace=_path(workspace),
        weights=_path(weights),
        manifest=_path(manifest),
        data=_path(data),
        prompts=_path(prompts),
        devices=devices,
        workers=workers,
        shared=shared,
        cluster=cluster,
        seed=seed,
        llm_url=llm_url,
        allow_remote_llm=allow_remote_llm,
        llm_timeout=llm_timeout,
        llm_concurrency=llm_concurrency,
        vllm_python=vllm_python,
        vllm_options=vllm_options,
    ).run_now(progress or notebook_progress())


def _path(given: str | Path | None) -> Path | None:
    return None if given is None else Path(given)
