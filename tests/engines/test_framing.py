"""Which region of a picture an opaque transform keeps."""

import numpy as np
import pytest
import torch
from PIL import ImageOps
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from dnd_local.core.records import Box
from dnd_local.engines.framing import Framing

TAIL = [
    v2.PILToTensor(),
    v2.ToDtype(torch.float32, scale=True),
    v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
]


def chain(*steps):
    return v2.Compose([*steps, *TAIL])


def centre_crop_of(height, width, resize, crop):
    """Return the region of a picture seen by resizing its shorter side and cropping its centre."""
    scale = min(height, width) / resize
    across, down = min(width, crop * scale), min(height, crop * scale)
    return (width - across) / 2, (height - down) / 2, (width + across) / 2, (height + down) / 2


def near(box, expected, pixels):
    assert box is not None
    found = np.array([box.left, box.top, box.right, box.bottom])
    assert np.abs(found - np.array(expected)).max() <= pixels, (box, expected)


SIZES = [(300, 200), (200, 300), (480, 640), (1000, 400), (64, 64), (40, 60), (500, 500), (30, 21)]


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_resize_and_centre_crop(height, width):
    framing = Framing(chain(v2.Resize(256), v2.CenterCrop(224)))
    near(framing.region(height, width), centre_crop_of(height, width, 256, 224), 1)


@pytest.mark.parametrize("interpolation", ["NEAREST", "BILINEAR", "BICUBIC"])
def test_small_inputs_of_every_interpolation(interpolation):
    how = v2.InterpolationMode[interpolation]
    framing = Framing(chain(v2.Resize(32, how), v2.CenterCrop(24)))
    near(framing.region(300, 200), centre_crop_of(300, 200, 32, 24), 4)


def test_a_squashed_picture_is_seen_whole():
    assert Framing(chain(v2.Resize((64, 64)))).region(300, 200) == Box(0, 0, 200, 300)


def test_a_picture_left_as_it_is_is_seen_whole():
    assert Framing(chain()).region(64, 48) == Box(0, 0, 48, 64)


def test_an_off_centre_crop():
    framing = Framing(chain(v2.Lambda(lambda p: functional.crop(p, 10, 30, 80, 60))))
    assert framing.region(120, 100) == Box(30, 10, 90, 90)


def test_grey_inputs():
    transform = v2.Compose([v2.Grayscale(), v2.CenterCrop(50), v2.PILToTensor()])
    assert Framing(transform).region(100, 80) == Box(15, 25, 65, 75)


BLIND = {
    "mirrored": v2.Lambda(functional.horizontal_flip),
    "upside down": v2.Lambda(functional.vertical_flip),
    "turned": v2.Lambda(lambda picture: picture.rotate(90)),
    "tilted": v2.Lambda(lambda picture: picture.rotate(20)),
    "padded": v2.Pad(30),
    "padded in grey": v2.Pad(30, fill=127),
    "stretched in contrast": v2.Compose([v2.CenterCrop(40), v2.Lambda(ImageOps.autocontrast)]),
    "cut to one pixel": v2.CenterCrop(1),
    "one colour": v2.Lambda(lambda picture: picture.point(lambda value: 0)),
    "random flip": v2.RandomHorizontalFlip(),
    "random crop": v2.RandomResizedCrop(64),
}


@pytest.mark.parametrize("name", BLIND)
def test_no_region_where_a_map_cannot_be_placed(name):
    torch.manual_seed(0)
    last = () if name == "cut to one pixel" else (v2.Resize((48, 48)),)
    assert Framing(chain(BLIND[name], *last)).region(100, 80) is None


def test_a_picture_too_small_for_the_crop_is_padded_and_has_no_region():
    assert Framing(chain(v2.CenterCrop(224))).region(100, 300) is None


def test_each_size_is_found_once():
    calls = []
    inner = chain(v2.Resize(32), v2.CenterCrop(32))

    def transform(picture):
        calls.append(picture.size)
        return inner(picture)

    framing = Framing(transform)
    first = framing.region(100, 80)
    count = len(calls)
    assert framing.region(100, 80) == first
    assert len(calls) == count
    framing.region(80, 100)
    assert len(calls) == count + 5
