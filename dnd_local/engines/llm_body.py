"""A request as the body of a chat completion, for a server of whatever kind."""

from __future__ import annotations

from typing import Any, Final

from dnd_local.core.conversations import Request
from dnd_local.engines.llm_survey import ServerFacts
from dnd_local.store.openai_batch import chat_messages

_CONTROL: Final = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
"""What a line cannot hold: control characters and the separators of lines."""


def chat_body(request: Request, facts: ServerFacts) -> dict[str, Any]:
    """Return the body of a request to a server.

    Where the request limits its characters and the server is vLLM, it holds the reply to one
    line, unless that line comes after a thought. Without `max_tokens` a server's limit is the
    model's context.
    """
    body: dict[str, Any] = {
        "model": facts.model,
        "messages": chat_messages(request),
        "temperature": request.temperature,
        "seed": request.seed,
    }
    if request.max_tokens:
        body["max_tokens"] = request.max_tokens + request.thinking
    if facts.version and request.max_characters and not request.thinking:
        more = rf"[^{_CONTROL}]{{0,{request.max_characters - 1}}}"
        body["structured_outputs"] = {"regex": rf"[^\s{_CONTROL}]{more}"}
    if facts.version or facts.has_switch:
        body["chat_template_kwargs"] = {"enable_thinking": bool(request.thinking)}
    if facts.version:
        # A server that someone else started may take these from a file of the model.
        body |= {"top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}
    return body
