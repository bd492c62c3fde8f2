"""Opening engines by role, each adapter imported only when it is asked for.

Every `open_*` is for a ``with`` block: it hands over a loaded engine and gives its memory back
at the end. Paths are folders whose files were verified before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from msgspec import structs

from dnd_local.core.config import NetworkConfig
from dnd_local.core.errors import MissingWeights, UnknownName, UserError
from dnd_local.core.libraries import check_libraries, library
from dnd_local.core.protocols import EngineRole, Target

_LIBRARIES: Final[Mapping[EngineRole, tuple[str, ...]]] = {
    "target": ("torch", "torchvision"),
    "captioner": ("torch", "transformers"),
    "language-model": ("torch", "transformers"),
    "painter": ("torch", "diffusers", "accelerate"),
    "embedder": ("torch", "open_clip"),
}
"""What the built-in engines of each role, loaded in this process, stand on."""


def adapter(name: str) -> ModuleType:
    """Return an engine module by name.

    Raises:
        UserError: a library that it stands on is not installed; the message says how to get it.
    """
    return library(f"dnd_local.engines.{name}")


def check_engines(roles: Iterable[EngineRole]) -> None:
    """Check that the libraries of the built-in engines of `roles` are here, loading none.

    Raises:
        UserError: some are not installed; all of them are named.
    """
    check_libraries(name for role in roles for name in _LIBRARIES[role])


@dataclass(frozen=True, slots=True)
class EngineKind:
    """A built-in kind of captioner, painter or embedder, known by the folder of its weights.

    Attributes:
        name: as people call it.
        module: the adapter's module in this package.
        build: its class; called with the folder, the role's settings and `devices`.
        file: a file that a folder of this kind holds.
        types: the `model_type` that the file names, or the `_class_name`; any if empty.
        without: settings of the role that mean nothing to this kind.
    """

    name: str
    module: str
    build: str
    file: str
    types: tuple[str, ...] = ()
    without: tuple[str, ...] = ()

    def reads(self, folder: Path) -> bool:
        """Return whether a folder is of this kind."""
        path = folder / self.file
        if not path.is_file():
            return False
        if not self.file.endswith(".json"):
            return True
        settings = adapter("folders").settings_of(folder, self.file)
        named = settings.get("model_type", settings.get("_class_name"))
        return not self.types or named in self.types


BUILT_IN: Final[Mapping[EngineRole, tuple[EngineKind, ...]]] = {
    "captioner": (
        EngineKind("BLIP", "captioner_blip", "BlipCaptioner", "config.json", ("blip", "blip-2")),
        EngineKind("CLIP with words", "captioner_words", "WordsCaptioner", "words.txt",
                   without=("quantisation", "min_tokens", "max_tokens")),
    ),
    "painter": (
        EngineKind("diffusers", "painter_diffusers", "DiffusersPainter", "model_index.json",
                   ("StableDiffusionPipeline", "StableDiffusionXLPipeline", "Flux2KleinPipeline")),
    ),
    "embedder": (
        EngineKind("open_clip", "embedder_open_clip", "OpenClipEmbedder", "open_clip_config.json"),
    ),
}  # fmt: skip
"""The kinds of each role, in the order in which they are tried."""


def open_built_in(
    role: EngineRole, settings: Any, folders: Sequence[Path], devices: Sequence[str]
) -> AbstractContextManager[Any]:
    """Hand over a captioner, a painter or an embedder.

    Args:
        role: which of them.
        settings: the role's section of the settings.
        folders: the model's folder; after it the small decoder's and the LoRA's, as far as a
            painter's settings name them.
        devices: as in `Execution.devices`.

    Raises:
        MissingWeights, UserError: as `kind_of`.
    """
    folder = folders[0]
    kind = kind_of(role, folder)
    build = getattr(adapter(kind.module), kind.build)
    beside = {"decoder": getattr(settings, "decoder", "own") != "own",
              "lora": bool(getattr(settings, "lora", ""))}  # fmt: skip
    more = dict(zip([name for name in beside if beside[name]], folders[1:], strict=True))
    return held(build(folder, settings, devices=devices, **more))


def kind_of(role: EngineRole, folder: Path) -> EngineKind:
    """Return the kind of captioner, painter or embedder that a folder holds.

    Raises:
        MissingWeights: the folder is not there.
        UserError: no kind reads such a folder.
    """
    if not folder.is_dir():
        raise MissingWeights(f"there is no folder {folder} for the {role}")
    for kind in BUILT_IN[role]:
        if kind.reads(folder):
            return kind
    known = ", ".join(
        f"{kind.name} (has {kind.file}{' of ' * bool(kind.types)}{' or '.join(kind.types)})"
        for kind in BUILT_IN[role]
    )
    raise UserError(
        f"{folder} holds no {role} that is known here: {known}; for another one give "
        "path/to/file.py:factory"
    )


TARGET_SOURCES: Final[Mapping[str, str]] = {
    "": "target_loading",
    "torchvision": "target_torchvision",
    "timm": "target_timm",
    "hf": "target_hf",
    "open_clip": "target_open_clip",
    "places365": "target_places365",
    "tile2vec": "target_tile2vec",
}
"""The module of each source of target networks.

