"""How alike two texts are: token F1, cosine of sentence or CLIP embeddings, BERTScore.

A metric compares the label of a neuron with one or several reference texts for the same neuron
(three annotators) and averages over the references. Beside each matched figure stands its
*unmatched* one: the same label against the references of other neurons. Without it a
similarity says nothing, since any two labels of vision neurons are rather alike.

Token F1 is ours because it must run without torch's extras and for a million pairs; the test
holds it against torchmetrics' SQuAD F1. The others take their model as an argument.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dnd_local.core.errors import UserError

Values: TypeAlias = NDArray[np.float64]
References: TypeAlias = Sequence[Sequence[str]]

SHIFTS = 256
"""Other neurons that token F1's null compares each label with (all where there are fewer)."""

SCORER_SHIFTS = 8
"""The same for BERTScore, where a pair costs a pass through a transformer."""


class TextMetric(Protocol):
    """A similarity of texts; `needs` names the weights behind it, empty where there are none."""

    @property
    def name(self) -> str: ...

    @property
    def needs(self) -> str: ...

    def matched(self, labels: Sequence[str], references: References) -> Values:
        """Return the mean similarity of each label to its own references, shape (n,)."""

    def unmatched(self, labels: Sequence[str], references: References) -> Values:
        """Return the mean similarity of each label to other neurons' references, shape (n,)."""


class TextEncoder(Protocol):
    """Anything that turns texts into unit vectors; an `Embedder` is one."""

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, float32 of shape (n_texts, dimensions)."""


class PairScorer(Protocol):
    """Anything that scores aligned pairs of texts, for example BERTScore's F1."""

    def score(self, predictions: Sequence[str], references: Sequence[str]) -> NDArray[np.float32]:
        """Return one score a pair, float32 of shape (n_pairs,)."""


class TokenF1:
    """F1 of the words two texts share, SQuAD's: lower case, no punctuation, no articles."""

    name = "token F1"
    needs = ""

    def matched(self, labels: Sequence[str], references: References) -> Values:
        """Return the mean token F1 of each label with its own references, shape (n,)."""
        return _mean_over_references(_f1_pairs, labels, references)

    def unmatched(self, labels: Sequence[str], references: References) -> Values:
        """Return the mean token F1 with up to `SHIFTS` other neurons' references, shape (n,)."""
        return _shifted_mean(_f1_pairs, labels, references, SHIFTS)


class EmbeddingCosine:
    """Cosine of two texts' embeddings by one encoder; each distinct text is embedded once."""

    def __init__(self, name: str, needs: str, encoder: TextEncoder) -> None:
        self.name, self.needs = name, needs
        self._encoder = encoder
        self._known: dict[str, Values] = {}

    def matched(self, labels: Sequence[str], references: References) -> Values:
        """Return the mean cosine of each label to its own references, shape (n,)."""
        return np.asarray((self._vectors(labels) * self._means(references)).sum(axis=1))

    def unmatched(self, labels: Sequence[str], references: References) -> Values:
        """Return the mean cosine to every other neuron's references, shape (n,), exactly.

        The mean of cosines with a fixed vector is the cosine with the mean vector, so no matrix
        of pairs is needed.
        """
        _need_others(labels)
        vectors, means = self._vectors(labels), self._means(references)
        others = (means.sum(axis=0) - means) / (len(labels) - 1)
        return np.asarray((vectors * others).sum(axis=1))

    def matrix(self, labels: Sequence[str], texts: Sequence[str]) -> Values:
        """Return the cosine of every label to every text, shape (n_labels, n_texts)."""
        return np.asarray(self._vectors(labels) @ self._vectors(texts).T)

    def _vectors(self, texts: Sequence[str]) -> Values:
        new = sorted(set(texts) - self._known.keys())
        if new:
            vectors = np.asarray(self._encoder.embed_texts(new), dtype=np.float64)
            self._known.update(zip(new, vectors, strict=True))
        return np.stack([self._known[text] for text in texts])

    def _means(self, references: References) -> Values:
        flat = self._vectors([text for group in references for text in group])
        return _group_means(flat, references)

    def by_letters(self, name: str) -> EmbeddingCosine:
        """Return the metric called `name` that compares a label with each letter of a reference."""
        return _LetterCosine(name, self.needs, self._encoder)


