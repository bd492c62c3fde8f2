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
__all__ = [
    "Description",
    "Run",
    "compare",  # noqa: F822 - __getattr__ finds it; importing its types would be a circle
    "dissect",
    "neuron_card",  # noqa: F822
    "open_run",
]

_PLACES = {
    "Description": ("core.descriptions", "Description"),
    "Run": ("pipeline.reading", "StoredRun"),
    "compare": ("report.notebook", "compare"),
    "dissect": ("pipeline.python", "dissect"),
    "neuron_card": ("report.notebook", "neuron_card"),
    "open_run": ("pipeline.reading", "open_run"),
}


def __getattr__(name: str) -> Any:
    # On first use: the command line imports this package and must start fast.
    if name not in _PLACES:
        raise AttributeError(f"module 'dnd_local' has no attribute '{name}'")
    from dnd_local.store.guard import go_offline

    go_offline()
    _show_in_notebooks()
    module, attribute = _PLACES[name]
    return getattr(import_module(f"dnd_local.{module}"), attribute)


def _show_in_notebooks() -> None:
    """Let runs and results show themselves as the report draws them, loaded when one is shown."""
    from dnd_local.core.cards import Drawn

    if not Drawn.draw:
        Drawn.draw.append(lambda value: import_module("dnd_local.report.notebook").html_of(value))
