"""Plain-word descriptions of the neurons of a vision network, made entirely on your own machine.

from dnd_local import dissect, open_run

result = dissect("pocket", "layer4", ids=[1, 2, 3])
for description in result.descriptions:
    print(description.neuron, [label.text for label in description.labels])
run = open_run(result.record.name)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dnd_local.core.descriptions import Description as Description
    from dnd_local.pipeline.python import dissect as dissect
    from dnd_local.pipeline.reading import StoredRun as Run
    from dnd_local.pipeline.reading import open_run as open_run

__version__ = "0.1.0"
__all__ = ["Description", "Run", "dissect", "open_run"]

_PLACES = {
    "Description": ("core.descriptions", "Description"),
    "Run": ("pipeline.reading", "StoredRun"),
    "dissect": ("pipeline.python", "dissect"),
    "open_run": ("pipeline.reading", "open_run"),
}


def __getattr__(name: str) -> Any:
    # On first use: the command line imports this package and must start fast.
    if name not in _PLACES:
        raise AttributeError(f"module 'dnd_local' has no attribute '{name}'")
    from dnd_local.store.guard import go_offline

    go_offline()
    module, attribute = _PLACES[name]
    return getattr(import_module(f"dnd_local.{module}"), attribute)
