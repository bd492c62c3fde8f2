"""Probe sets by name: folders of images, prepared sets, several joined, images from functions.

A probe set numbers its images from 0 in an order that is the same on every file system, and has
a digest of everything that can change what its images look like. An image that cannot be used
never stops a run: reading it gives its `SkippedImage`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, Final, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from dnd_local.core.amounts import count_text
from dnd_local.core.cards import Card
from dnd_local.core.digest import key
from dnd_local.core.errors import BadConfig, DamagedFile, UnknownName, UserError
from dnd_local.core.protocols import ProbeSet, UnreadableImage
from dnd_local.core.records import Pixels, SkippedImage
from dnd_local.core.tiles import TileSet
from dnd_local.store.probe_folder import RECORD, FolderProbe
from dnd_local.store.probe_kinds import open_path
from dnd_local.store.probe_subset import draw

AHEAD: Final = 4
"""Pictures in flight a worker, so that decoding goes on while the network runs on a batch."""


@dataclass(frozen=True, slots=True)
class KnownSet(Card):
    """A set that a user brings as an archive: its images, the archive's usual name and size."""

    images: int
    archive: str
    gigabytes: float


KNOWN_SETS: Final = {
    "imagenet-val": KnownSet(50_000, "ILSVRC2012_img_val.tar", 6.7),
    "broden": KnownSet(63_305, "broden1_224.zip", 1.0),
}


def known_set(name: str) -> KnownSet:
    """Return the set of a name.

    Raises:
        UnknownName: not one of `KNOWN_SETS`; near names are offered.
    """
    if name not in KNOWN_SETS:
        raise UnknownName("probe set", name, KNOWN_SETS, f"There are {', '.join(KNOWN_SETS)}.")
    return KNOWN_SETS[name]


@dataclass(frozen=True, slots=True)
class Prepared(Card):
    """What `probe.json` says of a prepared folder."""

    name: str
    images: int
    digest: str
    archive: str


class JoinedProbe:
    """Several probe sets, one after the other; a name opens with its set's name."""

    def __init__(self, sets: Sequence[tuple[str, ProbeSet]]) -> None:
        self.sets = tuple(sets)
        self._ends = tuple(accumulate(len(probe) for _, probe in self.sets))

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the sets' names and digests, in order."""
        return key([[name, probe.digest] for name, probe in self.sets])

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def name(self, index: int) -> str:
        """Return the set's name and the image's name in it."""
        prefix, probe, inner = self._find(index)
        return f"{prefix}/{probe.name(inner)}"

    def pixels(self, index: int) -> Pixels:
        """Return an image as RGB.

        Raises:
            UnreadableImage: the image cannot be used; the message is the reason.
        """
        _, probe, inner = self._find(index)
        return probe.pixels(inner)

    @property
    def bands(self) -> int:
        """Bands of the tiles, 0 where a set holds pictures, or is shown in another way."""
        looks = {(getattr(one, "bands", 0), repr(getattr(one, "look", ""))) for _, one in self.sets}
        return looks.pop()[0] if len(looks) == 1 else 0

    def tile(self, index: int) -> NDArray[Any]:
        """Return an image of all bands, see `core.tiles.TileSet`."""
        _, probe, inner = self._find(index)
        return cast(TileSet, probe).tile(inner)

    def display(self, tile: NDArray[Any]) -> Pixels:
        """Return a tile as it is shown; all sets show theirs alike."""
        return cast(TileSet, self.sets[0][1]).display(tile)

    def lift(self, picture: Pixels) -> NDArray[Any]:
        """Return a picture as a tile of the first set."""
        return cast(TileSet, self.sets[0][1]).lift(picture)

    def _find(self, index: int) -> tuple[str, ProbeSet, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"probe image {index} of {len(self)}")
        which = bisect_right(self._ends, index)
        name, probe = self.sets[which]
        return name, probe, index - (self._ends[which] - len(probe))


@dataclass(frozen=True, slots=True, eq=False)
class FunctionProbe:
    """A probe set made by functions of the index, for images that lie in no file."""

    digest: str
    count: int
    name_fn: Callable[[int], str]
    pixels_fn: Callable[[int], Pixels]

    def __len__(self) -> int:
        return self.count

    def name(self, index: int) -> str:
        """Return an image's name."""
        return self.name_fn(index)

    def pixels(self, index: int) -> Pixels:
        """Return an image as RGB."""
        return self.pixels_fn(index)


