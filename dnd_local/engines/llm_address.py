"""Where a language model's server listens: a Unix socket, or an HTTP address of this machine."""

from __future__ import annotations

import functools
import ssl
from dataclasses import dataclass

import httpx

from dnd_local.core.errors import BadConfig, Refused
from dnd_local.store.guard import is_local


@dataclass(frozen=True, slots=True)
class Address:
    """A server's address: `base` is its URL without ``/v1``, `socket` a path or empty.

    `remote` is true for a machine other than this one; runs and reports name such a server.
    """

    base: str
    socket: str = ""
    remote: bool = False

    def __str__(self) -> str:
        return f"unix:{self.socket}" if self.socket else self.base

    def client(self, key: str, timeout_s: float) -> httpx.Client:
        """Return a client that talks to this address only: no proxy, no redirect."""
        return httpx.Client(
            base_url=self.base,
            headers=_headers(key),
            timeout=timeout_s,
            trust_env=False,
            follow_redirects=False,
            transport=httpx.HTTPTransport(uds=self.socket) if self.socket else None,
        )

    def lane(self, key: str) -> httpx.AsyncClient:
        """Return a client of one connection, for one request after the other, without time limit.

        One client with hundreds of connections spends more time on choosing one of them than
        vLLM on the reply; hundreds of these cost nothing.
        """
        secure = self.base.startswith("https:")
        return httpx.AsyncClient(
            base_url=self.base,
            headers=_headers(key),
            timeout=None,
            trust_env=False,
            follow_redirects=False,
            transport=httpx.AsyncHTTPTransport(
                verify=_certificates() if secure else False,
                uds=self.socket or None,
                limits=httpx.Limits(max_connections=1),
            ),
        )


def read_address(text: str, *, allow_remote: bool = False) -> Address:
    """Return the address written as ``unix:/path/to/socket`` or ``http://127.0.0.1:8000``.

    Raises:
        BadConfig: the text is neither.
        Refused: it names another machine and `allow_remote` is not set.
    """
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        path = path.removeprefix("//")
        if not path.startswith("/"):
            raise BadConfig(f"language model address '{text}' needs a full path, as unix:/run/llm")
        return Address("http://localhost", path)
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise BadConfig(f"language model address '{text}' is not a URL: {error}") from None
    if url.scheme not in ("http", "https") or not url.host or url.userinfo or url.query:
        raise BadConfig(
            f"language model address '{text}' must read unix:/path or http://127.0.0.1:PORT"
        )
    remote = not is_local(url.host)
    if remote and not allow_remote:
        raise Refused(
            f"language model address '{text}' is on another machine ({url.host}), and captions of "
            f"your pictures would be sent there; give --allow-remote-llm if you mean it"
        )
    return Address(str(url).rstrip("/").removesuffix("/v1").rstrip("/"), remote=remote)


@functools.cache
def _certificates() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)


def _headers(key: str) -> dict[str, str]:
    # A few hundred bytes gain nothing from packing, and what is not packed cannot burst.
    plain = {"Accept-Encoding": "identity"}
    return plain | ({"Authorization": f"Bearer {key}"} if key else {})
