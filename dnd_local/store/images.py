"""Image files to RGB pixels: every oddity a folder may hold, handled or refused with its reason.

- turned upright by its EXIF orientation;
- animated: the first frame;
- palette, grey, CMYK, YCbCr, HSV: converted by Pillow (colour profiles are not applied);
- transparent: laid on white;
- 16 bit: the high byte, as Pillow itself does for 16-bit colour; 32-bit whole numbers within
  16 bits the same;
- other 32-bit whole numbers and floats: stretched from their own minimum to maximum, since no
  scale is known;
- refused: broken, truncated, more than `MAX_PIXELS`, or longer than `MAX_ASPECT` times its width
  (a network's resize of its short side would make a giant of it).
"""

from __future__ import annotations

import errno
import io
import struct
import warnings
import zlib
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from dnd_local.core.errors import DiskError, disk_error
from dnd_local.core.protocols import UnreadableImage
from dnd_local.core.records import Pixels
from dnd_local.core.regions import to_eight_bit

DECODING: Final = 1
"""Version of the rules above; a part of every folder's digest."""

MAX_PIXELS: Final = 89_478_485
"""Largest picture that is decoded: a quarter of a gigabyte as RGB, Pillow's own first limit."""

MAX_ASPECT: Final = 100
"""Longest picture that is decoded: its long side over its short side."""

# These run outside programs, or hold nothing that Pillow can decode by itself.
_UNFIT: Final = frozenset({"EPS", "WMF", "MPEG", "BUFR", "GRIB", "HDF5"})

_SIXTEEN_BIT: Final = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})

_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# What Pillow's decoders raise over bytes that are not what their header says.
_BROKEN: Final = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    EOFError,
    MemoryError,
    NotImplementedError,
    struct.error,
    zlib.error,
)

# What is wrong with a file is told once, as its reason; Pillow's grumbling names no file.
warnings.filterwarnings("ignore", module=r"PIL\.")


@cache
def image_suffixes() -> frozenset[str]:
    """Return the file endings taken for images, lower case, with their dot."""
    formats = set(_formats())
    return frozenset(
        suffix.lower() for suffix, kind in Image.registered_extensions().items() if kind in formats
    )


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(kind for kind in Image.ID if kind not in _UNFIT)


def is_image(name: PurePosixPath) -> bool:
    """Return whether a file in an archive is an image: by its ending, and not hidden."""
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in name.parts)
    return not hidden and name.suffix.lower() in image_suffixes()


def decode(source: Path | bytes) -> Pixels:
    """Return an image file, or its bytes, as RGB, uint8 (height, width, 3), by the rules above.

    Raises:
        UnreadableImage: it cannot be used; the reason names no path, so that it may enter parts.
        DiskError: the system does not give the file, so nobody knows whether it could be used.
    """
    try:
        file = source if isinstance(source, Path) else io.BytesIO(source)
        with Image.open(file, formats=_formats()) as image:
            _refuse_size(*image.size)
            image.load()
            return _rgb(_upright(image))
    except UnidentifiedImageError:
        raise UnreadableImage("not an image that Pillow can read") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UnreadableImage(_too_large("hundreds of")) from None
    except _BROKEN as error:
        if isinstance(source, Path):
            raise_system_error(error, source)
        raise UnreadableImage(_reason(error)) from None


def raise_system_error(error: BaseException, path: Path) -> None:
    """Tell a disk that fails from an image that is broken: a part must never blame the image."""
    if not isinstance(error, OSError) or error.errno is None:
        return
    if error.errno == errno.ENOENT:
        raise DiskError(f"{path}: {error.strerror}; it was there when the folder was listed")
    if (refused := disk_error(OSError(error.errno, error.strerror, str(path)))) is not None:
        raise refused from None


def _refuse_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise UnreadableImage(_too_large(f"{width * height / 1e6:.0f}"))
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise UnreadableImage(
            f"{width} x {height} pixels; one side is more than {MAX_ASPECT} times the other"
        )


def _too_large(megapixels: str) -> str:
    return f"{megapixels} megapixels; the limit is {MAX_PIXELS / 1e6:.0f}"


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:  # an offset beyond the file, for example
        return f"broken image: {error.strerror}"
    return f"broken image: {' '.join(str(error).split()) or type(error).__name__}"


def _upright(image: Image.Image) -> Image.Image:
    """Return the picture as its EXIF orientation shows it; unreadable EXIF says nothing."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except _BROKEN:
        return image
    # A damaged file may hold anything here, a list too, so no direct look-up.
    turn = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


def _rgb(image: Image.Image) -> Pixels:
    if image.mode in _SIXTEEN_BIT:
        return _grey_to_rgb((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode == "I":
        values = np.asarray(image)
        if values.min() >= 0 and values.max() <= 0xFFFF:
            return _grey_to_rgb((values >> 8).astype(np.uint8))
        return _grey_to_rgb(to_eight_bit(values.astype(np.float32)))
    if image.mode == "F":
        return _grey_to_rgb(to_eight_bit(np.asarray(image)))
    if image.has_transparency_data:
        canvas = Image.new("RGBA", image.size, "white")
        canvas.alpha_composite(image.convert("RGBA"))
        image = canvas
    # A copy, since Pillow's own buffer is read-only and torch warns about that.
    return np.array(image.convert("RGB"), dtype=np.uint8)


def _grey_to_rgb(grey: Pixels) -> Pixels:
    return np.repeat(grey[:, :, None], 3, axis=2)