def open_probe(
    spec: Sequence[str],
    data_root: Path,
    cache_dir: Path,
    named: Mapping[str, Callable[[], ProbeSet]],
) -> ProbeSet:
    """Return the probe set of names and paths, joined in order where there are several.

    Args:
        spec: names of `named` or `KNOWN_SETS`, or paths (`probe_kinds.open_path`); a name goes
            before a folder of the same name in the current folder (``./name`` means that).
        data_root: where prepared sets lie, one folder a name.
        cache_dir: where content hashes are remembered.
        named: further sets by name, made when asked for.

    Raises:
        UserError: sets that are not there, a line each with the command that gets it; a folder
            without images.
        UnknownName: neither a name nor a path; near names are offered.
        BadConfig: a set given twice.
        DamagedFile: a prepared set that has lost or gained images since.
    """
    repeated = [entry for entry, times in Counter(spec).items() if times > 1]
    if repeated:
        raise BadConfig(f"probe set '{repeated[0]}' is given twice; name each set once")
    sets, absent = [], []
    for entry in spec:
        try:
            sets.append(_open(entry, data_root, cache_dir, named))
        except UnknownName:
            raise
        except UserError as error:
            absent.append(error)
    if len(absent) > 1:
        raise UserError("\n".join(map(str, absent)))
    if absent:
        raise absent[0]
    if len(sets) == 1:
        return sets[0]
    return JoinedProbe(list(zip(_prefixes(spec), sets, strict=True)))


def _open(
    entry: str, data_root: Path, cache_dir: Path, named: Mapping[str, Callable[[], ProbeSet]]
) -> ProbeSet:
    if entry in named:
        return named[entry]()
    if entry in KNOWN_SETS:
        return _open_prepared(entry, data_root, cache_dir)
    path = Path(entry.partition("::")[0]).expanduser()
    a_path = len(path.parts) > 1 or entry.startswith((".", "~")) or set("*?{:") & set(entry)
    if path.exists() or a_path:
        return open_path(entry, cache_dir)
    raise UnknownName(
        "probe set", entry, [*named, *KNOWN_SETS], "Or give the path of a folder or file."
    )


def _open_prepared(name: str, data_root: Path, cache_dir: Path) -> FolderProbe:
    folder, known = data_root / name, KNOWN_SETS[name]
    if not folder.is_dir():
        raise UserError(
            f"probe set '{name}' is not in {folder}; it is made from an archive that you bring "
            f"({known.archive}, about {known.gigabytes:g} GB, {known.images:,} images): "
            f"dnd-local probe prepare {name} {known.archive}"
        )
    probe = FolderProbe(folder, cache_dir)
    prepared = read_record(folder)
    if prepared is not None and prepared.images != len(probe):
        raise DamagedFile(
            f"probe set '{name}' in {folder} has {count_text(len(probe), 'image')}, "
            f"{prepared.images:,} were prepared; delete the folder and run "
            f"dnd-local probe prepare {name} {known.archive}"
        )
    return probe


def read_record(folder: Path) -> Prepared | None:
    """Return what `probe.json` says, None for a folder that the user filled by hand.

    Raises:
        DamagedFile: it says nothing that can be read.
    """
    try:
        return msgspec.json.decode((folder / RECORD).read_bytes(), type=Prepared)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise DamagedFile(f"{folder / RECORD} is damaged ({error}); delete the folder") from None


def holdout_mask(digest: str, n: int, share: float, seed: int) -> NDArray[np.bool_]:
    """Return which of `n` images are held out, bool of shape (n,), `share` of them to the nearest.

    Every image has a fixed place in a draw by (seed, set, index), and the first places are held
    out: a larger share holds out the same images and more.
    """
    places = draw("holdout", seed, digest, n)
    mask = np.zeros(n, dtype=np.bool_)
    mask[np.argsort(places, kind="stable")[: round(n * share)]] = True
    return mask


def read_ahead(
    probe: ProbeSet, indices: Iterable[int], workers: int
) -> Iterator[tuple[int, Pixels | SkippedImage]]:
    """Yield (index, picture or why there is none) in the order of `indices`.

    Decoded by `workers` threads; no more than `AHEAD` pictures a worker exist at a time. Closing
    the iterator ends the threads.
    """
    waiting: deque[tuple[int, Future[Pixels | SkippedImage]]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="read-ahead")
    try:
        for index in indices:
            waiting.append((index, pool.submit(read_one, probe, index)))
            if len(waiting) == AHEAD * workers:
                yield _next(waiting)
        while waiting:
            yield _next(waiting)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _next(
    waiting: deque[tuple[int, Future[Pixels | SkippedImage]]],
) -> tuple[int, Pixels | SkippedImage]:
    # In a function of its own, so that nothing here keeps the picture alive afterwards.
    index, future = waiting.popleft()
    return index, future.result()


def read_one(probe: ProbeSet, index: int) -> Pixels | SkippedImage:
    """Return an image as RGB, or why it cannot be used."""
    try:
        return probe.pixels(index)
    except UnreadableImage as error:
        return SkippedImage(index, probe.name(index), str(error))


def _prefixes(spec: Sequence[str]) -> list[str]:
    """Return one name for each set: its folder's name, numbered where two are the same."""
    names = [Path(entry).resolve().name for entry in spec]
    taken: Counter[str] = Counter()
    prefixes = []
    for name in names:
        taken[name] += 1
        prefixes.append(name if taken[name] == 1 else f"{name}-{taken[name]}")
    return prefixes