class _LetterCosine(EmbeddingCosine):
    """The cosine of a label and a reference's letters, averaged: a text taken for a list.

    Blanks and marks are letters too.
    """

    def _means(self, references: References) -> Values:
        texts = [text for group in references for text in group]
        return _group_means(super()._means([list(text) or [text] for text in texts]), references)


class BertScore:
    """BERTScore F1 by one scorer; with a `baseline`, rescaled so that chance is about 0.

    Raw BERTScore crowds near .85 for any two English phrases; rescaled is (F1 - b) / (1 - b),
    b the mean F1 of random sentence pairs for the model and layer, published with the metric.
    """

    def __init__(self, needs: str, scorer: PairScorer, baseline: float = 0.0) -> None:
        self.name = "BERTScore, rescaled" if baseline else "BERTScore"
        self.needs = needs
        self._baseline = baseline
        self._scorer = scorer

    def matched(self, labels: Sequence[str], references: References) -> Values:
        """Return the mean F1 of each label with its own references, shape (n,)."""
        return _mean_over_references(self._pairs, labels, references)

    def unmatched(self, labels: Sequence[str], references: References) -> Values:
        """Return the mean F1 with `SCORER_SHIFTS` other neurons' references, shape (n,)."""
        return _shifted_mean(self._pairs, labels, references, SCORER_SHIFTS)

    def _pairs(self, left: Sequence[str], right: Sequence[str]) -> Values:
        raw = np.asarray(self._scorer.score(left, right), dtype=np.float64)
        return np.asarray((raw - self._baseline) / (1 - self._baseline))


class _Pairs(Protocol):
    def __call__(self, left: Sequence[str], right: Sequence[str], /) -> Values: ...


_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def tokens(text: str) -> list[str]:
    """Return a text's words in lower case without punctuation and articles."""
    return _ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split()


def _f1_pairs(left: Sequence[str], right: Sequence[str]) -> Values:
    known = {text: Counter(tokens(text)) for text in {*left, *right}}
    return np.array([_f1(known[a], known[b]) for a, b in zip(left, right, strict=True)])


def _f1(one: Counter[str], other: Counter[str]) -> float:
    if not one or not other:
        return float(one == other)
    shared = sum(min(count, other[word]) for word, count in one.items())
    return 2 * shared / (one.total() + other.total())


def _mean_over_references(pairs: _Pairs, labels: Sequence[str], references: References) -> Values:
    left = [label for label, group in zip(labels, references, strict=True) for _ in group]
    right = [text for group in references for text in group]
    return _group_means(pairs(left, right), references)


def _shifted_mean(
    pairs: _Pairs, labels: Sequence[str], references: References, most: int
) -> Values:
    """Return each label's mean similarity to others, by shifting the references in a circle.

    All shifts together are all unmatched pairs, each once; `most` evenly spaced ones stand for
    them where there are more.
    """
    _need_others(labels)
    n = len(labels)
    shifts = np.unique(np.linspace(1, n - 1, num=min(most, n - 1)).astype(int))
    total = np.zeros(n)
    for shift in shifts:
        total += _mean_over_references(
            pairs, labels, [*references[int(shift) :], *references[: int(shift)]]
        )
    return np.asarray(total / len(shifts))


def _group_means(flat: Values, references: References) -> Values:
    """Return the mean of each neuron's stretch of `flat`, whose first axis runs over all texts."""
    sizes = np.array([len(group) for group in references])
    starts = np.cumsum(sizes) - sizes
    sums = np.add.reduceat(flat, starts, axis=0)
    return np.asarray(sums / sizes.reshape(-1, *([1] * (flat.ndim - 1))))


def _need_others(labels: Sequence[str]) -> None:
    if len(labels) < 2:
        raise UserError("the unmatched null needs two neurons at least; there is one")
