"""Asks for the server's key on every route but its health.

vLLM asks for it under ``/v1`` and a few other prefixes only, and has routes beside them that answer
questions about texts. This module is copied into the server's private folder, where vLLM loads it
as a middleware: the standard library only, and nothing of this package.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

OPEN = "/health"
"""The one route that answers without the key: yes or no."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class KeyGuard:
    """An ASGI middleware that passes on what has the key and answers 401 to all else."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self.app = app
        self.expected = f"Bearer {os.environ['VLLM_API_KEY']}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or hand it on."""
        if scope["type"] == "lifespan" or scope.get("path") == OPEN or self._has_key(scope):
            await self.app(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        kind = (b"content-type", b"application/json")
        await send({"type": "http.response.start", "status": 401, "headers": [kind]})
        await send({"type": "http.response.body", "body": b'{"error": "Unauthorized"}'})

    def _has_key(self, scope: Scope) -> bool:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        return len(given) == 1 and secrets.compare_digest(given[0], self.expected)
