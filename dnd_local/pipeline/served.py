"""Which language model answers a run, settled before any work starts.

The weights of a model that this package loads are known by their hash. A server that someone else
runs only says a name, and what it calls its root; these, and what the user says with
``--llm-revision``, stand for its weights in every key. They are settled once, when a run begins,
and kept in its record, so that work which is done asks no server.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from dnd_local.core.config import Config, Execution, LlmConfig
from dnd_local.core.errors import BadConfig, DamagedFile, UnknownName, UserError
from dnd_local.core.factory_names import is_factory
from dnd_local.core.records import Neuron
from dnd_local.core.sequences import distinct
from dnd_local.engines.folders import quantised_by
from dnd_local.engines.language_models import LANGUAGE_MODELS
from dnd_local.engines.llm_address import read_address
from dnd_local.engines.llm_survey import KEY_VARIABLE, ServerFacts, survey, try_out
from dnd_local.engines.vllm_command import ServerSettings
from dnd_local.engines.vllm_python import find_vllm
from dnd_local.engines.vllm_server import options_now
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.plan import proposing, triages_of
from dnd_local.pipeline.replies import replies_of
from dnd_local.pipeline.selection import Selection
from dnd_local.pipeline.stage import Asked
from dnd_local.store.runs import RunFolder
from dnd_local.store.weights import Weights

SERVER: Final = "server"
"""The engine of a run whose language model is behind --llm-url."""

REPLAY: Final = "replay:"
_LOADED: Final = ("batch", "dtype", "quantisation")
"""Settings of how a model is loaded, which a server has done already."""


def choose_server(config: Config, url: str, given: Mapping[str, object]) -> Config:
    """Return the settings for a server at `url`, whose model is not known yet; else unchanged.

    Args:
        config: the settings.
        url: the address from ``--llm-url``, empty for none.
        given: the settings of the language model that the user gave, by name; the others are a
            preset's.

    Raises:
        BadConfig: settings that would have no effect.
        UnknownName: no such engine.
    """
    llm = config.llm
    known = llm.engine in LANGUAGE_MODELS or is_factory(llm.engine)
    if not known and not llm.engine.startswith(REPLAY):
        kinds = [kind for kind in LANGUAGE_MODELS if kind != SERVER]
        hint = f"Use {', '.join(kinds)}, replay:RUN, or path/to/file.py:factory."
        raise UnknownName("LLM engine", llm.engine, kinds, hint)
    if llm.engine.startswith(REPLAY) and "model" in given:
        raise BadConfig(
            f"--llm-model {llm.model} has no effect where labels come from {llm.engine}: they are "
            "the model's that answered then; leave it out"
        )
    if not url and llm.engine == SERVER:
        raise BadConfig("--llm server needs the server's address; give --llm-url")
    if not url and "revision" in given:
        raise BadConfig(
            f"--llm-revision {llm.revision} is for a model behind --llm-url, whose weights cannot "
            "be seen; here they are known by their hash, so leave it out"
        )
    if not url:
        return config
    if llm.engine not in ("vllm", SERVER):
        raise BadConfig(
            f"--llm-url {url} has no effect where labels come from {llm.engine}; leave it out, or "
            "give --llm vllm"
        )
    if idle := [name for name in _LOADED if name in given]:
        raise BadConfig(
            f"--llm-{idle[0]} has no effect on a model that a server has loaded already; leave it "
            "out, and say what the server runs with --llm-revision"
        )
    model = llm.model if "model" in given else ""
    usual = {name: getattr(LlmConfig(), name) for name in _LOADED}
    return replace(config, llm=replace(llm, engine=SERVER, model=model, root="", **usual))


def settle(config: Config, execution: Execution, run: str) -> Config:
    """Return the settings with the language model that answers a run, by name and root.

    The record of a run that exists says it, and no server is asked. A replay has the model of
    the run that it repeats.

    Raises:
        UserError: the server does not answer, or does not serve the model asked for.
    """
    llm = config.llm
    if llm.engine.startswith(REPLAY):
        source, _, describer = llm.engine.removeprefix(REPLAY).partition("/")
        old = RunFolder(execution.workspace, source).read().config.llm
        if describer:
            old = replace(old, model=describer, root="", revision="")
        return _with(config, old)
    if llm.engine != SERVER:
        return config
    earlier = _earlier(execution, run)
    if earlier is not None and llm.model in ("", earlier.model):
        return _with(config, replace(earlier, revision=llm.revision))
    facts = ask_server(execution, llm.model)
    return replace(config, llm=replace(llm, model=facts.model, root=facts.root))


def check_language_model(config: Config, execution: Execution, weights: Weights) -> str:
    """Return the language model's kind and version in words, once it is known to answer.

    A run with questions left checks this first, so that it does not fail after hours of work.

    Raises:
        UserError: it does not answer; the message says why and what to do.
        Refused: another model answers than the one that answered this run so far.
    """
    llm = config.llm
    if llm.engine == SERVER:
        facts = ask_server(execution, llm.model, llm.root)
        address = read_address(execution.llm_url, allow_remote=execution.allow_remote_llm)
        try_out(address, _key(), facts, min(execution.llm_timeout, 60.0))
        return facts.server
    if llm.engine in ("vllm", "transformers"):
        _check_quantised(llm, weights.folder(llm.model))
    if llm.engine == "vllm":
        python = find_vllm(execution.vllm_python, os.environ)
        options_now(ServerSettings.of(llm, weights.folder(llm.model), execution))
        if llm.quantisation == "int4" and not python.bitsandbytes:
            raise UserError(
                f"{python.path} has no vllm-bnb-plugin, which llm.quantisation = 'int4' needs; "
                f"install it there, or take 'fp8'"
            )
        return f"vLLM {python.version}"
    if llm.engine.startswith(REPLAY):
        replies_of(llm.engine.removeprefix(REPLAY), execution.workspace)
    return ""


def _check_quantised(llm: LlmConfig, folder: Path) -> None:
    """Refuse to quantise again, or to read here, what was quantised before it was saved."""
    method = quantised_by(folder)
    if method and llm.quantisation != "none":
        raise UserError(
            f"the weights of '{llm.model}' are quantised already ({method}); leave out "
            f"--llm-quantisation {llm.quantisation}"
        )
    if method and llm.engine == "transformers":
        raise UserError(
            f"the weights of '{llm.model}' are quantised ({method}), which vLLM reads and the "
            "engine in this process does not; give --llm vllm"
        )


def asks_language_model(lab: Lab, selection: Selection, earlier: Sequence[Neuron]) -> bool:
    """Return whether the neurons selected, or those of earlier sessions, have questions left.

    Where a layer has not been triaged, its neurons count as live.
    """
    layers = distinct([*(neuron.layer for neuron in earlier), *selection.layers])
    triages = triages_of(lab, layers)
    if len(triages) < len(layers):
        return True
    widths = {layer: len(part.neurons) for layer, part in triages.items()}
    target = lab.config.network.name
    selected = selection.resolve(widths)
    neurons = [
        # Neurons of the run that its layer no longer has are refused later, by name.
        *(neuron for neuron in earlier if neuron.index < widths[neuron.layer]),
        *(Neuron(target, layer, i) for layer, ids in selected.items() for i in ids),
    ]
    asked = Asked(tuple(layers), tuple(neurons))
    asking = [stage for stage in proposing() if stage.when(lab.config)]
    return any(stage.missing(lab, stage.items(lab, asked)) for stage in asking)


def ask_server(execution: Execution, model: str, root: str | None = None) -> ServerFacts:
    """Return what the server at ``--llm-url`` says of itself and of `model`.

    Raises:
        UserError: it does not answer, or serves something else.
        Refused: it serves `model` with another root than `root`.
    """
    address = read_address(execution.llm_url, allow_remote=execution.allow_remote_llm)
    return survey(address, _key(), model, root)


def _key() -> str:
    return os.environ.get(KEY_VARIABLE, "")


def _with(config: Config, old: LlmConfig) -> Config:
    llm = replace(config.llm, model=old.model, root=old.root, revision=old.revision)
    return replace(config, llm=llm)


def _earlier(execution: Execution, run: str) -> LlmConfig | None:
    """Return the language model of a run that exists and was answered by a server."""
    folder = RunFolder(execution.workspace, run)
    if not (folder.folder / "run.json").exists():
        return None
    try:
        llm = folder.read().config.llm
    except DamagedFile:
        return None
    return llm if llm.engine == SERVER else None
