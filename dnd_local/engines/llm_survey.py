"""What a chat server says of itself: which models it serves, what it is, whether it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import httpx
import msgspec
from msgspec import Struct

from dnd_local.core.errors import Refused, UserError
from dnd_local.engines.llm_address import Address
from dnd_local.store.openai_batch import ENDPOINT, read_completion

KEY_VARIABLE: Final = "DND_LOCAL_LLM_KEY"
"""Holds the key of a server named with --llm-url, if it asks for one."""


SHORT: Final = [{"role": "user", "content": "Say yes."}]
"""A short question, which a server that works answers at once."""

_OLLAMA: Final = "library"
"""How Ollama names the owner of its models."""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a server says of itself.

    Attributes:
        model: the name that it serves the model by.
        version: its version of vLLM, empty if it is none.
        root: what it calls the model's root: a folder or a hub's name, empty if it does not say.
        kind: what it is, where it is not vLLM, as far as it says.
        has_switch: whether it takes the switch of thinking for its chat template.
    """

    model: str
    version: str
    root: str = ""
    kind: str = ""
    has_switch: bool = False

    @property
    def server(self) -> str:
        """The server's kind and version in words."""
        return f"vLLM {self.version}" if self.version else self.kind or "of unknown kind"


class _Entry(Struct, frozen=True):
    """One model of a server's list; `parent` is there for an adapter over another model."""

    id: str
    root: str | None = None
    parent: str | None = None
    owned_by: str | None = None


class _Listing(Struct, frozen=True):
    data: list[_Entry]


def survey(address: Address, key: str, model: str = "", root: str | None = None) -> ServerFacts:
    """Return what a server says of itself and of one of its models.

    Args:
        address: where it listens.
        key: what it wants as bearer token.
        model: the name of the model; the only one that it serves if empty.
        root: the root that `model` had when its run began, None where there is no such run.

    Raises:
        UserError: nothing answers there, or not as a chat server does; it does not serve `model`,
            or several and none was named.
        Refused: it does not serve the `model` of a run, or by another root.
    """
    try:
        with address.client(key, timeout_s=30.0) as client:
            answer = client.get("/v1/models")
            answer.raise_for_status()
            served = msgspec.json.decode(answer.content, type=_Listing).data
            told = client.get("/version")
            version = str(told.json()["version"]) if told.status_code == 200 else ""
            kind = "" if version else _kind(client, served, answer.headers.get("server", ""))
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
    entry = _chosen(address, served, model, root)
    return ServerFacts(entry.id, version, entry.root or "", kind)


def _chosen(address: Address, served: Sequence[_Entry], model: str, root: str | None) -> _Entry:
    names = ", ".join(entry.id for entry in served) or "no model"
    for entry in served:
        if entry.id == model and root in (None, entry.root or ""):
            return entry
    if root is not None:
        now = ", ".join(f"'{entry.id}' (root '{entry.root or ''}')" for entry in served)
        raise Refused(
            f"this run was answered by '{model}' (root '{root}') so far, and the server at "
            f"{address} serves {now or 'no model'}; what is missing is not mixed in from another "
            "model: serve the same one again, or give another --run NAME"
        )
    bases = [entry for entry in served if entry.parent is None]
    if not model and len({entry.root or entry.id for entry in bases}) == 1:
        return bases[0]
    if not model and served:
        raise UserError(f"the server at {address} serves {names}; choose one with --llm-model NAME")
    raise UserError(f"the server at {address} serves {names}, not '{model}'")


def _kind(client: httpx.Client, served: Sequence[_Entry], header: str) -> str:
    """Return what a server other than vLLM is, by its models' owner or its own header."""
    owner = next((entry.owned_by for entry in served if entry.owned_by), "")
    if owner == _OLLAMA:
        told = client.get("/api/version")
        return f"Ollama {told.json()['version']}" if told.status_code == 200 else "Ollama"
    return owner or header


def try_out(address: Address, key: str, facts: ServerFacts, timeout_s: float) -> None:
    """Pass if a server answers a short question.

    Raises:
        UserError: it does not, or not with a chat completion; the message says how.
    """
    asked = {"model": facts.model, "messages": SHORT, "max_tokens": 4}
    how = ""
    try:
        with address.client(key, timeout_s=timeout_s) as client:
            answer = client.post(ENDPOINT, json=asked)
        if answer.status_code != 200:
            how = f"status {answer.status_code}: {brief(answer.content)}"
        else:
            read_completion(answer.content)
    except httpx.TimeoutException:
        how = f"no answer within {timeout_s:g} s"
    except (httpx.HTTPError, ValueError) as error:
        how = str(error) or type(error).__name__
    if how:
        raise UserError(
            f"the server at {address} does not answer a short question to its model "
            f"'{facts.model}' ({how}); mend it, or give another --llm-model or --llm-url"
        )


def has_switch(address: Address, key: str, facts: ServerFacts, timeout_s: float) -> bool:
    """Return whether a server takes ``chat_template_kwargs``, which turn a model's thinking off.

    vLLM does. Of the others some do, some pass over what they do not know, and some refuse it.
    """
    if facts.version:
        return True
    asked = {"model": facts.model, "messages": SHORT, "max_tokens": 4}
    asked["chat_template_kwargs"] = {"enable_thinking": False}
    try:
        with address.client(key, timeout_s=timeout_s) as client:
            return client.post(ENDPOINT, json=asked).status_code == 200
    except httpx.HTTPError:
        return False


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
