"""The check of the server's key, in front of an application that counts what reaches it."""

import asyncio

import pytest

from dnd_local.engines._server_key import KeyGuard


@pytest.fixture
def ask(monkeypatch):
    """Return a function from a scope to what was sent back, with "through" for the application."""
    monkeypatch.setenv("VLLM_API_KEY", "right")

    async def app(scope, receive, send):
        await send("through")

    guard = KeyGuard(app)

    def run(kind="http", path="/v1/models", headers=()):
        sent = []

        async def send(message):
            sent.append(message)

        scope = {"type": kind, "path": path, "headers": list(headers)}
        asyncio.run(guard(scope, None, send))
        return sent

    return run


ROUTES = ["/v1/chat/completions", "/tokenize", "/metrics", "/load", "/version", "/", "/health/", ""]
KEY = (b"authorization", b"Bearer right")


@pytest.mark.parametrize("path", ROUTES)
def test_every_route_asks_for_the_key(ask, path):
    assert ask(path=path, headers=[KEY]) == ["through"]
    wrong = [(b"authorization", b"Bearer wrong")]
    for headers in ([], wrong, [(b"authorization", b"right")], [KEY, KEY], [*wrong, KEY]):
        start, body = ask(path=path, headers=headers)
        assert start["status"] == 401
        assert body["body"] == b'{"error": "Unauthorized"}'


def test_its_health_is_open(ask):
    assert ask(path="/health") == ["through"]


def test_a_websocket_is_closed_and_the_start_of_the_server_passes(ask):
    assert ask("websocket")[0]["type"] == "websocket.close"
    assert ask("lifespan") == ["through"]
