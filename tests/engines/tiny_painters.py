"""Tiny pipelines with random weights of each kind of image generator that is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from tests.engines.tiny import save_stable_diffusion, widen

LETTERS = [chr(c) for c in range(ord("a"), ord("z") + 1)]


def save_sd2(folder: Path) -> Path:
    """Stable Diffusion 2 is of SD 1's class; it predicts velocity, as its schedule says."""
    save_stable_diffusion(folder)
    path = folder / "scheduler" / "scheduler_config.json"
    schedule = json.loads(path.read_text())
    path.write_text(json.dumps(schedule | {"prediction_type": "v_prediction"}))
    return folder


def clip_text(width: int, *, projected: bool, seed: int) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    torch.manual_seed(seed)
    config = CLIPTextConfig(
        vocab_size=54, hidden_size=width, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=16, projection_dim=width, bos_token_id=52,
        eos_token_id=53, pad_token_id=53,
    )  # fmt: skip
    text = (CLIPTextModelWithProjection if projected else CLIPTextModel)(config)
    widen(text, seed)
    return text


def clip_tokenizer() -> Any:
    from transformers import CLIPTokenizer

    tokens = [*LETTERS, *(x + "</w>" for x in LETTERS), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={t: i for i, t in enumerate(tokens)}, merges=[], model_max_length=16)


def save_sdxl(folder: Path) -> Path:
    from diffusers import (
        AutoencoderKL,
        EulerDiscreteScheduler,
        StableDiffusionXLPipeline,
        UNet2DConditionModel,
    )

    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=4, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4,
        cross_attention_dim=32, attention_head_dim=(2, 4), transformer_layers_per_block=(1, 1),
        use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=64,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(8, 16), norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    )  # fmt: skip
    StableDiffusionXLPipeline(
        vae=vae,
        text_encoder=clip_text(16, projected=False, seed=3),
        text_encoder_2=clip_text(16, projected=True, seed=4),
        tokenizer=clip_tokenizer(),
        tokenizer_2=clip_tokenizer(),
        unet=unet,
        scheduler=EulerDiscreteScheduler(beta_schedule="scaled_linear", timestep_spacing="leading"),
        add_watermarker=False,
    ).save_pretrained(folder)
    return folder


def save_sdxl_turbo(folder: Path) -> Path:
    """XL's Turbo is of XL's class; its schedule adds noise and is spaced "trailing"."""
    from diffusers import EulerAncestralDiscreteScheduler

    save_sdxl(folder)
    EulerAncestralDiscreteScheduler(
        beta_schedule="scaled_linear", timestep_spacing="trailing"
    ).save_pretrained(folder / "scheduler")
    index = json.loads((folder / "model_index.json").read_text())
    index["scheduler"] = ["diffusers", "EulerAncestralDiscreteScheduler"]
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def save_flux2_klein(folder: Path) -> Path:
    from diffusers import (
        AutoencoderKLFlux2,
        FlowMatchEulerDiscreteScheduler,
        Flux2KleinPipeline,
        Flux2Transformer2DModel,
    )
    from transformers import Qwen2Tokenizer, Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    letters = [*LETTERS, "Ġ", "<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer = Qwen2Tokenizer(vocab={t: i for i, t in enumerate(letters)}, merges=[])
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    text = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=64, hidden_size=8, intermediate_size=16, num_hidden_layers=27,
            num_attention_heads=2, num_key_value_heads=1, head_dim=4, max_position_embeddings=512,
        )
    )  # fmt: skip
    widen(text, 5)
    transformer = Flux2Transformer2DModel(
        in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16,
        num_attention_heads=2, joint_attention_dim=24, timestep_guidance_channels=16,
        axes_dims_rope=(4, 4, 4, 4), guidance_embeds=False,
    )  # fmt: skip
    vae = AutoencoderKLFlux2(
        block_out_channels=(8, 16), latent_channels=4, norm_num_groups=4, layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    )  # fmt: skip
    Flux2KleinPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=vae,
        text_encoder=text,
        tokenizer=tokenizer,
        transformer=transformer,
        is_distilled=True,
    ).save_pretrained(folder)
    return folder


def save_lora(folder: Path, network: torch.nn.Module, rank: int = 2) -> Path:
    """Save a LoRA in the form of LCM-LoRA for every matrix of a denoising network's attention."""
    generator = torch.Generator().manual_seed(7)
    tensors = {}
    for name, module in network.named_modules():
        weight = getattr(module, "weight", None)
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d) and "attentions" in name:
            assert weight is not None
            key = f"lora_unet_{name.replace('.', '_')}"
            out, inputs, *kernel = weight.shape
            tensors[f"{key}.lora_down.weight"] = torch.randn(
                rank, inputs, *kernel, generator=generator
            )
            tensors[f"{key}.lora_up.weight"] = torch.randn(
                out, rank, *(1 for _ in kernel), generator=generator
            )
            tensors[f"{key}.alpha"] = torch.tensor(1.0)
    folder.mkdir(parents=True)
    save_file(tensors, folder / "pytorch_lora_weights.safetensors")
    return folder
