"""Images in plain arrays: numpy's `.npy`, and the binary files of MNIST, CIFAR and STL-10.

Files are mapped into memory, so that an image is read where it lies. An array is
(images, height, width) for grey or (images, height, width, 3) for RGB, uint8; what has other
numbers or bands is a set of tiles (`probe_tiles`).
"""

from __future__ import annotations

import re
import tokenize
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dnd_local.core.errors import UserError
from dnd_local.core.records import Pixels
from dnd_local.store.probe_folder import shown
from dnd_local.store.probe_packed import PackedProbe, unreadable


@dataclass(frozen=True, slots=True)
class Layout:
    """How a binary file holds its images, one record each.

    Attributes:
        data: what it is a file of.
        files: the files' names.
        header: bytes before the first record.
        before: bytes of a record before its image (labels).
        shape: an image's axes as they lie there.
        axes: the order of these axes that gives (height, width, 3).
    """

    data: str
    files: str
    header: int
    before: int
    shape: tuple[int, ...]
    axes: tuple[int, ...]


LAYOUTS: Final = (
    Layout("CIFAR-10", r"(data_batch_[1-5]|test_batch)\.bin", 0, 1, (3, 32, 32), (1, 2, 0)),
    Layout("CIFAR-100", r"(train|test)\.bin", 0, 2, (3, 32, 32), (1, 2, 0)),
    Layout("STL-10", r"(train|test|unlabeled)_X\.bin", 0, 0, (3, 96, 96), (2, 1, 0)),
    Layout("MNIST", r".*-images-idx3-ubyte", 16, 0, (28, 28), (0, 1)),
)
"""As their publishers describe them. FashionMNIST, KMNIST and EMNIST have MNIST's form."""


def layout_of(name: str) -> Layout | None:
    """Return how a file of this name holds its images, None where no data set has such a file."""
    return next((one for one in LAYOUTS if re.fullmatch(one.files, Path(name).name)), None)


class ArrayProbe(PackedProbe):
    """The images of array files, in the order of the files.

    Raises:
        UserError: a file that is not what its name says, or whose array is no images.
    """

    def __init__(self, root: Path, files: Sequence[str], cache_dir: Path) -> None:
        super().__init__(root, files, cache_dir)
        self.kind = "numpy"
        self._arrays = []
        for name in self.files:
            layout = layout_of(name)
            if layout is not None:
                self.kind = layout.data
                self._arrays.append(_records(root / name, layout))
            else:
                self._arrays.append(stack_of(root / name))
        self._starts = [0, *accumulate(len(array) for array in self._arrays)]
        for name, array in zip(self.files, self._arrays, strict=True):
            _check_images(root / name, array)

    def __len__(self) -> int:
        return self._starts[-1]

    def name(self, index: int) -> str:
        """Return the file's name and the image's number in it."""
        file, row = self._find(index)
        return f"{shown(self.files[file])}/{row}"

    def pixels(self, index: int) -> Pixels:
        """Return an image as RGB."""
        file, row = self._find(index)
        image = np.array(self._arrays[file][row])
        return image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)

    def _find(self, index: int) -> tuple[int, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"probe image {index} of {len(self)}")
        file = bisect_right(self._starts, index) - 1
        return file, index - self._starts[file]


_NO_ARRAY: Final = (
    ValueError, OSError, EOFError, SyntaxError, TypeError, OverflowError, RecursionError,
    MemoryError, tokenize.TokenError,
)  # fmt: skip
"""What numpy raises over a header, which it reads as a piece of Python, that is damaged."""


def stack_of(path: Path) -> NDArray[Any]:
    """Return a `.npy` file's array, mapped into memory.

    Raises:
        UserError: it is no array, or one of Python objects, which are pickled and never read.
    """
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]
    except _NO_ARRAY as error:
        raise unreadable(path, error) from None


def _records(path: Path, layout: Layout) -> NDArray[np.uint8]:
    """Return the images of a binary file, (images, height, width) with 3 behind for RGB."""
    size = layout.before + int(np.prod(layout.shape))
    count, left = divmod(path.stat().st_size - layout.header, size)
    if left or count < 1:
        raise UserError(
            f"{path} has {path.stat().st_size:,} bytes, which is no whole number of images of "
            f"{layout.data}; get it again, or is it another file of that name?"
        )
    flat = np.memmap(path, np.uint8, "r", layout.header, (count, size))
    images = flat[:, layout.before :].reshape(count, *layout.shape)
    return images.transpose(0, *(axis + 1 for axis in layout.axes))


def _check_images(path: Path, array: NDArray[Any]) -> None:
    rgb = array.ndim == 4 and array.shape[3] == 3
    if array.dtype == np.uint8 and (rgb or array.ndim == 3) and array.size:
        return
    form = f"{array.dtype} {tuple(array.shape)}"
    first = array.ndim == 4 and array.shape[1] in (1, 3)
    raise UserError(
        f"{path} holds {form}; images are uint8 (images, height, width, 3) or (images, height, "
        f"width)" + ("; move its channels last: numpy.moveaxis(array, 1, -1)" if first else "")
        + f". Other numbers or bands need {path.with_suffix('.toml').name} beside it, which says "
        "how they are shown (docs/probe-sets.md)"
    )  # fmt: skip
