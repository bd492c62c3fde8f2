"""Which options of vLLM a user may pass on: those that change speed and memory, and nothing else.

The list is closed. vLLM has some two hundred options, and among them are options that load code,
open the server, or change what the model says; how a model is served is in no key, so the last
kind would change labels unseen. An option that is not listed here is refused, and the message
names the setting that does its job.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from dnd_local.core.errors import BadConfig, Refused

_FLAG: Final = ""
_COUNT: Final = r"[1-9]\d{0,8}"
_SHARE: Final = r"0\.\d{1,6}|1(\.0{1,6})?"
_GIB: Final = r"\d{1,5}(\.\d{1,3})?"

ALLOWED: Final[Mapping[str, str]] = {
    "--max-model-len": _COUNT,
    "--max-num-seqs": _COUNT,
    "--max-num-batched-tokens": _COUNT,
    "--gpu-memory-utilization": _SHARE,
    "--kv-cache-memory-bytes": r"[1-9]\d{0,14}",
    "--cpu-offload-gb": _GIB,
    "--block-size": _COUNT,
    "--tensor-parallel-size": _COUNT,
    "--data-parallel-size": _COUNT,
    "--distributed-executor-backend": "mp|uni",
    "--disable-custom-all-reduce": _FLAG,
    "--attention-backend": r"(?!CUSTOM)[A-Z][A-Z0-9_]{2,40}",
    "--enforce-eager": _FLAG,
    "--no-enforce-eager": _FLAG,
    "--max-cudagraph-capture-size": _COUNT,
    "--enable-prefix-caching": _FLAG,
    "--no-enable-prefix-caching": _FLAG,
    "--enable-chunked-prefill": _FLAG,
    "--no-enable-chunked-prefill": _FLAG,
    "--async-scheduling": _FLAG,
    "--no-async-scheduling": _FLAG,
    "--disable-log-stats": _FLAG,
}
"""Every option that is passed on, with the pattern of its value; a flag has none."""

_SHORT: Final = {"-tp": "--tensor-parallel-size", "-dp": "--data-parallel-size"}

_LISTEN: Final = (
    "the server listens where only you can reach it; to use one that you start yourself, give "
    "--llm-url"
)
_INSTEAD: Final[Mapping[str, str]] = {
    "--quantization": "give --llm-quantisation",
    "-q": "give --llm-quantisation",
    "--dtype": "give --llm-dtype",
    "--seed": "give --seed",
    "--max-logprobs": "leave it out",
    "--model": "give --llm-model",
    "--served-model-name": "give --llm-model",
    "--tokenizer": "give --llm-model",
    "--revision": "give --llm-model",
    "--host": _LISTEN,
    "--port": _LISTEN,
    "--uds": _LISTEN,
    "--api-key": _LISTEN,
    "--max-concurrent-requests": "give --llm-concurrency",
}
_OTHERWISE: Final = "leave it out, or start such a server yourself and name it with --llm-url"

_CHUNKS: Final = "--enable-chunked-prefill"


def read_vllm_options(words: Sequence[str], *, on_cpu: bool = False) -> dict[str, str]:
    """Return the options by their full names; a flag's value is empty, the last of two counts.

    Args:
        words: the options, split as a shell would: ``--name value``, ``--name=value`` or a flag.
        on_cpu: whether the server runs on the CPU, where a chunked prefill kills vLLM.

    Raises:
        Refused: an option that is not on the list.
        BadConfig: a listed option without its value, or with one that will not do.
    """
    read: dict[str, str] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        name = _SHORT.get(name, name.replace("_", "-") if name.startswith("--") else name)
        if name not in ALLOWED:
            raise Refused(_refusal(word, name))
        if ALLOWED[name] == _FLAG:
            if equals:
                raise BadConfig(f"vLLM option '{word}': {name} takes no value")
        else:
            value = value if equals else rest.pop(0) if rest else ""
            if not re.fullmatch(ALLOWED[name], value):
                raise BadConfig(f"vLLM option {name}: '{value}' is not a value that it can take")
        if name == _CHUNKS and on_cpu:
            raise Refused(
                f"vLLM option '{word}' is not passed on: on the CPU a chunked prefill ends the "
                "server at temperatures above 0; leave it out"
            )
        read.pop(name, None)
        read[name] = value
    return read


def written(options: Mapping[str, str]) -> list[str]:
    """Return options as words of a command line."""
    return [word for name, value in options.items() for word in (name, value) if word]


def _refusal(word: str, name: str) -> str:
    instead = _INSTEAD.get(name.partition(".")[0], _OTHERWISE)
    return (
        f"vLLM option '{word}' is not passed on: only options that change speed and memory alone "
        f"are ({', '.join(name for name in ALLOWED if not name.startswith('--no-'))}); {instead}"
    )
