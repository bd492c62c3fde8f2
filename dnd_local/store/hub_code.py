"""Code that a hub hands out: never imported and never run, cached copies included.

Three ways lead to such code: the package `kernels`, which libraries ask for compiled code as soon
as it is installed; ``torch.hub``, which runs a repository's ``hubconf.py``; and the modules of
models and pipelines that transformers and diffusers copy into a cache. The first is hidden. For all
of them, the audit hook of `store/guard.py` refuses code and libraries that lie in a hub's cache.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Final

from dnd_local.core.errors import Refused
from dnd_local.core.sequences import distinct

HIDDEN: Final = ("kernels",)
"""Packages that exist to run a hub's code; to every library they are not installed."""

_NAMED: Final = (
    "HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_MODULES_CACHE", "TRANSFORMERS_CACHE",
    "KERNELS_CACHE", "HF_KERNELS_CACHE",
)  # fmt: skip
"""Variables that name a hub's cache; all that is in one is data."""

EVENTS: Final = frozenset({"exec", "import", "ctypes.dlopen"})
"""The events of Python under which code begins to run or a library is loaded."""


def hide_packages(modules: MutableMapping[str, ModuleType | None] = sys.modules) -> None:  # type: ignore[assignment]
    """Make the packages that fetch code unimportable: a library that looks finds none installed."""
    for name in [name for name in modules if name.partition(".")[0] in HIDDEN]:
        del modules[name]
    # What the import system looks at first; None there means that there is no such module.
    modules.update(dict.fromkeys(HIDDEN))


def caches(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return the folders of all hubs' caches, as written and with links followed."""
    cache = Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    torch_home = Path(environment.get("TORCH_HOME") or cache / "torch")
    folders = [cache / "huggingface", torch_home / "hub"]
    folders += [Path(environment[name]) for name in _NAMED if environment.get(name)]
    written = [os.path.abspath(folder.expanduser()) for folder in folders]
    both = [*written, *map(os.path.realpath, written)]
    return tuple(distinct(folder + os.sep for folder in both))


def refuse_cached_code(event: str, arguments: tuple[Any, ...], folders: tuple[str, ...]) -> None:
    """Refuse one of `EVENTS` if what begins to run lies in one of the folders.

    Raises:
        Refused: it does.
    """
    path = _path(event, arguments)
    if path and os.path.abspath(path).startswith(folders):
        raise Refused(
            f"code from a hub's cache was not run: {path}; only what the manifest names is used"
        )


def _path(event: str, arguments: tuple[Any, ...]) -> str:
    """Return the file of the code or library, empty where there is none."""
    # ("exec", code), ("import", module, filename, …) and ("ctypes.dlopen", name)
    place = arguments[1] if event == "import" else arguments[0]
    if isinstance(place, CodeType):
        place = place.co_filename
    return place if isinstance(place, str) and os.sep in place else ""
