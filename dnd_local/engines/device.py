"""Where a model's weights go, in which precision, and what happens when they do not fit.

Devices are named as in `Execution.devices`: ``"cpu"``, or the index of a CUDA device (``"0"``, or
torch's ``"cuda:0"``). The first one is home: inputs go there. The others, and the machine's memory,
take what does not fit, through accelerate.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import accelerate
import torch
from torch import nn

from dnd_local.core.errors import BadConfig, OutOfMemory, UnknownName

CPU: Final = ("cpu",)

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_MAX: Final = -4
"""Parameters of glibc's `mallopt`."""

_DTYPES: Final = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}
_SPARE = 1.25
"""A model counts as fitting if this many times its weights are free: activations need room."""

_SHARE = 0.85
"""Of a device's free memory, the share that split weights may take."""

Placement = tuple[Mapping[str, str | int] | str, Mapping[str | int, int] | None]
"""What accelerate calls `device_map` and `max_memory`."""


def dtype_of(name: str) -> torch.dtype:
    """Return the torch dtype called `name` in the settings.

    Raises:
        UnknownName: it is none of ours.
    """
    if name not in _DTYPES:
        raise UnknownName("dtype", name, _DTYPES, f"Use one of {', '.join(_DTYPES)}.")
    return _DTYPES[name]


def home(devices: Sequence[str]) -> torch.device:
    """Return the device that inputs go to.

    Raises:
        UnknownName: a device that this machine has not.
    """
    here = ("cpu", *map(str, range(torch.cuda.device_count())))
    for name in devices or ("none",):
        if name.removeprefix("cuda:") not in here:
            raise UnknownName("device", name, here, f"This machine has {', '.join(here)}.")
    return torch.device("cpu") if devices[0] == "cpu" else torch.device("cuda", _index(devices[0]))


def _index(name: str) -> int:
    return int(name.removeprefix("cuda:"))


def cpu_threads() -> int:
    """Return how many threads torch shares one operation out to, in this process."""
    return torch.get_num_threads()


