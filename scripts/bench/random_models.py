"""Models with random weights, laid out as real ones are, at real or tiny size.

They cost and occupy what trained models of the same configuration do, and say nothing. For figures
of speed and memory where no trained weights are at hand, on a CPU or a GPU.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch


@dataclass(frozen=True, slots=True)
class Sizes:
    """What differs between the real configurations and their tiny likenesses."""

    unet: Mapping[str, Any]
    vae: Mapping[str, Any]
    clip_text: Mapping[str, Any]
    blip_text: Mapping[str, Any]
    blip_vision: Mapping[str, Any]
    open_clip: Mapping[str, Any]
    llama: Mapping[str, Any]
    picture: int


REAL: Final = Sizes(
    unet={"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8},
    vae={
        "block_out_channels": (128, 256, 512, 512), "layers_per_block": 2, "sample_size": 512,
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
    },
    clip_text={
        "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
        "num_attention_heads": 12,
    },
    blip_text={
        "hidden_size": 768, "encoder_hidden_size": 768, "intermediate_size": 3072,
        "num_hidden_layers": 12, "num_attention_heads": 12,
    },
    blip_vision={"image_size": 384, "patch_size": 16},
    open_clip={
        "embed_dim": 512,
        "vision_cfg": {"image_size": 224, "layers": 12, "width": 768, "patch_size": 16},
        "text_cfg": {
            "context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12,
        },
    },
    llama={
        "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
        "num_attention_heads": 9, "num_key_value_heads": 3,
    },
    picture=512,
)  # fmt: skip
"""Stable Diffusion 1, BLIP base, CLIP ViT-B/16, a language model of about 135 million weights."""

TINY: Final = Sizes(
    unet={
        "sample_size": 4, "cross_attention_dim": 16, "attention_head_dim": 4,
        "block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    },
    vae={
        "block_out_channels": (8, 16), "norm_num_groups": 4,
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
    },
    clip_text={
        "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
        "num_attention_heads": 2,
    },
    blip_text={
        "hidden_size": 32, "encoder_hidden_size": 32, "intermediate_size": 64,
        "num_hidden_layers": 2, "num_attention_heads": 2,
    },
    blip_vision={
        "image_size": 32, "patch_size": 8, "hidden_size": 32, "intermediate_size": 64,
        "num_hidden_layers": 2, "num_attention_heads": 2,
    },
    open_clip={
        "embed_dim": 16,
        "vision_cfg": {
            "image_size": 32, "layers": 2, "width": 32, "patch_size": 8, "head_width": 16,
        },
        "text_cfg": {
            "context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2,
        },
    },
    llama={
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 2,
    },
    picture=8,
)  # fmt: skip

WORDS: Final = ("a", "the", "of", "on", "red", "dog", "cat", "car", "ball", "house", "tree", "sky")


def save_painter(folder: Path, sizes: Sizes) -> None:
    """Write a Stable Diffusion pipeline in half precision, with letters for a vocabulary."""
    from diffusers import (
        AutoencoderKL,
        PNDMScheduler,
        StableDiffusionPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    tokens = [*letters, *(x + "</w>" for x in letters), "<|startoftext|>", "<|endoftext|>"]
    text = CLIPTextConfig(
        vocab_size=len(tokens),
        max_position_embeddings=77,
        bos_token_id=len(tokens) - 2,
        eos_token_id=len(tokens) - 1,
        pad_token_id=len(tokens) - 1,
        **sizes.clip_text,
    )
    torch.manual_seed(0)
    StableDiffusionPipeline(
        vae=AutoencoderKL(**sizes.vae).half(),
        text_encoder=CLIPTextModel(text).half(),
        tokenizer=CLIPTokenizer(
            vocab={token: i for i, token in enumerate(tokens)}, merges=[], model_max_length=77
        ),
        unet=UNet2DConditionModel(**sizes.unet).half(),
        scheduler=PNDMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            steps_offset=1,
            skip_prk_steps=True,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)


def save_captioner(folder: Path, sizes: Sizes) -> None:
    """Write a BLIP."""
    from transformers import (
        BertTokenizer,
        BlipConfig,
        BlipForConditionalGeneration,
        BlipImageProcessor,
    )

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]"]
    vocab = {word: i for i, word in enumerate([*special, *WORDS])}
    side = sizes.blip_vision["image_size"]
    BertTokenizer(vocab=vocab, bos_token="[DEC]").save_pretrained(folder)
    BlipImageProcessor(size={"height": side, "width": side}).save_pretrained(folder)
    text = {
        **sizes.blip_text,
        "vocab_size": 30524 if sizes is REAL else len(vocab),
        "bos_token_id": vocab["[DEC]"],
        "eos_token_id": vocab["[SEP]"],
        "sep_token_id": vocab["[SEP]"],
        "pad_token_id": vocab["[PAD]"],
    }
    torch.manual_seed(1)
    BlipForConditionalGeneration(
        BlipConfig(text_config=text, vision_config=dict(sizes.blip_vision))
    ).save_pretrained(folder)


def save_embedder(folder: Path, sizes: Sizes) -> None:
    """Write a CLIP for open_clip."""
    import open_clip
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    config = {"model_cfg": sizes.open_clip, "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    torch.manual_seed(2)
    model = open_clip.CLIP(**json.loads(json.dumps(sizes.open_clip)))
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")


def save_language_model(folder: Path, sizes: Sizes) -> None:
    """Write a Llama."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    special = ["<pad>", "<s>", "</s>", "<unk>", "\n"]
    vocab = {word: i for i, word in enumerate([*special, *WORDS])}
    core = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", bos_token="<s>", eos_token="</s>",
        unk_token="<unk>",
    )  # fmt: skip
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m['role'] }} {{ m['content'] }} {% endfor %}"
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(3)
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=49152 if sizes is REAL else len(vocab),
            max_position_embeddings=2048,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
            **sizes.llama,
        )
    ).save_pretrained(folder)


def save_target(folder: Path, sizes: Sizes) -> None:
    """Write ResNet-50's state dict; its tiny likeness is the smallest of the family."""
    from safetensors.torch import save_file
    from torchvision.models import resnet18, resnet50

    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(4)
    network = resnet50() if sizes is REAL else resnet18()
    save_file(network.state_dict(), folder / "model.safetensors")


MAKERS: Final[Mapping[str, Callable[[Path, Sizes], None]]] = {
    "target": save_target,
    "captioner": save_captioner,
    "language-model": save_language_model,
    "painter": save_painter,
    "embedder": save_embedder,
}
"""One a role."""
