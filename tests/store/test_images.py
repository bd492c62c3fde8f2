"""Every oddity an image file may have is handled, or refused with a reason."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import random
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from dnd_local.core.errors import DiskError
from dnd_local.core.protocols import UnreadableImage
from dnd_local.store import images
from dnd_local.store.images import MAX_ASPECT, decode, image_suffixes

# Pillow grumbles about damaged files, which is what half of these are.
pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning"),
]

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
ORIENTATION = 0x0112


def corners() -> Image.Image:
    """A picture of 6 x 4 whose corners tell which way up it is: red, green / blue, white."""
    picture = np.zeros((4, 6, 3), dtype=np.uint8)
    picture[0, 0], picture[0, -1], picture[-1, 0], picture[-1, -1] = RED, GREEN, BLUE, WHITE
    return Image.fromarray(picture)


def photograph(side: int = 48) -> Image.Image:
    """A picture with enough detail that every codec has something to do."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)


def refused(path: Path) -> str:
    with pytest.raises(UnreadableImage) as caught:
        decode(path)
    return str(caught.value)


def test_a_plain_picture_is_rgb_and_writable(tmp_path: Path) -> None:
    corners().save(tmp_path / "a.png")
    pixels = decode(tmp_path / "a.png")
    assert pixels.shape == (4, 6, 3)
    assert pixels.dtype == np.uint8
    assert pixels.flags.writeable
    assert (pixels == np.asarray(corners())).all()


@pytest.mark.parametrize(
    "suffix", ["jpg", "webp", "bmp", "gif", "tiff", "ppm", "tga", "jp2", "qoi"]
)
def test_any_format_that_pillow_reads(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    photograph().save(path)
    pixels = decode(path)
    assert pixels.shape == (48, 48, 3)
    assert np.abs(pixels.astype(int) - np.asarray(photograph())).mean() < 12


def test_a_photograph_is_pixel_for_pixel_what_pillow_decodes(tmp_path: Path) -> None:
    # The common case must agree with the loaders that networks were trained with.
    path = tmp_path / "a.JPEG"
    photograph().save(path, "JPEG", quality=80)
    assert (decode(path) == np.asarray(Image.open(path).convert("RGB"))).all()


@pytest.mark.parametrize(
    ("orientation", "top_left", "top_right", "shape"),
    [
        (1, RED, GREEN, (4, 6)),
        (2, GREEN, RED, (4, 6)),
        (3, WHITE, BLUE, (4, 6)),
        (4, BLUE, WHITE, (4, 6)),
        (5, RED, BLUE, (6, 4)),
        (6, BLUE, RED, (6, 4)),
        (7, WHITE, GREEN, (6, 4)),
        (8, GREEN, WHITE, (6, 4)),
        (9, RED, GREEN, (4, 6)),
        (0, RED, GREEN, (4, 6)),
    ],
)
@pytest.mark.parametrize("suffix", ["png", "tiff", "webp"])
def test_exif_rotation_is_applied(
    tmp_path: Path,
    suffix: str,
    orientation: int,
    top_left: tuple[int, ...],
    top_right: tuple[int, ...],
    shape: tuple[int, int],
) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options = {"lossless": True} if suffix == "webp" else {}
    corners().save(tmp_path / f"a.{suffix}", exif=exif, **options)
    pixels = decode(tmp_path / f"a.{suffix}")
    assert pixels.shape[:2] == shape
    assert tuple(pixels[0, 0]) == top_left
    assert tuple(pixels[0, -1]) == top_right


@pytest.mark.parametrize("damage", [b"\xff\xff", b"II*\x00\xff\xff\xff\xff", b""])
def test_damaged_exif_says_nothing(tmp_path: Path, damage: bytes) -> None:
    photograph().save(tmp_path / "a.jpg", exif=b"Exif\x00\x00" + damage)
    assert decode(tmp_path / "a.jpg").shape == (48, 48, 3)


def test_exif_that_cannot_be_read_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Image.Image) -> None:
        raise SyntaxError("not a TIFF file")

    corners().save(tmp_path / "a.bmp")
    monkeypatch.setattr(Image.Image, "getexif", fail)
    assert decode(tmp_path / "a.bmp").shape == (4, 6, 3)


def test_an_orientation_that_is_no_number_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corners().save(tmp_path / "a.bmp")
    monkeypatch.setattr(Image.Image, "getexif", lambda self: {ORIENTATION: [6]})
    assert decode(tmp_path / "a.bmp").shape == (4, 6, 3)


def test_an_animation_gives_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, GREEN, BLUE)]
    for suffix in ("gif", "png", "webp", "tiff"):
        path = tmp_path / f"a.{suffix}"
        options = {"lossless": True} if suffix == "webp" else {}
        frames[0].save(path, save_all=True, append_images=frames[1:], **options)
        assert tuple(decode(path)[4, 4]) == RED


