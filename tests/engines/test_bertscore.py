"""BERTScore against torchmetrics, one pair at a time, on a tiny random model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, BertConfig, BertModel, BertTokenizerFast

from dnd_local.engines.bertscore import BertScorer

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS += ["red", "dog", "cat", "blue", "big", "sky", "a", "the", "of", "snow"]
PREDICTIONS = ["red dog", "cat", "big blue sky of snow", "a dog", "sky"]
REFERENCES = ["dog", "blue cat", "sky", "a big red dog of snow", "snow sky"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("tiny-bert")
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
    )
    BertModel(config).save_pretrained(path)
    BertTokenizerFast(vocab={word: i for i, word in enumerate(WORDS)}).save_pretrained(path)
    return path


def test_each_pair_has_torchmetrics_score_whatever_its_company(folder: Path) -> None:
    torchmetrics = pytest.importorskip("torchmetrics.functional.text.bert")
    model = AutoModel.from_pretrained(folder).eval()
    tokenizer = BertTokenizerFast.from_pretrained(folder)
    theirs = [
        torchmetrics.bert_score(
            [one], [other], model=model, user_tokenizer=tokenizer, num_layers=2, max_length=16
        )["f1"].item()
        for one, other in zip(PREDICTIONS, REFERENCES, strict=True)
    ]
    ours = BertScorer(folder, layer=2).score(PREDICTIONS, REFERENCES)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_a_text_is_one_with_itself_and_an_empty_one_with_none(folder: Path) -> None:
    scorer = BertScorer(folder, layer=1)
    scores = scorer.score(["red dog", "", ""], ["red dog", "dog", ""])
    np.testing.assert_allclose(scores, [1, 0, 0], atol=1e-6)
