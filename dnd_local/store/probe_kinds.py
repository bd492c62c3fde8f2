"""Which kind of probe set a path is, and what to do with a file that is none.

Folders of images, tar files and WebDataset shards, Parquet and Arrow files, arrays, tiles. Nothing
is copied or taken apart: each kind is read where it lies.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from glob import glob
from itertools import product
from pathlib import Path
from typing import Final

from dnd_local.core.errors import UserError
from dnd_local.core.protocols import ProbeSet
from dnd_local.core.sequences import grouped
from dnd_local.store.images import image_suffixes
from dnd_local.store.probe_arrays import ArrayProbe, layout_of
from dnd_local.store.probe_columns import ColumnProbe
from dnd_local.store.probe_folder import FolderProbe, NoImages, files_of, shown
from dnd_local.store.probe_shards import ShardsProbe
from dnd_local.store.probe_tiles import SHOWN_BY, TileProbe

_KINDS: Final[Mapping[str, str]] = {
    ".tar": "tar", ".parquet": "parquet", ".arrow": "arrow", ".npy": "array",
}  # fmt: skip

_FORMS: Final[Mapping[str, str]] = {
    ".zip": "take it apart into a folder (unzip)",
    ".gz": "decompress it (gunzip), or take a .tar.gz apart into a folder",
    ".tgz": "take it apart into a folder (tar -xzf)",
    ".bz2": "decompress it (bunzip2)",
    ".xz": "decompress it (xz -d)",
    ".7z": "take it apart into a folder",
    ".npz": "save the one array with numpy.save, as .npy, which can be read in place",
    ".tif": "save it as .npy (height, width, bands), a file a tile, with tiles.toml beside it",
    ".tfrecord": "write its images into a tar (WebDataset) or a Parquet column",
    ".h5": "save its array of images with numpy.save, as .npy (images, height, width, 3)",
    ".hdf5": "save its array of images with numpy.save, as .npy (images, height, width, 3)",
    ".mat": "save its array of images with numpy.save, as .npy (images, height, width, 3)",
    ".lmdb": "write its images into a tar (WebDataset) or a folder",
    ".mdb": "write its images into a tar (WebDataset) or a folder",
    ".csv": "give the folder of the images that it lists",
    ".txt": "give the folder of the images that it lists",
    ".json": "give the folder of the images that it lists",
}
_PICKLED: Final = (
    "it is a pickle, which can run code and is never read; bring the data set's binary version "
    "(cifar-10-binary.tar.gz), or save its images with numpy.save, as .npy"
)
_PICKLES: Final = (".pkl", ".pickle", ".pt", ".pth", ".bin")
_CIFAR_PICKLE: Final = re.compile(r"data_batch_\d|test_batch|train|test")
_ALL: Final = (
    "a folder of images, .tar (WebDataset shards too), .parquet, .arrow, .npy, or the binary files "
    "of CIFAR, MNIST or STL-10"
)


def open_path(entry: str, cache_dir: Path) -> ProbeSet:
    """Return the probe set at a path, of whatever kind it is.

    Args:
        entry: a folder, a file, several files by ``*``, ``?`` or ``{000..009}``; for Parquet and
            Arrow the column behind ``::``.
        cache_dir: where content hashes are remembered.

    Raises:
        UserError: nothing there, or no probe set; the message names the form that is read.
    """
    name, _, column = entry.partition("::")
    path = Path(name).expanduser()
    if path.is_dir():
        return _open_folder(path, cache_dir, column)
    if path.is_file():
        return _open_files(path.parent, [path.name], cache_dir, column)
    files = _matching(str(path))
    if files:
        root = files[0].parent
        if any(file.parent != root for file in files):
            raise UserError(f"{entry} matches files of several folders; name one folder's")
        return _open_files(root, [file.name for file in files], cache_dir, column)
    if re.search(r"[*?{]", name):
        raise UserError(f"no file is like {entry}")
    return FolderProbe(path, cache_dir)  # which says that it is not there


def _matching(pattern: str) -> list[Path]:
    """Return the files of a pattern, sorted; ``{000..009}`` counts, ``{a,b}`` chooses."""
    pieces = re.split(r"\{([^{}]*)\}", pattern)
    texts = pieces[::2]
    choices = [_choices(inner) for inner in pieces[1::2]]
    names: set[str] = set()
    for chosen in product(*choices):
        word = texts[0] + "".join(c + text for c, text in zip(chosen, texts[1:], strict=True))
        names.update([word] if Path(word).is_file() else glob(word))
    return sorted(Path(file) for file in names if Path(file).is_file())


def _choices(inner: str) -> list[str]:
    span = re.fullmatch(r"(\d+)\.\.(\d+)", inner)
    if span is None:
        return inner.split(",")
    first, last = int(span[1]), int(span[2])
    return [
        str(number).zfill(len(span[1])) for number in range(first, min(last, first + 10**5) + 1)
    ]


def _open_folder(folder: Path, cache_dir: Path, column: str) -> ProbeSet:
    """Return what a folder holds: tiles where it says so, images, or one of the other kinds."""
    if (folder / SHOWN_BY).is_file():
        tiles = sorted(name for name in files_of(folder) if name.endswith(".npy"))
        if not tiles:
            raise UserError(f"{folder} has {SHOWN_BY} and no .npy file beside it")
        return TileProbe(folder, tiles, cache_dir, folder / SHOWN_BY)
    try:
        return FolderProbe(folder, cache_dir)
    except NoImages:
        names = sorted(files_of(folder), key=shown)
        by_kind = grouped([name for name in names if _kind_of(name)], _kind_of)
        if len(by_kind) == 1:
            (names,) = by_kind.values()
            return _open_files(folder, names, cache_dir, column)
        if by_kind:
            raise UserError(
                f"{folder} holds files of several kinds ({', '.join(by_kind)}); name one folder or "
                "one file"
            ) from None
        for name in names:
            if (form := _form_of(folder / name)) and name != "tiles.toml":
                raise UserError(f"{folder} holds no image; of {name}: {form}") from None
        raise


def _open_files(root: Path, names: Sequence[str], cache_dir: Path, column: str) -> ProbeSet:
    kind = _kind_of(names[0])
    if any(_kind_of(name) != kind for name in names):
        raise UserError(f"{names[0]} and its like in {root} are files of several kinds")
    if column and kind not in ("parquet", "arrow"):
        raise UserError(f"{root / names[0]}::{column}: only Parquet and Arrow files have columns")
    if kind == "tar":
        return ShardsProbe(root, names, cache_dir)
    if kind in ("parquet", "arrow"):
        return ColumnProbe(root, names, cache_dir, column)
    shown_by = (root / names[0]).with_suffix(".toml")
    if kind == "array" and shown_by.is_file():
        return TileProbe(root, names, cache_dir, shown_by)
    if kind:
        return ArrayProbe(root, names, cache_dir)
    path = root / names[0]
    raise UserError(f"{path} is no probe set: {_form_of(path) or f'what is read is {_ALL}'}")


def _kind_of(name: str) -> str:
    """Return the kind of a file by its name, empty for one that holds no images."""
    path = Path(name)
    if path.name.startswith("cache-"):  # what `datasets` leaves beside a set
        return ""
    layout = layout_of(name)
    return layout.data if layout is not None else _KINDS.get(path.suffix.lower(), "")


def _form_of(path: Path) -> str:
    """Return what to do with a file that is not read, empty where nothing is known of it."""
    suffix = path.suffix.lower()
    if suffix in _PICKLES or (not suffix and _CIFAR_PICKLE.fullmatch(path.name)):
        return _PICKLED
    if suffix in image_suffixes() and suffix not in (".tif", ".tiff"):
        return "it is one image; give the folder that holds it"
    return _FORMS.get(".tif" if suffix == ".tiff" else suffix, "")
