"""Inputs and outputs of the released functions on made-up inputs, a JSON object a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec


def golden(name: str) -> list[dict[str, Any]]:
    """Return the lines of `<name>.jsonl`."""
    lines = (Path(__file__).parent / f"{name}.jsonl").read_bytes()
    return list(msgspec.json.Decoder(dict[str, Any]).decode_lines(lines))
