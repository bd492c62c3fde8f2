"""Which files of a user's folder make up a model: settings, tokenizer, safetensors, and no more.

A folder from a model hub holds more than a library should see: a pickle beside the safetensors,
Python files, notebooks of the training, other precisions of the same weights. What is taken is
decided by name here, once; all else is left out and listed.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dnd_local.core.errors import DamagedFile, MissingWeights, Refused
from dnd_local.store.files import read_whole
from dnd_local.store.manifest import check_path, is_pickle

PIPELINE: Final = "model_index.json"
SHARDS: Final = ".safetensors.index.json"
PLAIN_NAMES: Final = ("model.safetensors", "diffusion_pytorch_model.safetensors")
OPEN_CLIP_NAMES: Final = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors")

_SETTINGS: Final = (".json", ".txt", ".model", ".jinja", ".tiktoken")
_PAPERS = re.compile(r"^(readme|licen[cs]e|notice|requirements|changelog)", re.IGNORECASE)
_VARIANT = re.compile(r"^(?P<stem>[^.]+)\.(fp16|bf16|fp32|non_ema|ema)\.safetensors$")
_PICKLES: Final = {
    "pytorch_model.bin": "model.safetensors",
    "diffusion_pytorch_model.bin": "diffusion_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin": "open_clip_model.safetensors",
}
_TRAINING = re.compile(r"^(optimizer|scheduler|scaler|training_args|rng_state|random_states)")
_CONVERTIBLE: Final = (".bin", ".pt", ".pth", ".pth.tar", ".ckpt", ".pkl", ".pickle")
_UNUSED_PARTS: Final = frozenset({"safety_checker", "feature_extractor", "image_encoder"})
"""Parts of a painter's pipeline that no painter here loads."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A file of a model: its path in the model's folder, and where it lies.

    `pickle` says that it lies there as a pickle, so that it must be converted first.
    """

    path: str
    source: Path
    pickle: bool = False


@dataclass(frozen=True, slots=True)
class Survey:
    """The files of a model, sorted by path, and the paths that were left out."""

    files: tuple[Taken, ...]
    left_out: tuple[str, ...]


def survey(folder: Path, prefer: Sequence[str] = PLAIN_NAMES) -> Survey:
    """Return the files of the model in a folder.

    Args:
        folder: the user's folder.
        prefer: names of weights that win, in this order, where a folder holds several.

    Raises:
        MissingWeights: there are no weights.
        DamagedFile: an index names a file that is not there, or is not JSON.
        Refused: which file holds the weights is not decided; a file lies elsewhere; it is an
            adapter, or a pickle in several parts.
    """
    taken: list[Taken] = []
    for part in _parts(folder):
        names = _names(folder / part)
        chosen = dict.fromkeys(name for name in names if _is_settings(name))
        if part or PIPELINE not in names:
            weights = _weights(folder / part, names, prefer)
            taken += [Taken(_join(part, p), folder / part / s, pickle) for p, s, pickle in weights]
        else:
            chosen = {PIPELINE: None}
        taken += [Taken(_join(part, name), folder / part / name) for name in chosen]
    for one in taken:
        _check_place(folder, one)
    sources = {one.source for one in taken}
    left = sorted(path for path in _every(folder) if folder / path not in sources)
    return Survey(tuple(sorted(taken, key=lambda one: one.path)), tuple(left))


def _parts(folder: Path) -> list[str]:
    """Return the folders with files to take: the folder itself, then those of a pipeline."""
    if not (folder / PIPELINE).is_file():
        return [""]
    index = _json(folder / PIPELINE)
    named = [
        name
        for name, value in index.items()
        if isinstance(value, list) and any(value) and name not in _UNUSED_PARTS
    ]
    absent = [name for name in named if not (folder / name).is_dir()]
    if absent:
        raise MissingWeights(
            f"{folder / PIPELINE} names '{absent[0]}', and there is no such folder"
        )
    return ["", *named]


def _names(folder: Path) -> list[str]:
    return sorted(
        entry.name
        for entry in os.scandir(folder)
        if not entry.name.startswith(".") and (entry.is_file() or entry.is_symlink())
        and not entry.is_dir()
    )  # fmt: skip


def _is_settings(name: str) -> bool:
    return name.endswith(_SETTINGS) and not _PAPERS.match(name) and ".bin.index" not in name


def _weights(
    folder: Path, names: Sequence[str], prefer: Sequence[str]
) -> list[tuple[str, str, bool]]:
    """Return (path, name in the folder, whether a pickle) of each file with weights."""
    if indexes := [name for name in names if name.endswith(SHARDS)]:
        return [(name, name, False) for name in _shards(folder, indexes, names)]
    tensors = [name for name in names if name.endswith(".safetensors")]
    if any(name.startswith("adapter_") for name in tensors):
        raise Refused(
            f"{folder} holds an adapter, which is no model by itself; merge it into its model "
            "(peft: merge_and_unload, then save_pretrained) and add that folder"
        )
    whole = [name for name in tensors if not _VARIANT.match(name)]
    one = _one_of(folder, whole or tensors, prefer)
    if one:
        variant = _VARIANT.match(one)
        known = one in (*PLAIN_NAMES, *OPEN_CLIP_NAMES)
        path = f"{variant['stem']}.safetensors" if variant else one if known else PLAIN_NAMES[0]
        return [(path, one, False)]
    return _pickled(folder, names)


def _shards(folder: Path, indexes: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the files that the index of a model in several parts names."""
    single = indexes[0].removesuffix(".index.json")
    if len(indexes) > 1 or single in names:
        raise Refused(
            f"{folder} holds the weights twice ({', '.join(indexes)}"
            f"{f', {single}' if single in names else ''}); move one of them away"
        )
    shards = sorted(set(_json(folder / indexes[0]).get("weight_map", {}).values()))
    absent = [name for name in shards if name not in names]
    if absent or not shards:
        what = f"names '{absent[0]}', which is not there" if absent else "names no file"
        raise DamagedFile(f"{folder / indexes[0]} {what}; copy the folder again")
    return shards


