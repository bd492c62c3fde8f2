"""The command line of a vLLM server for one local model; nothing is run here.

What the server must never do (listen beyond this machine, run code that came with a model, load
a pickle) is fixed; the rest is chosen from the model and the free memory, and can be overridden
with what `vllm_options` allows.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dnd_local.core.amounts import size_text
from dnd_local.core.config import Dtype, Execution, LlmConfig, LlmQuantisation
from dnd_local.core.errors import BadConfig, MissingWeights, UserError
from dnd_local.engines.vllm_options import read_vllm_options, written
from dnd_local.store.commands import output_of

_LENGTH_ON_GPU: Final = 4096
_LENGTH_ON_CPU: Final = 2048
_SHORTEST: Final = 1024
_MOST_OF_MEMORY: Final = 0.9
_OVERHEAD_BYTES: Final = 2 << 30
"""Activations, graphs and the CUDA context, generously."""

_TENSOR: Final = "--tensor-parallel-size"
_DATA: Final = "--data-parallel-size"

_WEIGHT_BYTES: Final = {"none": 1.0, "int8": 0.55, "fp8": 0.55, "int4": 0.35}
"""Size of quantised weights as a share of 16-bit ones."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What is served and how; `options` are extra vLLM options, which win over our choices."""

    model: Path
    devices: tuple[str, ...] = ("cpu",)
    dtype: Dtype = "bfloat16"
    quantisation: LlmQuantisation = "none"
    seed: int = 0
    options: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        llm: LlmConfig,
        model: Path,
        execution: Execution,
        devices: Sequence[str] | None = None,
    ) -> ServerSettings:
        """Return how a run serves the model of a folder; on the run's devices if not given."""
        on = tuple(devices or execution.devices)
        return cls(model, on, llm.dtype, llm.quantisation, options=execution.vllm_options)

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


def read_gpu_memory(devices: Sequence[str]) -> GpuMemory | None:
    """Return the memory of the fullest of the CUDA `devices`, None where nvidia-smi is silent."""
    query = ["--query-gpu=memory.free,memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = output_of(["nvidia-smi", *query, "-i", ",".join(devices)], limit_s=30)
        pairs = [[int(n) << 20 for n in line.split(",")] for line in answer.splitlines() if line]
        return GpuMemory(*min(pairs))
    except (UserError, ValueError, TypeError):
        return None


def server_options(
    settings: ServerSettings, facts: ModelFacts, memory: GpuMemory | None
) -> list[str]:
    """Return the options of the server but for where it listens; the user's take precedence.

    Raises:
        UserError: the model does not fit, or the quantisation is not to be had.
        Refused: an option that is not passed on.
    """
    given = read_vllm_options(settings.options, on_cpu=settings.on_cpu)
    options = ["--model", str(settings.model.absolute()), "--served-model-name", "local"]
    options += ["--dtype", settings.dtype, "--seed", str(settings.seed)]
    # The requests say all there is to say about sampling; a file of the model has no part in it.
    options += ["--generation-config", "vllm", "--disable-fastapi-docs"]
    options += ["--disable-uvicorn-access-log", *_quantisation(settings.quantisation)]
    chosen = {"--enable-prefix-caching": ""}
    if settings.on_cpu:
        # A CPU's random generator cannot be moved on, as a seeded request needs it that was cut
        # in a chunked prefill; vLLM 0.32 ends there.
        chosen |= {"--enforce-eager": "", "--no-enable-chunked-prefill": ""}
        chosen["--max-model-len"] = str(min(facts.length, _LENGTH_ON_CPU))
    else:
        layout = _layout(settings, facts, memory, int(given.get(_TENSOR, 0)))
        chosen[_TENSOR] = str(layout.tensor)
        if layout.data > 1:
            chosen[_DATA] = str(layout.data)
        chosen["--max-model-len"] = str(layout.length)
        chosen["--gpu-memory-utilization"] = f"{layout.fraction:.2f}"
    for name in given:
        chosen.pop(name.replace("--no-", "--", 1), None)
        chosen.pop(name.replace("--", "--no-", 1), None)
    return [*options, *written(chosen | given)]


def copies_of(options: Sequence[str]) -> int:
    """Return how many copies of the model a server with `options` holds."""
    return int(options[options.index(_DATA) + 1]) if _DATA in options else 1


def _quantisation(name: LlmQuantisation) -> list[str]:
    if name == "int8":
        raise UserError(
            "vLLM quantises to 8 bits as it loads only with fp8 (llm.quantisation = 'fp8'), and "
            "with bitsandbytes only to 4 (int4); choose one of them, or --llm transformers"
        )
    names = {"none": "", "int4": "bitsandbytes", "fp8": "fp8_per_tensor"}
    # The bitsandbytes plugin brings a loader of its own, for the same safetensors files.
    formats = [] if name == "int4" else ["--load-format", "safetensors"]
    return [*formats, *(["--quantization", names[name]] if names[name] else [])]


@dataclass(frozen=True, slots=True)
class _Layout:
    """How a model lies on the GPUs.

    `tensor` GPUs share each of `data` copies; `fraction` of a GPU's memory is taken, and the
    longest conversation has `length` tokens.
    """

    tensor: int
    data: int
    fraction: float
    length: int


def _layout(
    settings: ServerSettings, facts: ModelFacts, memory: GpuMemory | None, tensor: int
) -> _Layout:
    """Return the layout with the most copies in which a conversation keeps its full length.

    A copy on one GPU spends nothing on talk between GPUs, so a copy is spread over more of them
    only as far as memory needs it. `tensor` is the user's choice, 0 for none. Where the free
    memory is not known, one copy takes all that the attention heads divide evenly over.

    Raises:
        UserError: the model fits in no layout.
    """
    devices = len(settings.devices)
    even = [n for n in range(1, devices + 1) if facts.heads % n == 0]
    sizes = [tensor] if tensor else even if memory else even[-1:]
    fitting = []
    for size in sizes:
        room = _fit(facts, settings.quantisation, memory, size)
        if room is not None:
            fitting.append(_Layout(size, max(1, devices // size), *room))
    if not fitting:
        assert memory is not None  # without a figure every size fits
        share = facts.weight_bytes * _WEIGHT_BYTES[settings.quantisation] / sizes[-1]
        raise UserError(
            f"the language model needs about {size_text(share + _OVERHEAD_BYTES)} on each GPU and "
            f"{size_text(memory.free)} are free; take more devices, llm.quantisation = 'fp8' or "
            "'int4', or a smaller llm.model"
        )
    longest = max(layout.length for layout in fitting)
    return next(layout for layout in fitting if layout.length == longest)


def _fit(
    facts: ModelFacts, quantisation: LlmQuantisation, memory: GpuMemory | None, shares: int
) -> tuple[float, int] | None:
    """Return the share of a GPU's memory to take and the longest conversation that fits in it.

    None where the model does not fit at all.
    """
    length: int = min(facts.length, _LENGTH_ON_GPU)
    if memory is None:
        return _MOST_OF_MEMORY, length
    fraction = min(_MOST_OF_MEMORY, int(95 * memory.free / memory.total) / 100)
    weights = facts.weight_bytes * _WEIGHT_BYTES[quantisation] / shares
    room = fraction * memory.total - weights - _OVERHEAD_BYTES
    while length > _SHORTEST and room < length * facts.cache_bytes / shares:
        length //= 2
    return (fraction, length) if room >= length * facts.cache_bytes / shares else None
