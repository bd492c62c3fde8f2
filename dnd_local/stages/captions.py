"""Stage 2a: one caption an exemplar."""

from __future__ import annotations

from collections.abc import Sequence

from dnd_local.core.protocols import Blobs, Captioner
from dnd_local.core.records import Captions, Exemplar, Exemplars, Neuron
from dnd_local.core.sequences import distinct


def caption(batch: Sequence[Exemplars], captioner: Captioner, blobs: Blobs) -> list[Captions]:
    """Return the captions of each neuron's exemplars; a picture that several share is read once."""
    return caption_images([(one.neuron, one.exemplars) for one in batch], captioner, blobs)


def caption_images(
    batch: Sequence[tuple[Neuron, Sequence[Exemplar]]], captioner: Captioner, blobs: Blobs
) -> list[Captions]:
    """Return the captions of each neuron's images, in their order."""
    wanted = distinct(image.blob for _, images in batch for image in images)
    texts = captioner.caption(blobs.get_all(wanted))
    said = {blob: one_line(text) for blob, text in zip(wanted, texts, strict=True)}
    return [
        Captions(neuron, tuple(said[image.blob] for image in images)) for neuron, images in batch
    ]


def one_line(text: str) -> str:
    """Return `text` on one line, without control characters, with single spaces.

    A caption is put into a prompt: it must not be able to open a line of its own there.
    """
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
