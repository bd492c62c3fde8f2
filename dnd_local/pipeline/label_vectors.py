"""Vectors of labels: what they mean, from the text side of a run's own embedder (CLIP).

Each text is embedded once a workspace: the vectors are kept in ``cache/``, under a key of the
embedder's weights and settings, so a second reading opens no model. That file is a cache, not a
result: lost or damaged, it is made again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeAlias

import msgspec
import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from dnd_local.core.digest import key, sha256
from dnd_local.core.sequences import distinct
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.opening import engine_name
from dnd_local.store.files import read_whole, write_atomic

Vectors: TypeAlias = NDArray[np.float32]

PLACE_WEIGHTS: Final = (3.0, 2.0, 1.0)
"""A neuron's best label says most about it."""

_BLOCK: Final = 512


def encoder_name(lab: Lab) -> str:
    """Return what the settings call the run's embedder."""
    return engine_name("embedder", lab.config)


def text_vectors(lab: Lab, texts: Sequence[str]) -> Vectors:
    """Return a unit vector a text, float32 (n_texts, dimensions), by the run's own embedder.

    Only texts that the workspace has no vector of are embedded; the embedder stays open in `lab`
    (`lab.close` lets go of it).

    Raises:
        UserError: the embedder's weights or its library are not there, and a text is new.
    """
    path = _path(lab)
    known = _read(path)
    new = [text for text in distinct(texts) if _name(text) not in known]
    if new:
        lab.require(("embedder",), probe=False)
        # A lone surrogate from a model's reply is no text that a tokenizer takes.
        clean = [text.encode("utf-8", "replace").decode("utf-8") for text in new]
        embedded = np.asarray(lab.embedder.embed_texts(clean), dtype=np.float32)
        known.update(zip(map(_name, new), embedded, strict=True))
        _write(path, known)
    return np.stack([known[_name(text)] for text in texts]) if texts else np.zeros((0, 0), "f4")


def neuron_vectors(lab: Lab, labels: Sequence[Sequence[str]]) -> Vectors:
    """Return a unit vector a neuron, float32 (n_neurons, dimensions); zeros without a label.

    It is the sum of the vectors of its labels, the first weighted most (`PLACE_WEIGHTS`).

    Args:
        lab: the run's.
        labels: the labels of each neuron, best first.

    Raises:
        UserError: as `text_vectors`.
    """
    texts = distinct(text for several in labels for text in several)
    rows = {text: row for row, text in enumerate(texts)}
    vectors = text_vectors(lab, texts)
    sums = np.zeros((len(labels), vectors.shape[1]), dtype=np.float32)
    for place, several in enumerate(labels):
        for text, weight in zip(several, PLACE_WEIGHTS, strict=False):
            sums[place] += weight * vectors[rows[text]]
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    return np.asarray(sums / np.where(norms > 0, norms, 1.0), dtype=np.float32)


def neighbours(vectors: Vectors, count: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the rows nearest to each row, itself left out, and their cosines, as `most_alike`."""
    indices, cosines = most_alike(vectors, vectors, count + 1)
    itself = indices == np.arange(len(vectors))[:, None]
    # Where enough rows are equal to it, a row is not among its own nearest: the last one goes.
    itself[~itself.any(axis=1), -1] = True
    shape = (len(vectors), count)
    return indices[~itself].reshape(shape), cosines[~itself].reshape(shape)


def most_alike(
    queries: Vectors, vectors: Vectors, count: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the rows of `vectors` nearest to each query and their cosines, (n_queries, count).

    Nearest first, ties to the lower row. A row of zeros (a neuron without a label) is near
    nothing; where there are fewer than `count` rows, the index is -1 and the cosine 0.

    Args:
        queries: unit vectors, (n_queries, dimensions).
        vectors: unit vectors or zeros, (n_vectors, dimensions).
        count: how many rows for each query.
    """
    empty = ~vectors.any(axis=1)
    indices = np.full((len(queries), count), -1, dtype=np.int64)
    cosines = np.zeros((len(queries), count))
    width = min(count, len(vectors))
    for start in range(0, len(queries), _BLOCK):
        block = np.asarray(queries[start : start + _BLOCK] @ vectors.T, dtype=np.float64)
        block[:, empty] = -np.inf
        block[~queries[start : start + _BLOCK].any(axis=1)] = -np.inf
        order = np.argsort(-block, axis=1, kind="stable")[:, :width]
        nearest = np.take_along_axis(block, order, axis=1)
        indices[start : start + _BLOCK, :width] = np.where(np.isfinite(nearest), order, -1)
        cosines[start : start + _BLOCK, :width] = np.where(np.isfinite(nearest), nearest, 0.0)
    return indices, cosines


def _path(lab: Lab) -> Path:
    meaning = {
        "of": "label vectors",
        "version": 1,
        "settings": lab.config.clip,
        "weights": lab.weights_digest("embedder"),
    }
    return lab.execution.workspace / "cache" / f"label-vectors-{key(meaning)[:16]}.safetensors"


def _name(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass"))


def _read(path: Path) -> dict[str, Vectors]:
    try:
        data = read_whole(path)
        loaded = safetensors.numpy.load(data)
        header = data[8 : 8 + int.from_bytes(data[:8], "little")]
        about = msgspec.json.decode(header)["__metadata__"]
        names, vectors = about["texts"].split(), loaded["vectors"]
        whole = about["sha256"] == sha256(about["texts"].encode() + vectors.tobytes())
        return dict(zip(names, vectors, strict=True)) if whole else {}
    except (FileNotFoundError, SafetensorError, ValueError, KeyError, TypeError):
        return {}


def _write(path: Path, known: dict[str, Vectors]) -> None:
    names = sorted(known)
    texts, vectors = " ".join(names), np.stack([known[name] for name in names])
    checksum = sha256(texts.encode() + vectors.tobytes())
    about = {"texts": texts, "sha256": checksum}
    write_atomic(path, safetensors.numpy.save({"vectors": vectors}, metadata=about))
