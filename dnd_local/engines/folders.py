"""Reading the settings that lie beside a model's weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from dnd_local.core.errors import DamagedFile, MissingWeights, Refused, UserError

WORD_LIST: Final = "words.txt"
"""The list of words beside a CLIP that captions with them."""


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


def load_whole(kind: Any, folder: Path, how: Mapping[str, Any]) -> Any:
    """Return a transformers model of whose tensors none was made up.

    transformers draws what a folder lacks at random and only warns.

    Args:
        kind: the model's class, or one of transformers' Auto classes.
        folder: the model's folder.
        how: keywords of `from_pretrained`.

    Raises:
        UserError: the folder lacks tensors, or has them in another shape; the first is named.
    """
    try:
        model, notes = kind.from_pretrained(folder, output_loading_info=True, **how)
    except RuntimeError as error:
        if "mismatch" not in str(error):
            raise
        lines = [line.strip() for line in str(error).splitlines() if "mismatch" in line]
        raise UserError(f"the weights in {folder} do not fit its config.json: {lines[0]}") from None
    every = {name: id(one) for name, one in model.named_parameters(remove_duplicate=False)}
    read = {every[name] for name in every if name not in notes["missing_keys"]}
    # A tied tensor is there under its other name.
    lacking = [name for name in sorted(notes["missing_keys"]) if every.get(name) not in read]
    if lacking:
        raise UserError(
            f"the weights in {folder} lack {len(lacking)} tensors of a {type(model).__name__} "
            f"({', '.join(lacking[:3])}{', …' if len(lacking) > 3 else ''}): it is another "
            "network than its config.json says, or its tensors have other names"
        )
    return model


def quantised_by(folder: Path) -> str:
    """Return the method by which a language model's weights were quantised, empty for none.

    As its `config.json` says it: ``awq``, ``gptq``, ``fp8``, ``compressed-tensors``, ...
    """
    settings = settings_of(folder)
    quantisation = settings.get("quantization_config") or settings.get("compression_config") or {}
    return str(quantisation.get("quant_method") or "an unnamed method") if quantisation else ""


def has_chat_template(folder: Path) -> bool:
    """Return whether a language model's folder brings the form of a conversation."""
    if any((folder / name).is_file() for name in ("chat_template.jinja", "chat_template.json")):
        return True
    name = "tokenizer_config.json"
    return (folder / name).is_file() and bool(settings_of(folder, name).get("chat_template"))
