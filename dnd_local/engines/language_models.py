"""Opening a language model: several kinds can read the same folder, so a setting names the kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, cast

from dnd_local.core.config import Execution, LlmConfig
from dnd_local.core.errors import UnknownName
from dnd_local.core.protocols import LanguageModel
from dnd_local.engines.registry import adapter, held


def open_language_model(
    config: LlmConfig,
    folders: Sequence[Path],
    execution: Execution,
    devices: Sequence[str] | None = None,
) -> AbstractContextManager[LanguageModel]:
    """Hand over a language model: a server's (`vllm`, `server`), or one here (`transformers`).

    Args:
        config: the settings.
        folders: the model's folder; none for a server that someone else started.
        execution: where the server is, or how it is started.
        devices: for the model in this process, or a server of our own; `execution.devices` if not
            given.

    Raises:
        UnknownName: another engine.
    """
    if config.engine not in LANGUAGE_MODELS:
        known = tuple(kind for kind in LANGUAGE_MODELS if kind != "server")
        hint = f"Use {' or '.join(known)}, or path/to/file.py:factory."
        raise UnknownName("LLM engine", config.engine, known, hint)
    opened = LANGUAGE_MODELS[config.engine](config, folders, execution, devices)
    return cast(AbstractContextManager[LanguageModel], opened)


def _vllm(
    config: LlmConfig, folders: Sequence[Path], execution: Execution, devices: Sequence[str] | None
) -> Any:
    folder = folders[0] if folders else None
    return adapter("language_model_vllm").open_vllm(config, folder, execution, devices)


def _transformers(
    config: LlmConfig, folders: Sequence[Path], execution: Execution, devices: Sequence[str] | None
) -> Any:
    build = adapter("language_model_transformers").TransformersLanguageModel
    return held(build(folders[0], config, devices or execution.devices))


LANGUAGE_MODELS: Final[Mapping[str, Callable[..., Any]]] = {
    "vllm": _vllm,
    "server": _vllm,
    "transformers": _transformers,
}
"""The kinds of language model by the name of the setting: several can read the same folder."""
