"""What the headers of safetensors files say: tensors, precision, size. No tensor is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec
from safetensors import SafetensorError, safe_open

from dnd_local.core.errors import DamagedFile
from dnd_local.store.files import read_whole

Precision: TypeAlias = Literal["float32", "float16", "bfloat16", "mixed"]

_PRECISIONS: Final[Mapping[str, Precision]] = {
    "F32": "float32", "F16": "float16", "BF16": "bfloat16",
}  # fmt: skip
_BITS: Final = {"F64": 64, "I64": 64, "U64": 64, "F32": 32, "I32": 32, "U32": 32, "F16": 16,
                "BF16": 16, "I16": 16, "U16": 16}  # fmt: skip
_NEARLY_ALL: Final = 0.99


@dataclass(frozen=True, slots=True)
class Tensors:
    """The tensors of some files: bytes on disk, and their precision where nearly all share one."""

    size: int
    precision: Precision | None


class _Index(msgspec.Struct):
    """A model's index: the part that each tensor lies in."""

    weight_map: dict[str, str]


def read_tensors(paths: Iterable[Path]) -> Tensors:
    """Return what the headers of safetensors files say.

    Raises:
        DamagedFile: a file is not whole.
    """
    bits: Counter[str] = Counter()
    size = 0
    for path in paths:
        size += path.stat().st_size
        try:
            with safe_open(path, framework="numpy") as file:
                for name in file.keys():  # noqa: SIM118  # no mapping
                    piece = file.get_slice(name)
                    count = 1
                    for length in piece.get_shape():
                        count *= length
                    bits[piece.get_dtype()] += count * _BITS.get(piece.get_dtype(), 8)
        except SafetensorError as error:
            raise DamagedFile(f"{path} is not a whole safetensors file: {error}") from None
    if not bits:
        return Tensors(size, None)
    kind, most = bits.most_common(1)[0]
    alone = most >= _NEARLY_ALL * bits.total()
    return Tensors(size, _PRECISIONS.get(kind, "mixed") if alone else "mixed")


def check_index(index: Path) -> None:
    """Check that the parts of a model hold the tensors that its index says they hold.

    Args:
        index: ``model.safetensors.index.json``, beside the parts that it names.

    Raises:
        DamagedFile: a part lacks a tensor, or the index is none.
    """
    try:
        told = msgspec.json.decode(read_whole(index), type=_Index)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DamagedFile(f"{index} is no index of a model's parts: {error}") from None
    wanted: dict[str, set[str]] = {}
    for tensor, part in told.weight_map.items():
        wanted.setdefault(part, set()).add(tensor)
    for part, tensors in sorted(wanted.items()):
        try:
            with safe_open(index.parent / part, framework="numpy") as file:
                lacking = sorted(tensors - set(file.keys()))
        except (SafetensorError, OSError) as error:
            raise DamagedFile(f"{index} names {part}, which cannot be read: {error}") from None
        if lacking:
            raise DamagedFile(f"{index} says that '{lacking[0]}' lies in {part}, which lacks it")
