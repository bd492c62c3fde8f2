"""Where a session ran: recorded beside results for people to read, never an input."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Final
from urllib.parse import urlsplit

from dnd_local.store.guard import is_guarded, is_local
from dnd_local.store.netns import why_no_loopback

LIBRARIES: Final = (
    "dnd-local",
    "torch",
    "torchvision",
    "transformers",
    "diffusers",
    "accelerate",
    "open_clip_torch",
)


def software() -> dict[str, str]:
    """Return the versions of Python and of the libraries behind the engines; imports none."""
    versions = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def remote_host(llm_url: str) -> str:
    """Return the machine a language model's address leads to, "" where it is this one."""
    host = urlsplit(llm_url).hostname or ""
    return "" if is_local(host) else host


def isolation(workers: int, cluster: str = "") -> str:
    """Return how this process and its worker processes are kept off the network, in words."""
    here = "this process guarded" if is_guarded() else "this process not guarded"
    if cluster:
        return f"{here}; workers guarded, on the Ray cluster '{cluster}', without a namespace"
    if workers == 1:
        return here
    if reason := why_no_loopback():
        return f"{here}; workers guarded, without a namespace: {reason}"
    return f"{here}; workers guarded, in an empty network namespace"
