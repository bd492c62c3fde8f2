"""Tokenizers for the painter, the embedder and the captioner, built from the world's own words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import Regex as Pattern
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from dnd_local.core.sequences import distinct
from dnd_local.pocket.captions import corpus

START, END = "<|startoftext|>", "<|endoftext|>"
SPLIT = r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"


def clip_tokenizer(length: int, size: int = 1600) -> Any:
    """Return a CLIPTokenizer in which every word of the world is one token.

    Words from elsewhere fall apart into known pieces, down to single bytes.

    Args:
        length: The longest text, in tokens, start and end included.
        size: The most tokens the vocabulary may have.
    """
    from transformers import CLIPTokenizer

    trained = Tokenizer(models.BPE(continuing_subword_prefix="", end_of_word_suffix="</w>"))
    trained.normalizer = normalizers.Lowercase()
    trained.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Pattern(SPLIT), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        initial_alphabet=alphabet,
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    trained.train_from_iterator(corpus(), trainer)
    model = json.loads(trained.to_str())["model"]
    merges = [tuple(pair) for pair in model["merges"]]
    pieces = alphabet + [f"{letter}</w>" for letter in alphabet]
    pieces += [first + second for first, second in merges]
    vocabulary = {piece: place for place, piece in enumerate(distinct(pieces))}
    vocabulary[START] = len(vocabulary)
    vocabulary[END] = len(vocabulary)
    return CLIPTokenizer(
        vocab=vocabulary,
        merges=merges,
        unk_token=END,
        bos_token=START,
        eos_token=END,
        pad_token=END,
        model_max_length=length,
    )


def bert_tokenizer(length: int) -> Any:
    """Return a BertTokenizer over the world's words, letters and the usual special tokens."""
    from transformers import BertTokenizer

    words = sorted({word for text in corpus() for word in text.replace(",", " ").split()})
    letters = sorted(
        {letter for word in words for letter in word}
        | set("abcdefghijklmnopqrstuvwxyz0123456789.,-")
    )
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", "[ENC]"]
    pieces = [*special, *letters, *(f"##{letter}" for letter in letters), *words]
    vocabulary = {piece: place for place, piece in enumerate(distinct(pieces))}
    return BertTokenizer(
        vocab=vocabulary,
        model_max_length=length,
        bos_token="[DEC]",
        additional_special_tokens=["[ENC]"],
    )


def tidy(folder: Path) -> None:
    """Drop what saved configurations say about the machine they were made on."""
    for path in (*folder.rglob("config.json"), *folder.rglob("tokenizer_config.json")):
        config = json.loads(path.read_text(encoding="utf-8"))
        kept = {key: value for key, value in config.items() if not key.endswith("name_or_path")}
        path.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
