"""The name that a run has if nobody names it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from dnd_local.core.config import Config
from dnd_local.core.config_reading import config_digest


def default_name(config: Config, layers: Iterable[str]) -> str:
    """Return ``<target>-<layer>-<key8>``; the key is that of the whole Config.

    A setting that came later counts only where it is used: a command's run keeps its name.
    """
    target = Path(config.network.name.partition(":")[0]).stem
    words = re.sub(r"[^A-Za-z0-9._-]+", "_", f"{target}-{'+'.join(layers)}")
    return f"{words.strip('._-')[:100]}-{config_digest(config)[:8]}"
