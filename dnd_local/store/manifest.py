"""The weights manifest: every model and archive this project reads, its source, terms and hashes.

A manifest is data that others may edit, so reading it is strict: unknown keys, unsafe paths and
ids that collide are refused with one line. What is not known is an explicit null. No entry may
name a pickle as a file to read: a pickle is only ever what a file is `converted_from`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias, get_args

import msgspec
from msgspec import Meta, Struct

from dnd_local.core.errors import BadConfig, UnknownName
from dnd_local.core.regular import read_regular
from dnd_local.store.painting import Painting
from dnd_local.store.resources import shipped

SCHEMA: Final = 1
PICKLES: Final = (
    ".bin",
    ".pt",
    ".pth",
    ".pth.tar",
    ".ckpt",
    ".pkl",
    ".pickle",
    ".joblib",
    ".dill",
    ".h5",
)
"""Endings of files that run code when they are loaded, or may."""

Profile: TypeAlias = Literal["paper", "released", "fast", "pocket", "eval", "usecases"]
PROFILES: Final[tuple[Profile, ...]] = get_args(Profile)

Sha256: TypeAlias = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
EntryId: TypeAlias = Annotated[
    str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}(@[A-Z0-9_]{1,32})?\Z")
]
Size: TypeAlias = Annotated[int, Meta(ge=0, le=1 << 50)]
Link: TypeAlias = Annotated[str, Meta(pattern=r"^https?://[^\s/]+(/\S*)?\Z")]
_FORBIDDEN = frozenset('\\:*?"<>|')


class Origin(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file that a local file was converted from, as its source holds it.

    `sha256_prefix` is the beginning of a hash that is not known whole, `size_about` a size that
    its source gives rounded.
    """

    path: str
    size: Size | None
    sha256: Sha256 | None
    sha256_prefix: Annotated[str, Meta(pattern=r"^([0-9a-f]{8,64})?\Z")] = ""
    size_about: Size | None = None
    url: Link | None = None

    def __post_init__(self) -> None:
        check_path(self.path)


class File(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One local file of an entry.

    `source_path` is its path at the source where that is another; `url` where it comes from
    elsewhere altogether.
    """

    path: str
    size: Size | None
    sha256: Sha256 | None
    md5: Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z")] | None = None
    source_path: str | None = None
    url: Link | None = None
    converted_from: Origin | None = None

    def __post_init__(self) -> None:
        check_path(self.path)
        check_path(self.source_path or self.path)
        if is_pickle(self.path):
            raise ValueError(f"'{self.path}' is a pickle; name it in converted_from")
        if self.converted_from is not None and not self.path.endswith(".safetensors"):
            raise ValueError(f"'{self.path}' is converted, so it must end in .safetensors")


class Hub(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="hub"
):
    """A model hub's repository at one commit."""

    repository: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*\Z")]
    revision: Annotated[str, Meta(pattern=r"^[0-9a-f]{40}\Z")]


class Url(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="url"
):
    """A folder on a web server, ending in a slash."""

    base: Annotated[str, Meta(pattern=r"^https?://[^\s/]+/(\S*/)?\Z")]


class Shipped(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="shipped"
):
    """A folder of the package's own `pocket/models`."""

    folder: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]*\Z")]


class User(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="user"
):
    """An archive that its owner's terms leave to the user to fetch, from `page`."""

    page: Link


class Local(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="local"
):
    """A folder of the user's own, registered with ``weights add``; empty after a bundle.

    Its files are reached through links in the weights folder.
    """

    folder: str = ""


Source: TypeAlias = Hub | Url | Shipped | User | Local


