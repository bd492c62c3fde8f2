"""A sentence encoder, tiny."""

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from dnd_local.core.errors import MissingWeights
from dnd_local.engines.embedder_text import SentenceEncoder
from tests.engines.contracts import SHAPE, TextsContract


class TestSentenceEncoder(TextsContract):
    @pytest.fixture(scope="class")
    @classmethod
    def embedder(cls, models):
        return SentenceEncoder(models("sentence_encoder"), SHAPE)


def test_vectors_are_those_of_the_library(models):
    texts = [
        "dog",
        "a red cat",
        "the small house on a green tree with a dog and a car",
        "sky " * 90,
    ]
    found = SentenceEncoder(models("sentence_encoder"), SHAPE).embed_texts(texts)
    library = SentenceTransformer(str(models("sentence_encoder")), device="cpu")
    expected = library.encode(texts, normalize_embeddings=True)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(MissingWeights):
        SentenceEncoder(tmp_path / "none")
