"""The command line and environment of a vLLM server for one local model; nothing is run here.

What the server must never do (listen beyond this machine, run code that came with a model, load
a pickle, report usage, reach for a hub) is fixed; the rest is chosen from the model and the free
memory, and can be overridden.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from dnd_local.core.config import Dtype
from dnd_local.core.errors import BadConfig, MissingWeights, Refused, UserError
from dnd_local.store.guard import offline_environment

Quantisation = Literal["none", "int8", "int4", "fp8"]

_FIXED: Final = (
    "--model",
    "--served-model-name",
    "--host",
    "--port",
    "--uds",
    "--api-key",
    "--config",
    "--trust-remote-code",
    "--load-format",
    "--data-parallel-size",
    "--headless",
)
"""Options that are ours to set, or not to be set at all."""

_MEANING: Final = {
    "--quantization": "give --llm-quantisation",
    "--dtype": "give --llm-dtype",
    "--kv-cache-dtype": "leave it out",
    "--tokenizer": "leave it out",
    "--chat-template": "leave it out",
    "--hf-overrides": "leave it out",
    "--generation-config": "leave it out",
    "--override-generation-config": "leave it out",
    "--enable-lora": "leave it out",
    "--lora-modules": "leave it out",
}
"""Options that change what the model says, and what to do instead: how a model is served is in no
key, so they would change labels unseen."""

_LETTERS: Final = {"-q": "--quantization", "-dp": "--data-parallel-size"}
"""Short forms, and the option that each stands for or begins."""

_LENGTH_ON_GPU: Final = 4096
_LENGTH_ON_CPU: Final = 2048
_SHORTEST: Final = 1024
_MOST_OF_MEMORY: Final = 0.9
_OVERHEAD_BYTES: Final = 2 << 30
"""Activations, graphs and the CUDA context, generously."""

_WEIGHT_BYTES: Final = {"none": 1.0, "int8": 0.55, "fp8": 0.55, "int4": 0.35}
"""Size of quantised weights as a share of 16-bit ones."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What is served and how; `options` are extra vLLM options, which win over our choices."""

    model: Path
    devices: tuple[str, ...] = ("cpu",)
    dtype: Dtype = "bfloat16"
    quantisation: Quantisation = "none"
    seed: int = 0
    options: tuple[str, ...] = ()

    @property
    def on_cpu(self) -> bool:
        return self.devices == ("cpu",)


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a model's folder says about its size; `cache_bytes` is the KV cache of one token."""

    length: int
    heads: int
    cache_bytes: int
    weight_bytes: int


@dataclass(frozen=True, slots=True)
class GpuMemory:
    """Free and total bytes of the GPU that has the least free."""

    free: int
    total: int


