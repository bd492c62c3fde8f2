"""The layers of a network: found by one forward, named by dotted path, read neuron by neuron.

Which axis holds the neurons is not guessed from sizes. Convolutions, pooling and 2-D norms write
them second (n, c, h, w), linear layers and layer norms last, torchvision's `Permute` moves them,
and any other module that keeps its input's shape keeps its input's order: so Swin's (n, h, w, c)
and ConvNeXt's blocks are told apart. A network that moves axes in its own `forward`, between
modules that are none of these, is read as (n, c, h, w). Three axes are tokens (n, tokens, c).
The inside of MaxViT's attention, where tokens are regrouped in windows, is left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torchvision.models.convnext import LayerNorm2d
from torchvision.models.maxvit import PartitionAttentionLayer
from torchvision.ops import Permute

from dnd_local.core.errors import UnknownName, UserError
from dnd_local.core.records import LayerInfo

Order: TypeAlias = Literal["first", "last"]
"""Where neurons lie in four axes: (n, c, h, w) or (n, h, w, c)."""

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
_MOST_SPECIAL_TOKENS = 8
"""A CLS token, and at most this many special tokens in all (registers) before the patches."""


@dataclass(frozen=True, slots=True)
class Output:
    """How a layer's output is read: its shape without the batch axis and where its neurons are.

    `special` counts the tokens before the patches; `grid` is (height, width) of the map, None
    where there is none.
    """

    path: str
    kind: str
    shape: tuple[int, ...]
    order: Order
    special: int
    grid: tuple[int, int] | None

    @property
    def neurons(self) -> int:
        return self.shape[0] if len(self.shape) == 3 and self.order == "first" else self.shape[-1]

    @property
    def info(self) -> LayerInfo:
        return LayerInfo(self.path, self.kind, self.shape, self.neurons, self.grid is not None)

    def responses(self, values: Tensor, pool: str, tokens: str) -> Tensor:
        """Return responses, float32 (n, neurons), of an output with its batch axis.

        Args:
            values: the layer's output.
            pool: ``avg`` or ``max`` over a map.
            tokens: ``cls``, or ``mean`` or ``max`` over the patch tokens.

        Raises:
            UserError: the CLS token of a layer that has none.
        """
        values = values.float()
        if values.ndim == 2:
            return values
        if values.ndim == 4:
            axes = (2, 3) if self.order == "first" else (1, 2)
            return values.mean(axes) if pool == "avg" else values.amax(axes)
        if tokens == "cls":
            if not self.special:
                raise UserError(
                    f"layer '{self.path}' has no CLS token ({self.shape[0]} tokens); set "
                    "network.tokens to mean or max"
                )
            return values[:, 0]
        patches = values[:, self.special :]
        return patches.mean(1) if tokens == "mean" else patches.amax(1)

    def maps(self, values: Tensor) -> Tensor:
        """Return maps (n, neurons, height, width) of a spatial output with its batch axis."""
        if values.ndim == 3:
            patches = values[:, self.special :].transpose(1, 2)
            return patches.reshape(*patches.shape[:2], *(self.grid or ()))
        return values if self.order == "first" else values.permute(0, 3, 1, 2)


def first_tensor(output: Any) -> Tensor | None:
    """Return the tensor in a module's output: itself, or the first of a tuple, list or dict."""
    if isinstance(output, Mapping):
        output = tuple(output.values())
    if isinstance(output, tuple | list):
        output = next((item for item in output if isinstance(item, Tensor)), None)
    return output if isinstance(output, Tensor) else None


def find_outputs(module: nn.Module, pair: Tensor) -> dict[str, Output]:
    """Return how every layer that can be dissected is read, in the order they run.

    A module that runs several times (a shared ReLU) stands where it runs last.

    Args:
        module: the network, in eval mode.
        pair: an input of batch size 2. Outputs of another batch size (windows folded into the
            batch, tokens first) have no neurons to tell apart and are left out.
    """
    tracker = _Tracker()
    windowed = tuple(
        f"{path}."
        for path, child in module.named_modules()
        if isinstance(child, PartitionAttentionLayer)
    )
    hooks = [
        child.register_forward_hook(tracker.hook(path))
        for path, child in module.named_modules()
        if path and not path.startswith(windowed)
    ]
    try:
        with torch.inference_mode():
            module(pair)
    finally:
        for hook in hooks:
            hook.remove()
    return tracker.outputs


class _Tracker:
    """Follows the order of axes from module to module through one forward."""

    def __init__(self) -> None:
        self.outputs: dict[str, Output] = {}
        self._orders: dict[int, Order] = {}
        self._alive: list[Tensor] = []  # an id names a tensor only while that tensor lives

    def hook(self, path: str) -> Any:
        def note(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            values = first_tensor(output)
            if values is None or not values.is_floating_point():
                return
            order = self._order(module, first_tensor(inputs), values)
            self._orders[id(values)] = order
            self._alive.append(values)
            found = _read(path, type(module).__name__, tuple(values.shape), order)
            self.outputs.pop(path, None)
            if found is not None:
                self.outputs[path] = found

        return note

    def _order(self, module: nn.Module, source: Tensor | None, values: Tensor) -> Order:
        before = self._orders.get(id(source), "first")
        if isinstance(module, _FIRST):
            return "first"
        if isinstance(module, _LAST):
            return "last"
        if isinstance(module, Permute):
            return "last" if list(module.dims) == [0, 2, 3, 1] else "first"
        if id(values) in self._orders:  # a container hands on what its last child made
            return self._orders[id(values)]
        if source is not None and source.shape == values.shape:
            return before
        return "first"


def _read(path: str, kind: str, shape: tuple[int, ...], order: Order) -> Output | None:
    """Return how an output of this shape is read, or None where it holds no neurons."""
    if len(shape) not in (2, 3, 4) or shape[0] != 2:
        return None
    special, grid = 0, None
    if len(shape) == 4:
        height, width = shape[2:] if order == "first" else shape[1:3]
        grid = (height, width) if height * width > 1 else None
    elif len(shape) == 3:
        order = "last"
        side = math.isqrt(shape[1])
        special = shape[1] - side * side
        grid = (side, side)
        if special > _MOST_SPECIAL_TOKENS or side < 2:  # not a square of patches: no map
            special, grid = 1, None
    return Output(path, kind, shape[1:], order, special, grid)


def find_layer(module: nn.Module, outputs: Mapping[str, Output], path: str) -> str:
    """Return the full path of the layer that `path` names.

    A number also names a child by position where no child is called that, so
    ``encoder.layers.5`` is ``encoder.layers.encoder_layer_5``.

    Raises:
        UnknownName: nothing answers to it; near matches are listed.
        UserError: it is a module without neurons to describe.
    """
    current, full = module, []
    for part in path.split("."):
        children = dict(current.named_children())
        if part.isdecimal() and part not in children and int(part) < len(children):
            part = list(children)[int(part)]
        if part not in children:
            raise UnknownName(
                "layer", path, outputs, "`dnd-local layers MODEL` lists all that can be dissected."
            )
        current = children[part]
        full.append(part)
    name = ".".join(full)
    if name not in outputs:
        raise UserError(
            f"layer '{path}' ({type(current).__name__}) cannot be dissected: it does not run, or "
            "its output is not (n, c), (n, c, h, w) or (n, tokens, c)"
        )
    return name
