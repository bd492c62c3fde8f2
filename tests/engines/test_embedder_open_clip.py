"""CLIP, tiny, with CLIP's real tokenizer."""

import shutil

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from dnd_local.core.config import ClipConfig
from dnd_local.core.errors import MissingWeights
from dnd_local.engines.embedder_open_clip import OpenClipEmbedder
from tests.engines.contracts import SHAPE, EmbedderContract

CONFIG = ClipConfig(batch=SHAPE)


class TestOpenClip(EmbedderContract):
    @pytest.fixture(scope="class")
    @classmethod
    def embedder(cls, models):
        return OpenClipEmbedder(models("open_clip"), CONFIG)


def test_vectors_are_those_of_the_library(models, pictures):
    embedder = OpenClipEmbedder(models("open_clip"), CONFIG)
    name = f"local-dir:{models('open_clip')}"
    model, _, preprocess = open_clip.create_model_and_transforms(name)
    model.eval()
    with torch.no_grad():
        seen = model.encode_image(preprocess(Image.fromarray(pictures[0]))[None], normalize=True)
        said = model.encode_text(open_clip.get_tokenizer(name)(["a red dog"]), normalize=True)
    np.testing.assert_allclose(embedder.embed_pictures(pictures[:1]), seen.numpy(), atol=1e-5)
    np.testing.assert_allclose(embedder.embed_texts(["a red dog"]), said.numpy(), atol=1e-5)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_less_precision_is_near(models, pictures, dtype):
    exact = OpenClipEmbedder(models("open_clip"), CONFIG)
    rough = OpenClipEmbedder(models("open_clip"), ClipConfig(batch=SHAPE, dtype=dtype))
    cosines = (exact.embed_pictures(pictures) * rough.embed_pictures(pictures)).sum(1)
    assert cosines.min() > 0.98
    assert not np.array_equal(exact.embed_texts(["dog"]), rough.embed_texts(["dog"]))
    assert (exact.embed_texts(["dog"]) * rough.embed_texts(["dog"])).sum() > 0.98


def test_a_folder_without_weights_or_settings_is_refused(models, tmp_path):
    with pytest.raises(MissingWeights, match=r"open_clip_config\.json"):
        OpenClipEmbedder(tmp_path, CONFIG)
    shutil.copy(models("open_clip") / "open_clip_config.json", tmp_path)
    (tmp_path / "open_clip_pytorch_model.bin").write_bytes(b"a pickle, which is never opened")
    with pytest.raises(MissingWeights, match="holds no safetensors"):
        OpenClipEmbedder(tmp_path, CONFIG)
