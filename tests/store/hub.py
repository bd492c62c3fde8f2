"""A model hub on this machine, with the real one's layout, and manifests that point at it."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec

from dnd_local.store.manifest import Manifest, parse_manifest
from dnd_local.store.pins import PINS_NAME, Pins
from dnd_local.store.weights import Weights

REPOSITORY = "someone/some-model"
REVISION = "0123456789abcdef0123456789abcdef01234567"
LARGE = 4096
"""From this size on a file is kept as the hub keeps large files: behind a redirect."""


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class Asked:
    method: str
    path: str
    range: str | None
    authorization: str | None
    host: str


@dataclass
class FakeHub:
    """What the server serves, how it misbehaves, and what it was asked."""

    files: dict[str, bytes]
    token: str = ""
    per_second: float = 0.0
    truncate: dict[str, int] = field(default_factory=dict)
    alter: set[str] = field(default_factory=set)
    fail_first: dict[str, int] = field(default_factory=dict)
    ranges: bool = True
    heads: bool = True
    head_status: int = 405
    statuses: dict[str, int] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    sent: dict[str, int] = field(default_factory=dict)
    port: int = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def gets(self, part: str) -> list[Asked]:
        return [one for one in self.asked if one.method == "GET" and part in one.path]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: FakeHub

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        hub = self.hub
        hub.asked.append(
            Asked(
                self.command,
                self.path,
                self.headers["Range"],
                self.headers["Authorization"],
                self.headers["Host"],
            )
        )
        if not body and not hub.heads:
            return self._plain(hub.head_status, {})
        if self.path.startswith("/lfs/"):
            name = next(n for n, d in hub.files.items() if sha256(d) == self.path[5:])
            return self._file(name, {"ETag": '"cdn"'}, body)
        start = f"/{REPOSITORY}/resolve/{REVISION}/"
        name = self.path.partition("?")[0].removeprefix(start).removeprefix("/plain/")
        if name in hub.statuses:
            return self._plain(hub.statuses[name], {})
        if hub.token and self.headers["Authorization"] != f"Bearer {hub.token}":
            return self._plain(401, {"X-Error-Code": "GatedRepo"})
        if name not in hub.files:
            return self._plain(404, {"X-Error-Code": "EntryNotFound"})
        data = hub.files[name]
        common = {"X-Repo-Commit": REVISION, "Accept-Ranges": "bytes"}
        if len(data) < LARGE or self.path.startswith("/plain/"):
            blob = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False)
            return self._file(name, {**common, "ETag": f'"{blob.hexdigest()}"'}, body)
        linked = {
            "Location": f"http://localhost:{hub.port}/lfs/{sha256(data)}",
            "X-Linked-Size": str(len(data)),
            "X-Linked-ETag": f'"{sha256(data)}"',
            "ETag": f'"{sha256(data)}"',
        }
        return self._plain(302, {**common, **linked})

    def _plain(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _file(self, name: str, headers: Mapping[str, str], body: bool) -> None:
        hub, data, status = self.hub, self.hub.files[name], 200
        if name in hub.alter:
            data = data[:-1] + bytes([data[-1] ^ 1])
        whole, begin = len(data), 0
        extra = dict(headers)
        if self.headers["Range"] and hub.ranges:
            begin = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
            if begin >= whole:
                return self._plain(416, {"Content-Range": f"bytes */{whole}"})
            status, extra["Content-Range"] = 206, f"bytes {begin}-{whole - 1}/{whole}"
        if body and hub.fail_first.get(name, 0) > 0:
            hub.fail_first[name] -= 1
            return self._plain(503, {})
        payload = data[begin:]
        self.send_response(status)
        for key, value in extra.items():
            self.send_header(key, value)
        cut = hub.truncate.get(name)
        if cut is not None and body:
            payload = payload[: max(cut - begin, 0)]
            self.close_connection = True
        self.send_header("Content-Length", str(len(payload) if cut == -1 else whole - begin))
        self.end_headers()
        if body:
            self._send(name, payload)
        return None

    def _send(self, name: str, payload: bytes) -> None:
        step = 16384
        for at in range(0, len(payload), step):
            piece = payload[at : at + step]
            try:
                self.wfile.write(piece)
            except OSError:
                return
            self.hub.sent[name] = self.hub.sent.get(name, 0) + len(piece)
            if self.hub.per_second:
                time.sleep(len(piece) / self.hub.per_second)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    address_family = 2


@contextmanager
def serving(hub: FakeHub) -> Iterator[FakeHub]:
    """Serve a hub on a free loopback port."""
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = _Server(("127.0.0.1", 0), handler)
    hub.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def entry(
    name: str = "model",
    files: Mapping[str, bytes] | None = None,
    *,
    known: bool = True,
    **changes: Any,
) -> dict[str, Any]:
    """Return a manifest entry as JSON values, its files hashed where `known`."""
    lines = [
        {
            "path": path,
            "size": len(data) if known else None,
            "sha256": sha256(data) if known else None,
        }
        for path, data in (files or {}).items()
    ]
    source = {"kind": "hub", "repository": REPOSITORY, "revision": REVISION}
    return {
        "id": name,
        "role": "captioner",
        "source": source,
        "licence": {"spdx": "MIT", "link": "https://example.org/terms"},
        "gated": False,
        "files": lines,
        "dtype": "float32",
        "profiles": ["paper"],
        "memory": None,
        **changes,
    }


def manifest(*entries: Mapping[str, Any]) -> Manifest:
    return parse_manifest(msgspec.json.encode({"schema": 1, "entries": entries}))


def weights(root: Path, *entries: Mapping[str, Any], models: Path | None = None) -> Weights:
    return Weights(root, manifest(*entries), Pins.read(root / PINS_NAME), models)


def put(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write files below a folder."""
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


class Watcher:
    """A progress that remembers."""

    def __init__(self) -> None:
        self.expected, self.bytes, self.lines = 0, 0, []

    def total(self, size: int) -> None:
        self.expected = size

    def landed(self, size: int) -> None:
        self.bytes += size

    def say(self, text: str) -> None:
        self.lines.append(text)