def _one_of(folder: Path, candidates: Sequence[str], prefer: Sequence[str]) -> str:
    """Return the one file that holds the weights, empty where there is none."""
    for name in prefer:
        if name in candidates:
            return name
    if len(candidates) > 1:
        raise Refused(
            f"{folder} holds {len(candidates)} files of weights ({', '.join(candidates[:3])}), and "
            f"none is called {prefer[0]}; leave the right one there alone"
        )
    return candidates[0] if candidates else ""


def _pickled(folder: Path, names: Sequence[str]) -> list[tuple[str, str, bool]]:
    """Return the one pickle that holds the weights; none where the folder needs no weights."""
    if any(name.endswith(".bin.index.json") for name in names):
        raise Refused(
            f"{folder} holds a pickle in several parts, which is not converted here; load it where "
            "you trust it, write it with save_pretrained as safetensors, and add that folder"
        )
    pickles = [
        name
        for name in names
        if is_pickle(name) and name.endswith(_CONVERTIBLE) and not _TRAINING.match(name)
    ]
    one = _one_of(folder, pickles, tuple(_PICKLES))
    if one:
        return [(_PICKLES.get(one, PLAIN_NAMES[0]), one, True)]
    if any(name.endswith(".gguf") for name in names):
        raise Refused(
            f"{folder} holds GGUF files, which are not read; write the model as safetensors (with "
            "transformers: gguf_file=, then save_pretrained) and add that folder"
        )
    # A scheduler or a tokenizer of a painter has no config.json, and no weights.
    if "config.json" in names or PIPELINE not in _names(folder.parent):
        raise MissingWeights(f"{folder} holds no weights (a .safetensors file)")
    return []


def _check_place(folder: Path, one: Taken) -> None:
    """Refuse a file whose path not every system takes, or that lies outside the folder.

    A model hub's cache is let through: its snapshots are links to ``../../blobs``.
    """
    try:
        check_path(one.path)
    except ValueError as error:
        raise Refused(f"{folder}: {error}; rename it") from None
    home, real = folder.resolve(), one.source.resolve()
    places = [home]
    if home.parent.name == "snapshots":
        places.append(home.parent.parent / "blobs")
    if not any(real.is_relative_to(place) for place in places):
        raise Refused(
            f"{one.source} is a link that leads out of the folder, to {real}; put the file itself "
            "there"
        )
    if not real.is_file():
        raise MissingWeights(f"{one.source} is a link to {real}, which is not there")


def _every(folder: Path) -> Iterator[str]:
    for base, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if not name.startswith("."):
                yield Path(base, name).relative_to(folder).as_posix()


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_whole(path))
    except ValueError as error:
        raise DamagedFile(f"{path} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise DamagedFile(f"{path} is not a JSON object")
    return content


def _join(part: str, name: str) -> str:
    return f"{part}/{name}" if part else name
