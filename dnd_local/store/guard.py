"""The air gap inside a Python process: switches, and a hook that refuses sockets and hubs' code.

`go_offline` runs before any model library is imported, since they read their switches once. The
audit hook cannot be removed again and sees Python's own sockets only; what C code does is shown
by the network namespace test (`store/netns.py`).
"""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from pathlib import Path
from types import FrameType
from typing import Any, Final

from dnd_local.core.errors import Refused
from dnd_local.store.hub_code import EVENTS, caches, hide_packages, refuse_cached_code

SWITCHES: Final[Mapping[str, str]] = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
    "DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "USE_HUB_KERNELS": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_DO_NOT_TRACK": "1",
    "WANDB_MODE": "disabled",
    "NO_ALBUMENTATIONS_UPDATE": "1",
    "NO_PROXY": "*",
    "no_proxy": "*",
}
"""What tells libraries to stay on this machine and to report nothing."""

PROXIES: Final = ("http_proxy", "https_proxy", "all_proxy", "ftp_proxy", "ws_proxy", "wss_proxy")
"""A proxy on the loopback address would carry a call out past the hook, so these are dropped."""

_HTTP_LIBRARIES = frozenset({"httpx", "httpcore", "anyio", "requests", "urllib3", "aiohttp"})
_LOOK_UPS = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"})
_ADDRESSED = frozenset({"socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg"})
_allowed: set[str] = set()
_guarded: list[bool] = []
_hub_caches: tuple[str, ...] = ()


def offline_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return an environment for a child process: every switch set, no proxy."""
    kept = {name: value for name, value in environment.items() if name.lower() not in PROXIES}
    return {**kept, **SWITCHES}


def child_environment() -> dict[str, str]:
    """Return `offline_environment` in which a child Python finds this package, installed or not."""
    package = str(Path(__file__).resolve().parents[2])
    old = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([package, old]) if old else package
    return {**offline_environment(), "PYTHONPATH": path}


def go_offline(
    allow: Iterable[str] = (), environment: MutableMapping[str, str] = os.environ
) -> None:
    """Set every offline switch and refuse, from now on, each socket that leaves the machine.

    Code that a hub hands out is refused as well, cached copies included (`store/hub_code.py`).

    Args:
        allow: host names or addresses that the user has said may be reached; looked up here,
            before the hook is in place.
        environment: where the switches are set.

    Raises:
        Refused: an allowed host is not known to this machine.
    """
    for name in [name for name in environment if name.lower() in PROXIES]:
        del environment[name]
    environment.update(SWITCHES)
    for host in allow:
        _allowed.update({host, *_addresses(host)})
    global _hub_caches
    _hub_caches = caches()
    if not _guarded:
        hide_packages()
        _guarded.append(True)
        sys.addaudithook(_hook)


def is_guarded() -> bool:
    """Return whether this process has the hook."""
    return bool(_guarded)


def is_local(host: object) -> bool:
    """Return whether a host name or address is this machine by its loopback interface."""
    if isinstance(host, bytes | bytearray):
        host = bytes(host).decode("latin-1")
    if not isinstance(host, str):
        return False
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.split("%")[0])
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _addresses(host: str) -> set[str]:
    try:
        return {str(info[4][0]) for info in socket.getaddrinfo(host, None)}
    except OSError:
        raise Refused(
            f"host '{host}' was to be allowed, but this machine does not know it"
        ) from None


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse a socket that would leave the machine, and code from a hub's cache."""
    if event in EVENTS:
        refuse_cached_code(event, arguments, _hub_caches)
    if not event.startswith("socket."):
        return
    if event in _LOOK_UPS:
        host = arguments[0]
        if host not in (None, "", b"") and not is_local(host) and host not in _allowed:
            raise Refused(_text(f"looking up '{_plain(host)}'"))
    elif event in _ADDRESSED:
        _check_address(event.removeprefix("socket."), *arguments[:2])


def _check_address(verb: str, used: Any, address: Any) -> None:
    if address is None or used.family == getattr(socket, "AF_UNIX", None):
        return
    host = address[0] if isinstance(address, tuple) and address else address
    if not is_local(host) and host not in _allowed:
        raise Refused(_text(f"a socket's {verb} to '{_plain(host)}'"))


def _text(what: str) -> str:
    return (
        f"{what} was refused, by {_caller(sys._getframe(2))}: after the weights are pulled, "
        "nothing here uses a network"
    )


def _plain(host: object) -> str:
    return host.decode("latin-1") if isinstance(host, bytes) else str(host)


def _caller(frame: FrameType | None) -> str:
    """Return the nearest code that is neither Python's own nor an HTTP library's."""
    standard = Path(os.__file__).parent
    fallback = "unknown code"
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        where = f"{path.name}:{frame.f_lineno} in {frame.f_globals.get('__name__', '?')}"
        internal = path == Path(__file__) or path.parts[:1] == ("<frozen",)
        if not internal and fallback == "unknown code":
            fallback = where
        packaged = "site-packages" in path.parts
        library = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if (
            not internal
            and library not in _HTTP_LIBRARIES
            and (packaged or standard not in path.parents)
        ):
            return where
        frame = frame.f_back
    return fallback
