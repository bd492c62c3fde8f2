"""Running another program and reading what it prints."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from dnd_local.core.amounts import duration_text
from dnd_local.core.errors import UserError

Runner: TypeAlias = Callable[[Sequence[str]], str]
"""Runs a command and returns what it printed."""


def output_of(
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    limit_s: float | None = None,
) -> str:
    """Return what a command prints on its standard output.

    Args:
        command: program and arguments; no shell.
        environment: its variables; this process's by default. A Python never imports from the
            folder that it happens to be started in.
        limit_s: seconds it may take.

    Raises:
        UserError: it cannot be started, failed, or took too long; the message has its last line.
    """
    try:
        done = subprocess.run(
            command,
            env={**(os.environ if environment is None else environment), "PYTHONSAFEPATH": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )
    except OSError as error:
        raise UserError(f"cannot run {command[0]}: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise UserError(f"{command[0]} gave no answer in {duration_text(limit_s or 0)}") from None
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()
        raise UserError(f"`{' '.join(command[:4])}` failed: {lines[-1]}")
    return done.stdout
