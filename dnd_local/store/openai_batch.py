"""Requests and replies in the form of the OpenAI chat API, one at a time or as a batch file.

A batch file carries the same messages to a model elsewhere that the local one gets. Each request
goes by the key of its whole content, so that a reply finds its request whatever happened to the
file in between, and the same question is never asked twice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from dnd_local.core.conversations import Reply, Request
from dnd_local.core.digest import canonical, key
from dnd_local.core.errors import BadConfig
from dnd_local.core.sequences import distinct

ENDPOINT: Final = "/v1/chat/completions"
MAX_LINE_BYTES: Final = 1 << 20
"""A reply of five words that takes more than this is no reply."""

MOST_LINES: Final = 50_000
MOST_BYTES: Final = 200_000_000
"""What the service takes in one file."""

Family: TypeAlias = Literal["chat", "reasoning"]
THINKING_TOKENS: Final = 4096
"""Room for the thought of a reasoning model, where the run sets none."""


class _Message(Struct, frozen=True):
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class _Choice(Struct, frozen=True):
    message: _Message
    finish_reason: str | None = None


class _Completion(Struct, frozen=True):
    choices: list[_Choice]


class _Response(Struct, frozen=True):
    status_code: int
    body: msgspec.Raw = msgspec.Raw(b"null")


class _Line(Struct, frozen=True):
    custom_id: str
    response: _Response | None = None
    error: Any = None


@dataclass(frozen=True, slots=True)
class BatchReplies:
    """What a file of replies held: usable replies by request id, and a sentence a bad line."""

    replies: Mapping[str, Reply]
    problems: tuple[str, ...]


def request_id(request: Request) -> str:
    """Return the id a request goes by: the key of its whole content."""
    return key(request)


def chat_messages(request: Request) -> list[dict[str, str]]:
    """Return the turns of a request as every model gets them."""
    return [{"role": turn.role, "content": turn.text} for turn in request.messages]


def read_completion(body: bytes) -> Reply:
    """Return the first choice of a chat completion.

    Where a model spent all it had on thinking, which its server told apart, the thought stands in
    the reply as an unfinished one, for the checks to reject.

    Raises:
        ValueError: the body is not a chat completion; the message says how.
    """
    try:
        completion = msgspec.json.decode(body, type=_Completion)
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, or of another shape
        raise ValueError(f"not a chat completion: {error}") from None
    if not completion.choices:
        raise ValueError("not a chat completion: no choices")
    choice = completion.choices[0]
    if choice.message.refusal:
        return Reply(choice.message.refusal, "refusal")
    text, thought = choice.message.content, choice.message.reasoning_content
    thought = thought or choice.message.reasoning
    if not text and thought:
        text = f"<think>{thought}"
    return Reply(text or "", choice.finish_reason or "stop")


def batch_lines(requests: Iterable[Request], model: str, family: Family = "chat") -> list[str]:
    """Return one line of a batch file for each different request, in order of appearance.

    Args:
        requests: what is asked.
        model: the model's name at the service.
        family: "reasoning" for models that refuse a temperature and count the tokens of their
            thought against the limit; "chat" for the others.
    """
    lines: dict[str, str] = {}
    for request in requests:
        name = request_id(request)
        if name not in lines:
            body: dict[str, Any] = {
                "model": model,
                "messages": chat_messages(request),
                "seed": request.seed,
            }
            thought = request.thinking
            if family == "chat":
                body["temperature"] = request.temperature
            else:
                thought = thought or THINKING_TOKENS
            if request.max_tokens:
                body["max_completion_tokens"] = request.max_tokens + thought
            line = {"custom_id": name, "method": "POST", "url": ENDPOINT, "body": body}
            lines[name] = canonical(line).decode()
    return list(lines.values())


def batch_files(lines: Iterable[str]) -> list[list[str]]:
    """Return lines in as many files as the service takes: by their number and their bytes."""
    files: list[list[str]] = []
    room = 0
    for line in lines:
        size = len(line.encode()) + 1
        if not files or len(files[-1]) == MOST_LINES or size > room:
            files.append([])
            room = MOST_BYTES
        files[-1].append(line)
        room -= size
    return files


def read_batch_file(path: Path, asked: Collection[str]) -> BatchReplies:
    """Return the replies of a batch output file; see `read_batch_lines`.

    Raises:
        BadConfig: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return read_batch_lines(_lines(file), asked)
    except OSError as error:
        raise BadConfig(f"cannot read replies {path}: {error.strerror}") from None


def read_batch_lines(lines: Iterable[bytes], asked: Collection[str]) -> BatchReplies:
    """Return the replies among the lines of a batch output file to the requests `asked`.

    A line that is malformed, answers nothing that was asked or carries an error does not enter; it
    becomes one sentence with its number. Of lines that answer one request in different words none
    enters, and each is named. What has no reply afterwards is asked again in the next export.
    """
    answers: dict[str, list[tuple[int, Reply]]] = {}
    problems: list[tuple[int, str]] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            name, reply = _read_line(line)
            if name not in asked:
                raise ValueError(f"unknown id '{_short(name)}': this run did not ask that")
            answers.setdefault(name, []).append((number, reply))
        except ValueError as error:
            problems.append((number, str(error)))
    replies: dict[str, Reply] = {}
    for name, given in answers.items():
        if len({reply for _, reply in given}) == 1:
            replies[name] = given[0][1]
            continue
        every = ", ".join(str(number) for number, _ in given)
        told = f"id '{_short(name)}' has different replies on lines {every}; none of them counts"
        problems += [(number, told) for number, _ in given]
    return BatchReplies(
        replies, tuple(f"line {number}: {problem}" for number, problem in sorted(problems))
    )


def missing(requests: Sequence[Request], replies: Collection[str]) -> tuple[Request, ...]:
    """Return the requests without a reply, each once, in order of appearance."""
    return tuple(r for r in distinct(requests) if request_id(r) not in replies)


def _read_line(line: bytes) -> tuple[str, Reply]:
    if len(line) > MAX_LINE_BYTES:
        raise ValueError(f"longer than {MAX_LINE_BYTES} bytes")
    try:
        read = msgspec.json.decode(line, type=_Line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"malformed: {error}") from None
    if read.error is not None:
        raise ValueError(f"id '{_short(read.custom_id)}' failed: {_short(str(read.error))}")
    if read.response is None:
        raise ValueError(f"id '{_short(read.custom_id)}' has no response")
    if read.response.status_code != 200:
        raise ValueError(
            f"id '{_short(read.custom_id)}' failed with status {read.response.status_code}: "
            f"{_short(bytes(read.response.body).decode(errors='replace'))}"
        )
    return read.custom_id, read_completion(bytes(read.response.body))


def _lines(file: Any) -> Iterator[bytes]:
    """Yield the lines of a binary file, none longer than one byte over the limit.

    What a too long line has beyond that is read and dropped.
    """
    while line := file.readline(MAX_LINE_BYTES + 1):
        rest = line
        while not rest.endswith(b"\n") and rest:
            rest = file.readline(MAX_LINE_BYTES + 1)
        yield line


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:79] + "…"
