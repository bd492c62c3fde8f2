"""What may stand in a model folder: the files that the manifest names, and no code.

Model libraries look for files by themselves: a stray ``model.safetensors`` can win over verified
shards, an ``auto_map`` names Python to import. So a folder is handed to a library only when it
holds nothing but named files and no setting asks for code.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from dnd_local.core.errors import Refused
from dnd_local.store.files import read_whole
from dnd_local.store.manifest import is_pickle

LITTER: Final = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
"""Files that desktops leave behind; no model library reads them."""

_VOCABULARIES = frozenset({"tokenizer.json", "vocab.json"})
_PIPELINE_LIBRARIES = frozenset({"diffusers", "transformers", "stable_diffusion"})
"""The last is diffusers' own: Stable Diffusion 1 and 2 name their safety checker by it."""


def extra_files(folder: Path, named: Iterable[str]) -> tuple[str, ...]:
    """Return the relative paths in a folder that nobody named, sorted; linked folders count."""
    known = frozenset(named)
    return tuple(sorted(path for path in _walk(folder) if path not in known))


def refuse_strangers(name: str, folder: Path, named: Iterable[str]) -> None:
    """Check that a model folder holds only named files.

    Raises:
        Refused: it holds another; a pickle or Python file is pointed out as such.
    """
    extras = extra_files(folder, named)
    dangerous = [path for path in extras if is_pickle(path) or path.endswith((".py", ".pyc"))]
    if dangerous:
        raise Refused(
            f"'{name}': {folder / dangerous[0]} can run code when it is loaded and is not in the "
            "manifest; move it away"
        )
    if extras:
        raise Refused(
            f"'{name}': {folder / extras[0]} is not in the manifest"
            f"{f' (nor are {len(extras) - 1} others)' if len(extras) > 1 else ''}, and a library "
            "might read it instead of what was checked; move it away"
        )


def refuse_code(name: str, folder: Path, named: Iterable[str]) -> None:
    """Check that no settings file of a model asks for Python that it brings along.

    Raises:
        Refused: one does, or is not JSON.
    """
    for path in named:
        if not path.endswith(".json") or Path(path).name in _VOCABULARIES:
            continue
        try:
            settings = json.loads(read_whole(folder / path))
        except (ValueError, RecursionError):
            raise Refused(f"'{name}': {folder / path} is not JSON") from None
        if reason := _asks_for_code(Path(path).name, settings):
            raise Refused(f"'{name}': {folder / path} {reason}; models that bring code are refused")


def _asks_for_code(filename: str, settings: Any) -> str:
    """Return how a settings file asks for code, empty if it does not."""
    for key, value in _pairs(settings):
        if key in ("auto_map", "custom_pipelines", "custom_pipeline") and value:
            return f"has '{key}'"
        if key == "trust_remote_code" and value:
            return "asks to trust remote code"
    if filename == "model_index.json" and isinstance(settings, dict):
        if isinstance(settings.get("_class_name"), list):
            return "names a class of its own"
        for part, value in settings.items():
            library = value[0] if isinstance(value, list) and value else None
            if library not in (None, *_PIPELINE_LIBRARIES):
                return f"takes its {part} from '{library}'"
    if filename == "modules.json" and isinstance(settings, list):
        for module in settings:
            kind = str(module.get("type")) if isinstance(module, dict) else str(module)
            if not kind.startswith("sentence_transformers."):
                return f"imports '{kind}'"
    return ""


def _pairs(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield every key and value of nested JSON."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            yield from item.items()
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)


def _walk(folder: Path) -> Iterator[str]:
    for base, folders, files in os.walk(folder):
        here = Path(base)
        linked = [name for name in folders if (here / name).is_symlink()]
        for name in (*files, *linked):
            if name not in LITTER:
                yield (here / name).relative_to(folder).as_posix()
