"""Pictures sorted into folders by class, and which output of a network stands for each class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dnd_local.core.cards import Card
from dnd_local.core.errors import UnknownName, UserError
from dnd_local.core.protocols import ProbeSet
from dnd_local.core.records import Pixels, SkippedImage
from dnd_local.pipeline.opening import decoding_threads
from dnd_local.store.probe_folder import FolderProbe
from dnd_local.store.probe_sets import read_ahead


@dataclass(frozen=True, slots=True)
class ClassFolders(Card):
    """Pictures with their class: `of` is the index in `classes` of each picture of `pictures`."""

    classes: tuple[str, ...]
    pictures: ProbeSet
    of: tuple[int, ...]

    def groups(self, size: int) -> Iterator[tuple[list[int], list[Pixels]]]:
        """Yield readable pictures in groups of at most `size`, with their indices."""
        indices: list[int] = []
        group: list[Pixels] = []
        for index, image in read_ahead(self.pictures, range(len(self.of)), decoding_threads()):
            if not isinstance(image, SkippedImage):
                indices.append(index)
                group.append(image)
            if len(group) == size:
                yield indices, group
                indices, group = [], []
        if group:
            yield indices, group


def read_class_folders(folder: Path, cache: Path) -> ClassFolders:
    """Return the pictures of a folder that holds one folder a class.

    Args:
        folder: it.
        cache: where content hashes are remembered.

    Raises:
        UserError: no such folder, no image, an image outside a class's folder, or one class only.
    """
    probe = FolderProbe(folder, cache)
    names = [probe.name(index) for index in range(len(probe))]
    if loose := next((name for name in names if "/" not in name), ""):
        raise UserError(
            f"{folder} has the image {loose} beside its folders; put every image into a folder "
            "that is named after its class"
        )
    folders = [name.partition("/")[0] for name in names]
    classes = tuple(sorted(set(folders)))
    if len(classes) < 2:
        raise UserError(f"{folder} has one class, {classes[0]}; two at least are needed")
    return ClassFolders(classes, probe, tuple(classes.index(name) for name in folders))


def output_columns(classes: Sequence[str], outputs: Sequence[str]) -> NDArray[np.intp]:
    """Return the index of the output that stands for each class, by name.

    Case does not matter, and an underscore is a blank.

    Raises:
        UnknownName: no output has a class's name.
        UserError: two outputs have it.
    """
    plain = [_plain(name) for name in outputs]
    for name in classes:
        if (times := plain.count(_plain(name))) > 1:
            raise UserError(
                f"{times} outputs are called '{name}'; tell them apart in a file of names, one a "
                "line, and name the folders alike: --classes FILE"
            )
        if not times:
            hint = "Name the folders as the outputs, or give the names: --classes FILE."
            raise UnknownName("class", name, outputs, hint)
    return np.array([plain.index(_plain(name)) for name in classes])


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").lower().split())
