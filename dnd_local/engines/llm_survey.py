"""What a chat server says of itself: which model it serves, and whether it is vLLM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import httpx
import msgspec

from dnd_local.core.errors import UserError
from dnd_local.engines.llm_address import Address

KEY_VARIABLE: Final = "DND_LOCAL_LLM_KEY"
"""Holds the key of a server named with --llm-url, if it asks for one."""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a server says of itself: its model, and its version of vLLM, empty if it is none."""

    model: str
    version: str


def survey(address: Address, key: str, model: str = "") -> ServerFacts:
    """Return what a server says of itself; `model` if given, else the first that it serves.

    Raises:
        UserError: nothing answers there, or not as a chat server does.
    """
    try:
        with address.client(key, timeout_s=30.0) as client:
            listing = client.get("/v1/models")
            listing.raise_for_status()
            served = [str(entry["id"]) for entry in listing.json()["data"]]
            version = client.get("/version")
            vllm = str(version.json()["version"]) if version.status_code == 200 else ""
    except httpx.HTTPStatusError as error:
        raise UserError(
            f"the server at {address} answered {error.response.status_code} when asked for its "
            f"models; check the address and the variable {KEY_VARIABLE}"
        ) from None
    except httpx.HTTPError as error:
        raise UserError(
            f"no language model server answers at {address} ({brief(str(error).encode())}); start "
            f"it, or leave --llm-url out and one is started for you"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise UserError(f"what answers at {address} is not a chat server: no list of models") from (
            None
        )
    if not served or (model and model not in served):
        raise UserError(
            f"the server at {address} serves {', '.join(served) or 'no model'}, not '{model}'"
        )
    return ServerFacts(model or served[0], vllm)


def brief(body: bytes) -> str:
    """Return what an error's body says, in one short line."""
    text = body.decode(errors="replace")
    try:
        told = msgspec.json.decode(body)
        text = str(told["error"]["message"])
    except (msgspec.MsgspecError, KeyError, TypeError):
        pass
    line = " ".join(text.split())
    return line if len(line) <= 200 else line[:199] + "…"