By what the manifest entry's `network` starts with; empty: the folder's `config.json` tells all. A
module has ``load(folder, published, origin) -> (module, transform)``, and ``classes(folder,
published)``, which returns the last layer's path and its neurons' names, or None without names.
Where its networks say how their tokens lie, ``layout(module, transform)`` returns that as
``network.layout`` writes it, or an empty text.
"""


def open_target(
    config: NetworkConfig,
    folder: Path,
    devices: Sequence[str],
    network: str = "",
    origin: str = "",
    latents: Any = None,
) -> AbstractContextManager[Target]:
    """Hand over the network of a folder.

    Args:
        config: how the network is read.
        folder: its files.
        devices: as in `Execution.devices`.
        network: what the manifest says of its source, ``torchvision:NAME@MEMBER``; empty for a
            folder whose `config.json` says it.
        origin: the name of the file that its weights were converted from.
        latents: the encoder whose latents are read in place of neurons.

    Raises:
        UnknownName: no such source of networks.
        UserError: the network cannot be built from the folder.
    """
    source, published = _source_of(folder, network)
    module, transform = source.load(folder, published, origin)
    if not config.layout and hasattr(source, "layout"):
        config = structs.replace(config, layout=source.layout(module, transform))
    return _target((module, transform), config, devices, latents)


def check_source(folder: Path, network: str) -> None:
    """Pass if something says which network a folder holds.

    Args:
        folder: its files.
        network: as `open_target`.

    Raises:
        UnknownName: no such source of networks.
        UserError: neither `network` nor the folder says it.
    """
    source, _ = _source_of(folder, network)
    if not network and source.classes(folder, "") is None:
        known = ", ".join(name for name in TARGET_SOURCES if name)
        raise UserError(
            f"nothing in {folder} says which network it is; say it with --source ({known}; "
            "docs/weights.md)"
        )


def target_classes(folder: Path, network: str = "") -> tuple[str, tuple[str, ...]] | None:
    """Return the last layer of a folder's network and the class of each of its neurons.

    Args:
        folder: its files; some sources know the classes without them.
        network: as `open_target`.

    Returns:
        The layer's path and the classes; None where the source does not know them.

    Raises:
        UnknownName: no such source of networks.
    """
    source, published = _source_of(folder, network)
    named: tuple[str, tuple[str, ...]] | None = source.classes(folder, published)
    return named


def _source_of(folder: Path, network: str) -> tuple[Any, str]:
    """Return the module of a network's source, and the network's name there."""
    source, _, published = network.partition(":")
    if source not in TARGET_SOURCES:
        known = [name for name in TARGET_SOURCES if name]
        raise UnknownName("source of networks", source, known, f"Known are {', '.join(known)}.")
    return adapter(TARGET_SOURCES[source]), published


def open_factory(
    role: EngineRole, name: str, settings: Any, devices: Sequence[str], latents: Any = None
) -> AbstractContextManager[Any]:
    """Hand over a user's own engine, named ``path/to/file.py:factory``.

    Raises:
        UserError: the file or the function is not there, or gives no engine of that role.
    """
    factory = adapter("factory")
    if role == "target":
        return _target(factory.load_target(name), settings, devices, latents)
    device = str(adapter("device").home(devices))
    return held(factory.load_engine(role, name, settings, device))


def factory_state_digest(role: EngineRole, name: str, settings: Any) -> str:
    """Return what stands in a key for the state of a user's own engine.

    For a target, which is examined, its tensors and its transform. The engine is built for it;
    its source is the caller's to hash.

    Raises:
        UserError: as `open_factory`, or the target will not do.
    """
    if role == "target":
        return str(examine_target(name, settings.layout).digest)
    factory = adapter("factory")
    digest: str = factory.engine_digest(factory.load_engine(role, name, settings, "cpu"))
    return digest


def examine_target(name: str, layout: str = "", layer: str = "") -> Any:
    """Return what a user's own target was found to be; see `factory_check.examine`."""
    return adapter("factory_check").examine(name, layout, layer)


def open_text_encoder(
    folder: Path, devices: Sequence[str], batch: int = 32
) -> AbstractContextManager[Any]:
    """Hand over a sentence encoder, with `embed_texts` (evaluation)."""
    return held(adapter("embedder_text").SentenceEncoder(folder, batch, devices))


def _target(
    loaded: Any, config: NetworkConfig, devices: Sequence[str], latents: Any
) -> AbstractContextManager[Target]:
    return held(adapter("target_torch").TorchTarget(*loaded, config, devices, latents))


@contextmanager
def held(engine: Any) -> Iterator[Any]:
    """Hand over an engine, and close it at the end, even where a caller keeps it."""
    try:
        yield engine
    finally:
        close = getattr(engine, "close", None)  # a user's own need not have one
        if close is not None:
            close()
        adapter("device").release()