def test_cmyk_is_converted(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.tiff")
    assert tuple(decode(tmp_path / "a.tiff")[0, 0]) == RED
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=95)
    assert np.abs(decode(tmp_path / "a.jpg")[0, 0].astype(int) - RED).max() < 6


def test_grey_and_black_and_white_are_repeated(tmp_path: Path) -> None:
    Image.new("L", (4, 4), 77).save(tmp_path / "l.png")
    Image.new("1", (4, 4), 1).save(tmp_path / "1.png")
    assert tuple(decode(tmp_path / "l.png")[0, 0]) == (77, 77, 77)
    assert tuple(decode(tmp_path / "1.png")[0, 0]) == WHITE


def test_16_bit_grey_keeps_its_high_byte(tmp_path: Path) -> None:
    values = np.array([[0, 255, 256, 0x1234, 65535]], dtype=np.uint16)
    for suffix in ("png", "tiff"):
        Image.fromarray(values).save(tmp_path / f"a.{suffix}")
        assert decode(tmp_path / f"a.{suffix}")[0, :, 0].tolist() == [0, 0, 1, 0x12, 255]


def test_16_bit_grey_of_the_other_byte_order(tmp_path: Path) -> None:
    big_endian = Image.fromarray(np.array([[0x1234]], dtype=">u2"))
    assert big_endian.mode == "I;16B"
    big_endian.save(tmp_path / "a.tiff")
    assert decode(tmp_path / "a.tiff")[0, 0, 0] == 0x12


def test_32_bit_whole_numbers_within_16_bits_are_16_bit(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 0x1234, 65535]], dtype=np.int32)).save(tmp_path / "a.tiff")
    assert decode(tmp_path / "a.tiff")[0, :, 1].tolist() == [0, 0x12, 255]


def test_other_32_bit_numbers_and_floats_are_stretched(tmp_path: Path) -> None:
    Image.fromarray(np.array([[-100, 0, 100]], dtype=np.int32)).save(tmp_path / "i.tiff")
    Image.fromarray(np.array([[0, 100_000]], dtype=np.int32)).save(tmp_path / "j.tiff")
    Image.fromarray(np.array([[-0.5, np.nan, 1.5]], dtype=np.float32)).save(tmp_path / "f.tiff")
    assert decode(tmp_path / "i.tiff")[0, :, 0].tolist() == [0, 128, 255]
    assert decode(tmp_path / "j.tiff")[0, :, 0].tolist() == [0, 255]
    assert decode(tmp_path / "f.tiff")[0, :, 2].tolist() == [0, 0, 255]


def save_transparent(path: Path, mode: str) -> None:
    """A red picture whose left half is clear."""
    rgba = np.zeros((4, 8, 4), dtype=np.uint8)
    rgba[:] = (*RED, 255)
    rgba[:, :4, 3] = 0
    picture = Image.fromarray(rgba)
    if mode == "P":
        picture.convert("P").save(path, transparency=picture.convert("P").getpixel((0, 0)))
    elif mode == "RGB":
        solid = Image.new("RGB", (8, 4), RED)
        solid.paste((1, 2, 3), (0, 0, 4, 4))
        solid.save(path, transparency=(1, 2, 3))
    else:
        picture.convert(mode).save(path)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "RGB"])
def test_transparent_parts_are_white(tmp_path: Path, mode: str) -> None:
    save_transparent(tmp_path / "a.png", mode)
    pixels = decode(tmp_path / "a.png")
    assert tuple(pixels[0, 0]) == WHITE
    assert tuple(pixels[0, 7]) == ((76, 76, 76) if mode == "LA" else RED)


def test_a_palette_is_looked_up_and_its_clear_colour_is_white(tmp_path: Path) -> None:
    picture = Image.new("P", (4, 4), 1)
    picture.putpalette([*GREEN, *BLUE, *RED])
    picture.putpixel((0, 0), 2)
    picture.save(tmp_path / "plain.gif")
    picture.save(tmp_path / "clear.png", transparency=1)
    assert tuple(decode(tmp_path / "plain.gif")[3, 3]) == BLUE
    assert tuple(decode(tmp_path / "clear.png")[3, 3]) == WHITE
    assert tuple(decode(tmp_path / "clear.png")[0, 0]) == RED


def test_half_clear_is_half_white(tmp_path: Path) -> None:
    Image.new("RGBA", (2, 2), (*RED, 128)).save(tmp_path / "a.png")
    assert decode(tmp_path / "a.png")[0, 0].tolist() == [255, 127, 127]


