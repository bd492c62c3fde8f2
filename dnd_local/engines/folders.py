"""Reading the settings that lie beside a model's weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dnd_local.core.errors import DamagedFile, MissingWeights, Refused


def settings_of(folder: Path, name: str = "config.json") -> dict[str, Any]:
    """Return a model folder's JSON settings.

    Raises:
        MissingWeights: the file is not there.
        DamagedFile: it is not a JSON object.
        Refused: it names Python code to load (`auto_map`), which we do not run.
    """
    path = folder / name
    try:
        settings = json.loads(path.read_bytes())
    except OSError as error:
        raise MissingWeights(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise DamagedFile(f"{path} is not JSON: {error}") from None
    if not isinstance(settings, dict):
        raise DamagedFile(f"{path} is not a JSON object")
    if settings.get("auto_map"):
        raise Refused(f"{path} asks to run code of its own (auto_map); this is never done")
    return settings


def only_safetensors(folder: Path) -> Path:
    """Return the path of a folder's single safetensors file, `model.safetensors` if it has it.

    Raises:
        MissingWeights: it has none, or several.
    """
    if (folder / "model.safetensors").is_file():
        return folder / "model.safetensors"
    files = sorted(folder.glob("*.safetensors"))
    if len(files) != 1:
        raise MissingWeights(f"{folder} holds {len(files)} safetensors files; one is needed")
    return files[0]