def read_model(folder: Path) -> ModelFacts:
    """Return the facts of a model folder in Hugging Face format with safetensors weights.

    Raises:
        MissingWeights: no config.json or no safetensors file (a pickle is not an alternative).
        BadConfig: config.json is not a language model's.
    """
    config_file, weights = folder / "config.json", sorted(folder.glob("*.safetensors"))
    if not config_file.is_file() or not weights:
        raise MissingWeights(
            f"{folder} is not a language model: it needs config.json and *.safetensors files"
        )
    try:
        config = json.loads(config_file.read_text(encoding="utf-8"))
        config = config.get("text_config", config)
        heads = int(config["num_attention_heads"])
        cache = int(config.get("num_key_value_heads") or heads)
        width = int(config.get("head_dim") or int(config["hidden_size"]) // heads)
        return ModelFacts(
            length=int(config.get("max_position_embeddings") or _LENGTH_ON_GPU),
            heads=heads,
            cache_bytes=2 * 2 * int(config["num_hidden_layers"]) * cache * width,
            weight_bytes=sum(path.stat().st_size for path in weights),
        )
    except (ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise BadConfig(f"{config_file} is not a language model's configuration: {error}") from None


def check_options(options: Sequence[str]) -> None:
    """Pass if no extra option undoes what is fixed or changes what the model says.

    Abbreviated, underscored and dotted forms are seen through.

    Raises:
        Refused: one does.
    """
    for option in options:
        name = option.partition("=")[0].partition(".")[0].replace("_", "-")
        name = next((_LETTERS[short] for short in _LETTERS if option.startswith(short)), name)
        if not name.startswith("--") or len(name) < 3:
            continue
        if clash := [fixed for fixed in _FIXED if fixed.startswith(name)]:
            raise Refused(
                f"vLLM option '{option}' is not passed on ({clash[0]} is ours to set: local, "
                f"safetensors only, no code from the model); leave it out"
            )
        if clash := [own for own in _MEANING if own.startswith(name)]:
            raise Refused(
                f"vLLM option '{option}' is not passed on ({clash[0]} changes what the model says, "
                f"and results would not tell); {_MEANING[clash[0]]}"
            )


def read_gpu_memory(devices: Sequence[str]) -> GpuMemory | None:
    """Return the memory of the fullest of the CUDA `devices`, None where nvidia-smi is silent."""
    query = ["--query-gpu=memory.free,memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(
            ["nvidia-smi", *query, "-i", ",".join(devices)],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        ).stdout
        pairs = [[int(n) << 20 for n in line.split(",")] for line in answer.splitlines() if line]
        return GpuMemory(*min(pairs))
    except (OSError, subprocess.SubprocessError, ValueError, TypeError):
        return None


def visible_devices(devices: Sequence[str], environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return `devices` (indices as torch counts them here) as the driver names them.

    Raises:
        BadConfig: an index beyond those that CUDA_VISIBLE_DEVICES shows.
    """
    indices = [device.removeprefix("cuda:") for device in devices]
    shown = [name.strip() for name in environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    if not shown:
        return tuple(indices)
    try:
        return tuple(shown[int(index)] for index in indices)
    except (ValueError, IndexError):
        raise BadConfig(
            f"devices {', '.join(devices)}: CUDA_VISIBLE_DEVICES shows only {', '.join(shown)}"
        ) from None


def server_options(
    settings: ServerSettings, facts: ModelFacts, memory: GpuMemory | None
) -> list[str]:
    """Return the options of the server but for where it listens; the user's own come last.

    Raises:
        UserError: the model does not fit, or the quantisation is not to be had.
    """
    check_options(settings.options)
    options = ["--model", str(settings.model.absolute()), "--served-model-name", "local"]
    options += ["--dtype", settings.dtype, "--seed", str(settings.seed)]
    # The requests say all there is to say about sampling; a file of the model has no part in it.
    options += ["--generation-config", "vllm", "--enable-prefix-caching", "--disable-fastapi-docs"]
    options += ["--disable-uvicorn-access-log", *_quantisation(settings.quantisation)]
    if settings.on_cpu:
        length = min(facts.length, _LENGTH_ON_CPU)
        options += ["--enforce-eager", "--max-model-len", str(length)]
    else:
        shares = _shares(len(settings.devices), facts.heads)
        fraction, length = _fit(facts, settings.quantisation, memory, shares)
        options += ["--tensor-parallel-size", str(shares), "--max-model-len", str(length)]
        options += ["--gpu-memory-utilization", f"{fraction:.2f}"]
    return [*options, *settings.options]


def server_variables(
    settings: ServerSettings, environ: Mapping[str, str], key: str, folder: Path
) -> dict[str, str]:
    """Return the server's environment: `environ`, less its secrets, plus what is fixed."""
    offline = offline_environment(environ)
    kept = {name: value for name, value in offline.items() if not _is_dropped(name)}
    fixed = {
        "VLLM_API_KEY": key,  # not on the command line, where every user of the machine sees it
        "VLLM_HOST_IP": "127.0.0.1",
        "VLLM_LOOPBACK_IP": "127.0.0.1",
        "MASTER_ADDR": "127.0.0.1",
        "NCCL_SOCKET_IFNAME": "lo",
        "GLOO_SOCKET_IFNAME": "lo",
        "VLLM_RPC_BASE_PATH": str(folder),
    }
    if settings.on_cpu:
        fixed["CUDA_VISIBLE_DEVICES"] = ""
        fixed["VLLM_CPU_KVCACHE_SPACE"] = environ.get("VLLM_CPU_KVCACHE_SPACE", "1")
    else:
        fixed["CUDA_VISIBLE_DEVICES"] = ",".join(visible_devices(settings.devices, environ))
    return kept | fixed


def _is_dropped(name: str) -> bool:
    """Return whether a variable is a secret, or opens routes of vLLM that change the server."""
    secret = name.startswith(("HF_TOKEN", "HUGGING_FACE")) or name.endswith("_API_KEY")
    return secret or name in ("VLLM_SERVER_DEV_MODE", "VLLM_ALLOW_RUNTIME_LORA_UPDATING")


def _quantisation(name: Quantisation) -> list[str]:
    if name == "int8":
        raise UserError(
            "vLLM quantises to 8 bits as it loads only with fp8 (llm.quantisation = 'fp8'), and "
            "with bitsandbytes only to 4 (int4); choose one of them, or --llm transformers"
        )
    names = {"none": "", "int4": "bitsandbytes", "fp8": "fp8_per_tensor"}
    # The bitsandbytes plugin brings a loader of its own, for the same safetensors files.
    formats = [] if name == "int4" else ["--load-format", "safetensors"]
    return [*formats, *(["--quantization", names[name]] if names[name] else [])]


def _shares(devices: int, heads: int) -> int:
    """Return the most devices that the attention heads divide evenly over."""
    return max(n for n in range(1, devices + 1) if heads % n == 0)


def _fit(
    facts: ModelFacts, quantisation: Quantisation, memory: GpuMemory | None, shares: int
) -> tuple[float, int]:
    """Return the share of a GPU's memory to take and the longest conversation that fits in it."""
    length: int = min(facts.length, _LENGTH_ON_GPU)
    if memory is None:
        return _MOST_OF_MEMORY, length
    fraction = min(_MOST_OF_MEMORY, int(95 * memory.free / memory.total) / 100)
    weights = facts.weight_bytes * _WEIGHT_BYTES[quantisation] / shares
    room = fraction * memory.total - weights - _OVERHEAD_BYTES
    while length > _SHORTEST and room < length * facts.cache_bytes / shares:
        length //= 2
    if room < length * facts.cache_bytes / shares:
        raise UserError(
            f"the language model needs about {_gib(weights + _OVERHEAD_BYTES)} on each GPU and "
            f"{_gib(memory.free)} are free; take more devices, llm.quantisation = 'fp8' or 'int4', "
            f"or a smaller llm.model"
        )
    return fraction, length


def _gib(size: Any) -> str:
    return f"{size / (1 << 30):.1f} GiB"