# ---- refused ------------------------------------------------------------------------------------


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("this is text")
    assert refused(tmp_path / "a.jpg") == "not an image that Pillow can read"
    (tmp_path / "a.jpg").write_bytes(b"")
    assert refused(tmp_path / "a.jpg") == "not an image that Pillow can read"


def test_a_file_that_the_system_does_not_give_is_no_broken_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a disk that fails for a moment would leave its mark in parts for ever."""
    with pytest.raises(DiskError, match=r"a\.jpg: No such file or directory; it was there when"):
        decode(tmp_path / "a.jpg")
    with pytest.raises(DiskError, match="Is a directory"):
        decode(tmp_path)
    photograph().save(tmp_path / "a.png")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Image, "open", refuse)
    for code in (errno.EIO, errno.EMFILE, errno.EACCES):
        with pytest.raises(DiskError, match=rf"a\.png: {os.strerror(code)}; "):
            decode(tmp_path / "a.png")
    code = errno.EINVAL  # an offset of a damaged file
    assert refused(tmp_path / "a.png") == "broken image: Invalid argument"


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "bmp", "tiff", "jp2"])
def test_a_truncated_image_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    photograph().save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert refused(path)


def test_reasons_hold_no_path(tmp_path: Path) -> None:
    # They enter parts, which are the same bytes wherever the folder lies.
    for suffix in ("jpg", "png", "gif", "tiff", "webp", "bmp"):
        path = tmp_path / f"a.{suffix}"
        photograph().save(path)
        path.write_bytes(path.read_bytes()[:60])
        reason = refused(path)
        assert str(tmp_path) not in reason
        assert "\n" not in reason


def png_that_claims(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header promises a giant."""
    buffer = io.BytesIO()

    def chunk(kind: bytes, data: bytes) -> None:
        PngImagePlugin.putchunk(buffer, kind, data)

    buffer.write(b"\x89PNG\r\n\x1a\n")
    chunk(b"IHDR", width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\x00\x00\x00")
    chunk(b"IDAT", b"x\x9c")
    chunk(b"IEND", b"")
    return buffer.getvalue()


def test_a_giant_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png_that_claims(10_000, 9_500))
    assert refused(path) == "95 megapixels; the limit is 89"
    path.write_bytes(png_that_claims(50_000, 50_000))
    assert refused(path) == "hundreds of megapixels; the limit is 89"


@pytest.mark.parametrize(("width", "height"), [(MAX_ASPECT + 1, 1), (2, 2 * MAX_ASPECT + 1)])
def test_a_ribbon_is_refused(tmp_path: Path, width: int, height: int) -> None:
    Image.new("RGB", (width, height)).save(tmp_path / "a.png")
    assert refused(tmp_path / "a.png") == (
        f"{width} x {height} pixels; one side is more than {MAX_ASPECT} times the other"
    )


def test_a_long_picture_within_the_limit_is_not(tmp_path: Path) -> None:
    Image.new("RGB", (MAX_ASPECT, 1)).save(tmp_path / "a.png")
    assert decode(tmp_path / "a.png").shape == (1, MAX_ASPECT, 3)


def test_an_error_without_words_is_named_by_its_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(image: Image.Image) -> NDArray[np.uint8]:
        raise MemoryError

    corners().save(tmp_path / "a.png")
    monkeypatch.setattr(images, "_rgb", fail)
    assert refused(tmp_path / "a.png") == "broken image: MemoryError"


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "tiff", "webp", "bmp", "ico", "jp2"])
def test_no_damage_raises_anything_else(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    photograph(16).save(path)
    whole = path.read_bytes()
    rng = random.Random(suffix)
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 6)):
            # Most of what can go wrong is decided in the first bytes.
            data[rng.randrange(min(len(data), rng.choice([40, len(data)])))] = rng.randrange(256)
        path.write_bytes(data)
        with contextlib.suppress(UnreadableImage):
            assert decode(path).ndim == 3


# ---- which files --------------------------------------------------------------------------------


def test_image_endings() -> None:
    found = image_suffixes()
    assert {".jpg", ".jpeg", ".png", ".gif", ".webp", ".tif", ".bmp"} <= found
    assert all(suffix == suffix.lower() for suffix in found)
    assert not {".txt", ".json", ".csv", ".pdf", ".zip", ""} & found


def test_formats_that_run_other_programs_are_left_out(tmp_path: Path) -> None:
    assert not {".eps", ".ps", ".wmf", ".emf"} & image_suffixes()
    photograph().convert("L").save(tmp_path / "a.eps")
    os.rename(tmp_path / "a.eps", tmp_path / "a.jpg")
    assert refused(tmp_path / "a.jpg") == "not an image that Pillow can read"


def test_bytes_of_a_broken_image_are_told_like_a_file(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(file, "PNG")
    with pytest.raises(UnreadableImage, match="broken image"):
        decode(file.getvalue()[:100])
