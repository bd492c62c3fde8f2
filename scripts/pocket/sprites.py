"""Build the sprite sheet from an unpacked copy of the npm package @lobehub/fluent-emoji-3d.

Run it once after the objects in ``words.json`` change::

    npm pack @lobehub/fluent-emoji-3d && tar xf lobehub-fluent-emoji-3d-*.tgz
    python scripts/pocket/sprites.py package/assets
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

import dnd_local.pocket
from dnd_local.pocket.words import vocabulary
from dnd_local.pocket.world import TILE

COLUMNS = 8


def sprite(folder: Path, code: str) -> Image.Image:
    """Read one emoji, cropped to what is drawn and centred on a square tile.

    Args:
        folder: The package's ``assets`` folder.
        code: The code point in hexadecimal.

    Raises:
        FileNotFoundError: If the package has no such emoji.
    """
    paths = [path for name in (code, f"{code}-fe0f") if (path := folder / f"{name}.webp").exists()]
    if not paths:
        raise FileNotFoundError(f"no emoji {code} in {folder}: name another in words.json")
    image = Image.open(paths[0]).convert("RGBA")
    image = image.crop(image.getchannel("A").getbbox())
    side = max(image.size)
    square = Image.new("RGBA", (side, side))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square.resize((TILE, TILE), Image.Resampling.LANCZOS)


def main() -> None:
    """Write ``sprites.png`` beside the world."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("assets", type=Path, help="the package's assets folder")
    arguments = parser.parse_args()
    things = vocabulary().objects
    rows = -(-len(things) // COLUMNS)
    sheet = Image.new("RGBA", (COLUMNS * TILE, rows * TILE))
    for place, thing in enumerate(things):
        tile = sprite(arguments.assets, thing.emoji)
        sheet.paste(tile, (TILE * (place % COLUMNS), TILE * (place // COLUMNS)))
    target = Path(dnd_local.pocket.__file__).parent / "sprites.png"
    sheet.save(target, optimize=True)
    print(f"{target}: {len(things)} sprites, {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