class Licence(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The terms of an entry: an SPDX identifier where there is one (or LicenseRef-...), a link."""

    spdx: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+-]*\Z")] | None
    link: Link | None


class Entry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model or archive.

    `memory` is bytes of device memory it needs to run, roughly. `network` says how a target's
    files become a network: ``torchvision:resnet50@IMAGENET1K_V1`` is one member of torchvision's
    weight enums, which names weights, transform and classes together. `painting` are the settings
    of an image generator that is chosen by its name.
    """

    id: EntryId
    role: Annotated[str, Meta(min_length=1, max_length=200)]
    source: Source
    licence: Licence
    gated: bool | None
    files: Annotated[tuple[File, ...], Meta(min_length=0)]
    dtype: Literal["float32", "float16", "bfloat16", "mixed"] | None
    profiles: tuple[Profile, ...]
    memory: Size | None
    note: str = ""
    network: Annotated[str, Meta(pattern=r"^([a-z0-9_]+(:\S{1,199})?)?\Z")] = ""
    painting: Painting | None = None

    def __post_init__(self) -> None:
        if not self.files and not isinstance(self.source, Shipped):
            raise ValueError(f"entry '{self.id}' names no file")
        seen: set[str] = set()
        for file in self.files:
            if file.path.lower() in seen:
                raise ValueError(f"entry '{self.id}' names '{file.path}' twice (case aside)")
            seen.add(file.path.lower())

    @property
    def names(self) -> tuple[str, ...]:
        """What it answers to: its id, and the whole name of the network that the id shortens.

        A model of the user's own has no other name than the one it was given.
        """
        published = self.network.partition(":")[2]
        return (self.id, published) if published and not self.own else (self.id,)

    @property
    def own(self) -> bool:
        """Whether the user registered it."""
        return isinstance(self.source, Local)

    @property
    def origin(self) -> str:
        """The name of the file that the first file is converted from, empty where none is."""
        sources = [file.converted_from for file in self.files if file.converted_from is not None]
        return sources[0].path if sources else ""

    @property
    def known_size(self) -> int:
        """Bytes to fetch, as far as they are known."""
        origins = (file.converted_from for file in self.files)
        about = sum(one.size or one.size_about or 0 for one in origins if one is not None)
        return about + sum(file.size or 0 for file in self.files if file.converted_from is None)


class Manifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every entry, in the manifest's order."""

    schema: Annotated[int, Meta(ge=SCHEMA, le=SCHEMA)]
    entries: tuple[Entry, ...]

    def __post_init__(self) -> None:
        seen: set[str] = set(PROFILES)
        for entry in self.entries:
            if entry.id in seen:
                raise ValueError(f"id '{entry.id}' is there twice, or is a profile's name")
            seen.add(entry.id)

    @classmethod
    def read(cls, path: Path | None = None) -> Manifest:
        """Return the checked manifest of a file; of the one that ships by default.

        Raises:
            BadConfig: the file cannot be read or is not a manifest.
        """
        path = path or shipped("weights_manifest.json")
        try:
            return parse_manifest(read_regular(path), str(path))
        except OSError as error:
            raise BadConfig(f"cannot read weights manifest {path}: {error.strerror}") from None

    def entry(self, name: str) -> Entry:
        """Return the entry of an id, or of the whole name of the network that an id shortens.

        ``resnet50@IMAGENET1K_V1`` is the entry ``resnet50``.

        Raises:
            UnknownName: there is none; near ids are offered.
        """
        for entry in self.entries:
            if name in entry.names:
                return entry
        known = [entry.id for entry in self.entries]
        raise UnknownName(
            "weights", name, known, "`dnd-local weights list` shows them all; `dnd-local weights "
            "add` registers a folder of your own."
        )  # fmt: skip

    def under(self, over: Manifest) -> Manifest:
        """Return this manifest with another laid over it: of one id, the other's entry counts."""
        taken = {entry.id for entry in over.entries}
        kept = tuple(entry for entry in self.entries if entry.id not in taken)
        return Manifest(schema=SCHEMA, entries=kept + over.entries)

    def select(self, names: Iterable[str]) -> tuple[Entry, ...]:
        """Return the entries of ids and profiles, each once, in the manifest's order.

        Raises:
            UnknownName: a name is neither an id nor a profile.
        """
        wanted: set[str] = set()
        for name in names:
            if name in PROFILES:
                wanted.update(entry.id for entry in self.entries if name in entry.profiles)
            else:
                wanted.add(self.entry(name).id)
        return tuple(entry for entry in self.entries if entry.id in wanted)


def parse_manifest(data: bytes, name: str = "weights manifest") -> Manifest:
    """Return the checked manifest of JSON bytes.

    Raises:
        BadConfig: anything at all is wrong; the message starts with `name`.
    """
    try:
        return msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadConfig(f"{name}: {' '.join(str(error).split())}") from None


def is_pickle(path: str) -> bool:
    """Return whether a file's name ends like a pickle, whatever its case."""
    return path.lower().endswith(PICKLES)


def check_path(path: str) -> None:
    """Check that `path` is a plain relative path on every system.

    Raises:
        ValueError: it is not.
    """
    parts = path.split("/")
    if any(not part or part[-1] in " ." or part[0] == " " for part in parts):
        raise ValueError(f"path '{path}' is not a plain relative path")
    if not path.isascii() or not path.isprintable() or _FORBIDDEN & set(path) or len(path) > 200:
        raise ValueError(f"path {path!r} has characters that not every system takes")
