"""The environment of a vLLM server: what it needs, and nothing that it does not.

It is built from a list of what may pass, not of what may not: credentials come under names that
no list foresees, and vLLM itself has variables that load plugins, open routes or report usage.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from dnd_local.core.errors import BadConfig
from dnd_local.store.guard import SWITCHES

_PASSES: Final = re.compile(
    r"""
      PATH | HOME | USER | LOGNAME | SHELL | TZ | LANG | LANGUAGE
    | LD_LIBRARY_PATH | LD_PRELOAD | LIBRARY_PATH | CPATH | CC | CXX
    | PYTHONPATH | PYTHONHOME | PYTHONHASHSEED | VIRTUAL_ENV | CONDA_PREFIX
    | XDG_CACHE_HOME | XDG_CONFIG_HOME | TORCHINDUCTOR_CACHE_DIR | TRITON_CACHE_DIR
    | CUDA_(HOME|PATH|DEVICE_ORDER|CACHE_PATH|MODULE_LOADING|DEVICE_MAX_CONNECTIONS)
    | PYTORCH_(CUDA_ALLOC_CONF|ALLOC_CONF|KERNEL_CACHE_PATH)
    | (LC|OMP|GOMP|KMP|MKL|OPENBLAS|NVIDIA|NCCL)_[A-Z0-9_]+
    | VLLM_CPU_(KVCACHE_SPACE|OMP_THREADS_BIND|NUM_OF_RESERVED_CPU)
    | VLLM_(CACHE_ROOT|LOGGING_LEVEL|WORKER_MULTIPROC_METHOD|ENGINE_READY_TIMEOUT_S)
    """,
    re.VERBOSE,
)
"""What a program needs to find itself and its language, what steers threads, GPUs and caches, and
the variables of vLLM that change speed, memory and the log."""


def server_variables(
    environ: Mapping[str, str], devices: Sequence[str], key: str, folder: Path
) -> dict[str, str]:
    """Return the server's whole environment.

    Args:
        environ: this process's environment.
        devices: "cpu", or CUDA indices.
        key: the key that the server asks for; on the command line every user of the machine
            would see it.
        folder: the server's private folder.

    Raises:
        BadConfig: an index beyond those that CUDA_VISIBLE_DEVICES shows.
    """
    kept = {name: value for name, value in environ.items() if _PASSES.fullmatch(name)}
    fixed = {
        "VLLM_API_KEY": key,
        "VLLM_HOST_IP": "127.0.0.1",
        "VLLM_LOOPBACK_IP": "127.0.0.1",
        "MASTER_ADDR": "127.0.0.1",
        "NCCL_SOCKET_IFNAME": "lo",
        "GLOO_SOCKET_IFNAME": "lo",
        # Sockets and other temporary files of the server lie in its folder and go with it.
        "VLLM_RPC_BASE_PATH": str(folder),
        "TMPDIR": str(folder),
        # No plugin of the server's environment is loaded, but for the one that reads 4 bits.
        "VLLM_PLUGINS": "bitsandbytes",
    }
    if tuple(devices) == ("cpu",):
        fixed["CUDA_VISIBLE_DEVICES"] = ""
        kept.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    else:
        fixed["CUDA_VISIBLE_DEVICES"] = ",".join(visible_devices(devices, environ))
    return kept | dict(SWITCHES) | fixed


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
