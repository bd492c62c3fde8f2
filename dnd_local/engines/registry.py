"""Opening engines by role, each adapter imported only when it is asked for.

Every `open_*` is for a ``with`` block: it hands over a loaded engine and gives its memory back
at the end. Paths are folders whose files were verified before.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Final, cast

from dnd_local.core.config import (
    CaptionsConfig,
    ClipConfig,
    Execution,
    LlmConfig,
    NetworkConfig,
    PicturesConfig,
)
from dnd_local.core.digest import key
from dnd_local.core.errors import UnknownName, UserError
from dnd_local.core.protocols import Captioner, Embedder, LanguageModel, Painter, Target

_EXTRAS: Final = {
    "sentence_transformers": "pip install 'dnd-local[eval]'",
    "vllm": "pip install 'dnd-local[vllm]'",
}
"""How to get a library that is not part of a plain installation."""

LLM_ENGINES: Final = ("vllm", "transformers")


def adapter(name: str) -> ModuleType:
    """Return an engine module by name.

    Raises:
        UserError: a library that it stands on is not installed; the message says how to get it.
    """
    try:
        return importlib.import_module(f"dnd_local.engines.{name}")
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in ("", "dnd_local"):
            raise
        how = _EXTRAS.get(missing, "pip install --force-reinstall dnd-local")
        raise UserError(f"the Python library '{missing}' is not installed; run: {how}") from error


def open_target(
    config: NetworkConfig,
    folder: Path,
    devices: Sequence[str],
    network: str = "",
    origin: str = "",
) -> AbstractContextManager[Target]:
    """Hand over the network of a folder.

    Args:
        config: how the network is read.
        folder: its files.
        devices: as in `Execution.devices`.
        network: what the manifest says of its kind, ``torchvision:NAME@MEMBER``; empty for a
            folder whose `config.json` says it.
        origin: the name of the file that its weights were converted from.

    Raises:
        UserError: the network cannot be built from it.
    """
    kind, _, published = network.partition(":")
    if kind == "torchvision":
        path = adapter("folders").only_safetensors(folder)
        loaded = adapter("target_torchvision").load_torchvision(published, path, origin)
        return _target(loaded, config, devices)
    if kind:
        raise UnknownName("kind of network", kind, ("torchvision",), f"{folder} cannot be read.")
    if not (folder / "config.json").is_file():
        raise UserError(
            f"nothing says which network {folder} is: give its entry in the weights manifest "
            f'"network": "torchvision:{config.name}@MEMBER"'
        )
    return _target(adapter("target_loading").load_folder(folder), config, devices)


def open_factory(config: NetworkConfig, devices: Sequence[str]) -> AbstractContextManager[Target]:
    """Hand over a user's own network, named ``path/to/file.py:function``.

    Raises:
        UserError: the file or the function is not there, or gives no network.
    """
    return _target(adapter("target_loading").load_factory(config.name), config, devices)


def factory_state_digest(name: str) -> str:
    """Return what stands in a key for a user's own network: its tensors and its transform.

    The network is built for it; its source is the caller's to hash.

    Raises:
        UserError: as `open_factory`.
    """
    loading = adapter("target_loading")
    module, transform = loading.load_factory(name)
    return key([loading.state_digest(module), loading.transform_digest(transform)])


def open_captioner(
    config: CaptionsConfig, folder: Path, devices: Sequence[str]
) -> AbstractContextManager[Captioner]:
    """Hand over a captioner."""
    return _held(adapter("captioner_blip").BlipCaptioner(folder, config, devices))


def open_painter(
    config: PicturesConfig, folders: Sequence[Path], devices: Sequence[str]
) -> AbstractContextManager[Painter]:
    """Hand over a painter.

    Args:
        config: the settings.
        folders: the pipeline, then the small decoder if the settings name one.
        devices: as in `Execution.devices`.
    """
    decoder = folders[1] if len(folders) > 1 else None
    painter = adapter("painter_diffusers").DiffusersPainter
    return _held(painter(folders[0], config, decoder, devices))


def open_embedder(
    config: ClipConfig, folder: Path, devices: Sequence[str]
) -> AbstractContextManager[Embedder]:
    """Hand over an embedder of pictures and texts."""
    return _held(adapter("embedder_open_clip").OpenClipEmbedder(folder, config, devices))


def open_text_encoder(
    folder: Path, devices: Sequence[str], batch: int = 32
) -> AbstractContextManager[Any]:
    """Hand over a sentence encoder, with `embed_texts` (evaluation)."""
    return _held(adapter("embedder_text").SentenceEncoder(folder, batch, devices))


def open_language_model(
    config: LlmConfig,
    folders: Sequence[Path],
    execution: Execution,
    devices: Sequence[str] | None = None,
) -> AbstractContextManager[LanguageModel]:
    """Hand over a language model: a server's (`vllm`) or one in this process (`transformers`).

    Args:
        config: the settings.
        folders: the model's folder.
        execution: where the server is, or how it is started.
        devices: for the model in this process, or a server of our own; `execution.devices` if not
            given.

    Raises:
        UnknownName: another engine.
    """
    if config.engine == "vllm":
        opened = adapter("language_model_vllm").open_vllm(config, folders[0], execution, devices)
        return cast(AbstractContextManager[LanguageModel], opened)
    if config.engine == "transformers":
        language_model = adapter("language_model_transformers").TransformersLanguageModel
        return _held(language_model(folders[0], config, devices or execution.devices))
    raise UnknownName("LLM engine", config.engine, LLM_ENGINES, f"Use {' or '.join(LLM_ENGINES)}.")


def _target(
    loaded: Any, config: NetworkConfig, devices: Sequence[str]
) -> AbstractContextManager[Target]:
    return _held(adapter("target_torch").TorchTarget(*loaded, config, devices))


@contextmanager
def _held(engine: Any) -> Iterator[Any]:
    """Hand over an engine; whoever still holds it afterwards holds nothing heavy."""
    try:
        yield engine
    finally:
        engine.close()
        adapter("device").release()
