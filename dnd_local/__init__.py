"""Plain-word descriptions of the neurons of a vision network, made entirely on your own machine.

from dnd_local import dissect

result = dissect("pocket", "layer4", ids="1,2,3")
for description in result.descriptions:
    print(description.neuron, [label.text for label in description.labels])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dnd_local.pipeline.request import dissect as dissect

__version__ = "0.1.0"
__all__ = ["dissect"]


def __getattr__(name: str) -> Any:
    # On first use: the command line imports this package and must start fast.
    if name == "dissect":
        from dnd_local.pipeline.request import dissect
        from dnd_local.store.guard import go_offline

        go_offline()
        return dissect
    raise AttributeError(f"module 'dnd_local' has no attribute '{name}'")
