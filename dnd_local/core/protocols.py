"""The seams: what a stage may ask of an engine or a store.

An engine takes any number of inputs at once and returns as many results in the same order. It
runs its model at the one padded batch shape it was given, so a result depends on its input and
never on the other inputs of its batch. Pictures are uint8 RGB arrays of shape (height, width, 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from dnd_local.core.conversations import Message, Reply, Request
from dnd_local.core.records import BlobId, Box, LayerInfo, Pixels

EngineRole: TypeAlias = Literal["target", "captioner", "language-model", "painter", "embedder"]
"""What an engine is used as; `Target` to `Embedder` below say what each must be able to do."""

LATENTS: Final = "latents"
"""Beside the roles: an encoder, through which a target reads a layer. No engine by itself."""


@dataclass(frozen=True, slots=True, eq=False)
class ResponseMap:
    """A neuron's map over one picture: `values` float32 (height, width).

    `seen` is the region of the picture that the map covers, or None where it is not known.
    """

    values: NDArray[np.float32]
    seen: Box | None


@runtime_checkable
class Target(Protocol):
    """The network under study."""

    @property
    def bands(self) -> int:
        """Bands of the tiles that it takes in place of RGB pictures, 0 for pictures."""

    def layers(self) -> tuple[LayerInfo, ...]:
        """Return every layer that can be dissected, in the order it runs."""

    def responses(
        self, pictures: Sequence[Pixels], layers: Sequence[str]
    ) -> dict[str, NDArray[np.float32]]:
        """Return, for each layer, the responses, float32 of shape (n_pictures, n_neurons).

        Raises:
            UnknownName: a layer that the network has not; near matches are listed.
        """

    def maps(
        self, pictures: Sequence[Pixels], layer: str, neurons: Sequence[Sequence[int]]
    ) -> list[list[ResponseMap]]:
        """Return, for each picture, the maps of the neurons asked for with it.

        An empty inner list where the layer has no map.
        """

    def outputs(
        self, pictures: Sequence[Pixels], layer: str, silent: Sequence[Sequence[int]]
    ) -> NDArray[np.float32]:
        """Return the network's own outputs while sets of a layer's neurons are 0.

        float32 of shape (n_sets, n_pictures, n_outputs), a row of `silent` a set.
        """

    def framing(self, height: int, width: int) -> Box | None:
        """Return the region the network sees of a picture of this size, None where not known."""


@runtime_checkable
class Captioner(Protocol):
    """A model that says in a sentence what a picture shows."""

    def caption(self, pictures: Sequence[Pixels]) -> list[str]:
        """Return one caption a picture."""


@runtime_checkable
class LanguageModel(Protocol):
    """A language model."""

    def reply(self, requests: Sequence[Request]) -> list[Reply]:
        """Return one raw reply a request; the same request has the same reply.

        Raises:
            NoReply: the server failed for good.
        """


@runtime_checkable
class Beginning(Protocol):
    """What a `LanguageModel` has too if it is asked over a network, and need not be waited for."""

    def begin(self, requests: Sequence[Request]) -> Future[list[Reply]]:
        """Return at once the future of what `reply` returns or raises.

        Several may be under way. Cancelling one gives up its requests.
        """


@runtime_checkable
class Painter(Protocol):
    """An image generator."""

    def paint(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Pixels]:
        """Return one picture a (prompt, seed); the same pair has the same picture."""


@runtime_checkable
class Embedder(Protocol):
    """A joint embedding of pictures and texts (CLIP)."""

    def embed_pictures(self, pictures: Sequence[Pixels]) -> NDArray[np.float32]:
        """Return unit vectors, float32 of shape (n_pictures, dimensions)."""

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, float32 of shape (n_texts, dimensions)."""


class ProbeSet(Protocol):
    """The images whose responses are read, numbered from 0."""

    @property
    def digest(self) -> str:
        """SHA-256 of everything that can change what `pixels` returns."""

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """Return an image's name as shown to people, for example its path in its folder."""

    def pixels(self, index: int) -> Pixels:
        """Return an image as RGB.

        Raises:
            UnreadableImage: the image cannot be used; the message is the reason.
        """


class UnreadableImage(Exception):
    """A probe image that cannot be used. Readers catch it and keep a record."""


class Blobs(Protocol):
    """Pictures kept once each, named by the digest of their bytes."""

    def put(self, pixels: NDArray[np.uint8]) -> BlobId:
        """Store a picture, RGB (height, width, 3) or grey (height, width), losslessly."""

    def get(self, blob: BlobId) -> Pixels:
        """Return a stored picture as RGB.

        Raises:
            DamagedFile: the stored bytes are not what their name promises, or are gone.
        """

    def put_all(self, pictures: Sequence[NDArray[np.uint8]], quality: int = 0) -> list[BlobId]:
        """Store pictures as `put` does, on all cores; return their names in order.

        With a `quality` of 1 to 100 some of a picture is lost, for less disk.
        """

    def get_all(self, blobs: Sequence[BlobId]) -> list[Pixels]:
        """Return stored pictures as `get` does, in order, decoded on all cores.

        Raises:
            DamagedFile: as `get`, of the first that is.
        """


class Prompts(Protocol):
    """The prompt files."""

    def messages(self, name: str, **variables: str) -> tuple[Message, ...]:
        """Return the turns of a prompt with its variables filled in."""

    def digest(self, name: str) -> str:
        """Return the SHA-256 of a prompt file's bytes."""
