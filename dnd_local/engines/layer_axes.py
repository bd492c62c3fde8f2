"""Which axis of each output holds neurons, followed from module to module through one forward.

Nothing about a layer's axes is assumed; what is not decided is refused by name until the user says
it (``network.layout``).

Four axes: convolutions, pooling and 2-D norms write neurons second (n, c, h, w), linear layers and
layer norms last, torchvision's `Permute` moves them, a module that keeps the shape of an input that
was followed keeps its order. Elsewhere the sizes decide, where they fit one order alone: the map
has the aspect of the network's input.

Three axes are (n, tokens, c) where the count is that of the patch map, which is the last map
before them, and at most eight tokens (CLS, registers) in front. MLP-Mixer's insides, where the
axes are swapped, are told by their strides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from torch import Tensor, nn
from torchvision.models.convnext import LayerNorm2d
from torchvision.ops import Permute

from dnd_local.engines.layer_output import (
    HEADS,
    Layout,
    Order,
    Output,
    first_tensor,
    heads_explain,
    heads_of,
    projection_of,
)

_FIRST = (
    nn.Conv2d,
    nn.ConvTranspose2d,
    nn.BatchNorm2d,
    nn.GroupNorm,
    nn.InstanceNorm2d,
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d,
    nn.PixelShuffle,
    nn.Upsample,
    LayerNorm2d,
)
_LAST = (nn.Linear, nn.LayerNorm)
_ONE_DIMENSIONAL = (
    nn.Conv1d,
    nn.BatchNorm1d,
    nn.MaxPool1d,
    nn.AvgPool1d,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveMaxPool1d,
)
_MOST_SPECIAL: Final = 8
"""A CLS token, and at most this many special tokens in all (registers) before the patches."""

WINDOWS: Final = (
    "inside MaxViT's partition attention the first axis counts windows, not pictures; take "
    "'{outer}', where the windows are pictures again"
)
SAY = "; say what it is with --layout (tokens:1+14x16, channels-first or channels-last)"


@dataclass
class Found:
    """What one forward shows: layers that can be dissected, and why the others cannot."""

    outputs: dict[str, Output] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


class Tracker:
    """Follows the order of axes from module to module through one forward."""

    def __init__(self, pair: Tensor, layout: Layout, windows: Mapping[str, str]) -> None:
        self.found, self.windows, self.seen = Found(), windows, set[str]()
        self.sides = tuple(pair.shape[-2:])
        self.layout = layout
        self._orders: dict[int, Order | None] = {}
        self._alive: list[Tensor] = []  # an id names a tensor only while that tensor lives
        self._map: tuple[int, int] | None = None
        self.witness: dict[int, tuple[str, Tensor]] = {}

    def hook(self, path: str) -> Any:
        def note(module: nn.Module, inputs: Any, kwargs: Mapping[str, Any], output: Any) -> None:
            self.seen.add(path)
            self.found.outputs.pop(path, None)
            self.found.refused.pop(path, None)
            if path in self.windows:
                self.found.refused[path] = WINDOWS.format(outer=self.windows[path])
                return
            self._note(path, module, inputs, first_tensor(output))
            self._note_heads(path, module, inputs, kwargs, output)

        return note

    def _note(self, path: str, module: nn.Module, inputs: Any, values: Tensor | None) -> None:
        if values is None or not values.is_floating_point():
            self.found.refused[path] = "it returns no tensor of numbers"
            return
        read = self._read(path, module, first_tensor(inputs), values)
        order = read.order if isinstance(read, Output) else None
        self._orders[id(values)] = order
        self._alive.append(values)
        if isinstance(read, str):
            self.found.refused[path] = read
            return
        self.found.outputs[path] = read
        if values.ndim == 4 and read.grid is not None:
            self._map = read.grid
        if values.ndim == 3 and read.grid is not None:
            self.witness.setdefault(values.shape[1], (path, values.detach().clone()))

    def _read(
        self, path: str, module: nn.Module, source: Tensor | None, values: Tensor
    ) -> Output | str:
        """Return how an output is read, or the reason why it is not."""
        shape, kind = tuple(values.shape), type(module).__name__
        if len(shape) not in (2, 3, 4):
            return f"its output {shape} is not (n, c), (n, c, h, w) or (n, tokens, c)"
        if shape[0] != 2:
            return f"the first axis of its output {shape} does not count pictures (2 were given)"
        if not values.numel():
            return f"its output {shape} is empty: it has no neurons or no map"
        if len(shape) == 2:
            return Output(path, path, kind, shape[1:], "last", 0, None)
        if len(shape) == 3:
            return self._tokens(path, module, source, values)
        order = self._order(module, source, values) or self.layout.order
        if order is None:
            return f"which axis of its output {shape} holds the neurons is not decided{SAY}"
        height, width = shape[2:] if order == "first" else shape[1:3]
        grid = (height, width) if height * width > 1 else None
        return Output(path, path, kind, shape[1:], order, 0, grid)

    def _order(self, module: nn.Module, source: Tensor | None, values: Tensor) -> Order | None:
        if isinstance(module, _FIRST):
            return "first"
        if isinstance(module, _LAST):
            return "last"
        if isinstance(module, Permute):
            moved = {(0, 2, 3, 1): "last", (0, 3, 1, 2): "first"}
            return moved.get(tuple(module.dims))  # type: ignore[return-value]
        if id(values) in self._orders:  # a container hands on what its last child made
            return self._orders[id(values)]
        if source is not None and source.shape == values.shape and id(source) in self._orders:
            return self._orders[id(source)]
        _, a, b, c = values.shape
        fits: list[Order] = []
        if self._aspect(b, c):
            fits.append("first")
        if self._aspect(a, b):
            fits.append("last")
        return fits[0] if len(fits) == 1 else None

    def _aspect(self, height: int, width: int) -> bool:
        """Return whether a map has the aspect of the network's input, to a pixel of the map."""
        return abs(height * self.sides[1] / self.sides[0] - width) <= 1

    def _tokens(
        self, path: str, module: nn.Module, source: Tensor | None, values: Tensor
    ) -> Output | str:
        _, tokens, width = values.shape
        kind = type(module).__name__
        if self.layout.fits(tokens):
            special = self.layout.special or 0
            return Output(path, path, kind, (tokens, width), "last", special, self.layout.grid)
        undecided = f"what the axes of its output {tuple(values.shape)} hold is not decided{SAY}"
        if isinstance(module, _ONE_DIMENSIONAL) or self._map is None:
            return undecided
        patches = self._map[0] * self._map[1]
        swapped = source is not None and source.ndim == 3 and source.stride(2) != 1
        if swapped and source is not None and 0 <= source.shape[2] - patches <= _MOST_SPECIAL:
            return undecided  # as many channels as tokens, and the axes are not in their old order
        followed = values if id(values) in self._orders else source
        if id(followed) in self._orders and self._orders[id(followed)] is None:
            return undecided
        special = tokens - patches
        if not 0 <= special <= _MOST_SPECIAL:
            return undecided
        if tokens == width and not isinstance(module, _LAST) and id(source) not in self._orders:
            return undecided
        return Output(path, path, kind, (tokens, width), "last", special, self._map)

    def _note_heads(
        self, path: str, module: nn.Module, inputs: Any, kwargs: Mapping[str, Any], result: Any
    ) -> None:
        """Note the heads of an attention module beside its output, where that is read by tokens."""
        output, heads = self.found.outputs.get(path), heads_of(module)
        self.found.outputs.pop(path + HEADS, None)
        if not heads or output is None or len(output.shape) != 2:
            return
        at = path
        if isinstance(module, nn.MultiheadAttention):
            if not heads_explain(module, inputs, kwargs, result):
                return
        else:
            projection = projection_of(module)
            names = [name for name, child in module.named_children() if child is projection]
            at = f"{path}.{names[0]}"
            if at not in self.found.outputs:
                return
        shape = (output.shape[0], heads)
        self.found.outputs[path + HEADS] = Output(
            path + HEADS, at, "heads", shape, "last", output.special, output.grid, heads
        )