def make_deterministic() -> None:
    """Ask torch for the same bits each time; numbers of threads stay as they are.

    Filling fresh memory, which that switch also does, only costs time and is turned off. Where a
    kernel has no deterministic form torch goes on with the one it has: on a GPU results are
    promised within tolerance only. 32-bit means 32-bit: no TensorFloat-32.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    settings: Any = torch.utils.deterministic
    settings.fill_uninitialized_memory = False
    cudnn: Any = torch.backends.cudnn
    cudnn.benchmark = False
    cudnn.conv.fp32_precision = "ieee"
    torch.backends.cuda.matmul.fp32_precision = "ieee"


def keep_freed_memory() -> None:
    """Let the allocator of the C library (glibc; others are left alone) keep what is freed.

    A batch's activations are large enough to be returned to the system after each operation and
    asked for again at the next, page by page: a fifth of a convolutional network's time.
    """
    allocator = getattr(ctypes.CDLL(None), "mallopt", None)
    if allocator is not None:
        allocator(_M_MMAP_MAX, 0)
        allocator(_M_TRIM_THRESHOLD, 2**31 - 1)


def free_memory(device: int) -> int:
    """Return the free bytes of a CUDA device."""
    return int(torch.cuda.mem_get_info(device)[0])  # GPU only


def placement(
    devices: Sequence[str], size: int, free: Callable[[int], int] = free_memory
) -> Placement:
    """Return accelerate's `device_map` and `max_memory` for a model of `size` bytes.

    All of it at home where that is the CPU or has room; otherwise split over the devices, in
    their order, then the machine's memory.
    """
    if home(devices).type == "cpu":
        return {"": "cpu"}, None
    return _split([_index(name) for name in devices], size, free)


def _split(indices: Sequence[int], size: int, free: Callable[[int], int]) -> Placement:
    room = {index: free(index) for index in indices}
    if size * _SPARE <= room[indices[0]]:
        return {"": indices[0]}, None
    limits: dict[str | int, int] = {index: int(room[index] * _SHARE) for index in indices}
    limits["cpu"] = int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES") * _SHARE)
    return "auto", limits


def place(module: nn.Module, devices: Sequence[str]) -> nn.Module:
    """Return the module with its weights on `devices`; blocks with a shortcut stay in one piece.

    Raises:
        UnknownName: a device that this machine has not.
    """
    tensors = [*module.parameters(), *module.buffers()]
    where, limits = placement(devices, sum(t.numel() * t.element_size() for t in tensors))
    if not isinstance(where, str):
        return module.to(home(devices))
    split = accelerate.infer_auto_device_map(  # GPU only
        module, max_memory=dict(limits or {}), no_split_module_classes=_blocks(module)
    )
    return accelerate.dispatch_model(module, split)  # type: ignore[no-any-return]  # GPU only


def _blocks(module: nn.Module) -> list[str]:
    """Return the class names that must not be cut apart: what is repeated inside containers.

    Residual blocks and transformer layers live in a `Sequential` or a list and have children.
    """
    containers = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
    return sorted(
        {
            type(child).__name__
            for parent in module.modules()
            if isinstance(parent, containers)
            for child in parent.children()
            if not isinstance(child, containers) and any(child.children())
        }
    )


def no_bars() -> None:
    """Keep transformers from drawing progress bars: ours is one line a stage."""
    from transformers.utils import logging as theirs

    theirs.disable_progress_bar()


def loading(
    folder: Path, devices: Sequence[str], dtype: str, quantisation: str = "none"
) -> dict[str, Any]:
    """Return the keywords with which a transformers model is loaded from a local folder.

    Safetensors only, nothing fetched, no code from the folder run.

    Raises:
        BadConfig: a quantisation that transformers models have not.
    """
    no_bars()
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    where, limits = placement(devices, size)
    keywords: dict[str, Any] = {
        "dtype": dtype_of(dtype),
        "device_map": where,
        "local_files_only": True,
        "use_safetensors": True,
        "trust_remote_code": False,
    }
    if limits is not None:
        keywords["max_memory"] = limits
    if quantisation != "none":
        keywords["quantization_config"] = quantised(quantisation, dtype)
    return keywords


def quantised(kind: str, dtype: str) -> Any:
    """Return the bitsandbytes settings for `int8` or `int4` (NF4) weights.

    Raises:
        BadConfig: another kind.
    """
    from transformers import BitsAndBytesConfig

    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # a line for every product in fp32
    if kind == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    if kind == "int4":
        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=dtype_of(dtype),
        )
    raise BadConfig(f"quantisation '{kind}' is not for this engine; use none, int8 or int4")


def keep_precision(model: nn.Module, dtype: str) -> None:
    """Let the 4-bit layers of `model` compute in `dtype` on every CPU, whatever their widths.

    On a CPU with avx512_bf16, bitsandbytes repacks 4-bit weights at the first product and then
    computes in bfloat16, whatever was asked for; a layer whose inputs are no multiple of its block
    of 64, or whose outputs are none of 32, cannot be repacked, and the product fails. So only
    layers that may compute in bfloat16 and can be repacked are left to it.
    """
    layers: Iterator[Any] = model.modules()
    for layer in layers:
        if getattr(layer, "support_avx512bf16_for_cpu", False):
            fits = layer.in_features % 64 == 0 and layer.out_features % 32 == 0
            layer.support_avx512bf16_for_cpu = fits and dtype == "bfloat16"


@contextmanager
def out_of_memory_as_ours() -> Iterator[None]:
    """Turn torch's ways of saying that memory ran out into `OutOfMemory`.

    Raises:
        OutOfMemory: the device, or the machine, is full.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise OutOfMemory(_first_line(error)) from error
    except RuntimeError as error:
        if "DefaultCPUAllocator" not in str(error):
            raise
        raise OutOfMemory(_first_line(error)) from error


def release() -> None:
    """Give memory that no live object holds back to the devices."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()  # GPU only


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else "out of memory"
