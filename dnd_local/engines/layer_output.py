"""How one layer's output is read: which axis holds its neurons, its tokens, its map.

A layer is a module's output, or the heads of an attention module (``path:heads``). A head's
response at a token is the length of the vector that the head writes there, before the output
projection mixes the heads.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from dnd_local.core.errors import UserError
from dnd_local.core.records import LayerInfo

Order: TypeAlias = Literal["first", "last"]
"""Where neurons lie in four axes: (n, c, h, w) or (n, h, w, c)."""

HEADS: Final = ":heads"
_LAYOUT = re.compile(
    r"^(?:channels-(?P<order>first|last)|tokens:(?P<special>\d+)(?:\+(?P<h>\d+)x(?P<w>\d+))?)$"
)
_PROJECTIONS: Final = ("out_proj", "proj", "o_proj", "to_out")
_HEAD_COUNTS: Final = ("num_heads", "num_attention_heads", "n_heads")


@dataclass(frozen=True, slots=True)
class Layout:
    """What the user says of an output that the network leaves undecided.

    `special` and `grid` for (n, tokens, c): the tokens before the patches, then (height, width)
    of the patches, None for no map. `order` for four axes.
    """

    order: Order | None = None
    special: int | None = None
    grid: tuple[int, int] | None = None

    @classmethod
    def of(cls, text: str) -> Layout:
        """Return the layout of ``tokens:1+14x16``, ``tokens:1``, ``channels-first`` or ``-last``.

        Raises:
            UserError: the text is none of these.
        """
        if not text:
            return cls()
        match = _LAYOUT.match(text)
        if match is None:
            raise UserError(
                f"network.layout is tokens:SPECIAL+HEIGHTxWIDTH (tokens:1+14x16), tokens:SPECIAL "
                f"(no map), channels-first or channels-last, not '{text}'"
            )
        if match["order"]:
            return cls(order="first" if match["order"] == "first" else "last")
        grid = (int(match["h"]), int(match["w"])) if match["h"] else None
        return cls(special=int(match["special"]), grid=grid)

    def fits(self, tokens: int) -> bool:
        """Return whether an output of so many tokens is of this layout."""
        if self.special is None:
            return False
        if self.grid is None:
            return self.special < tokens
        return self.special + math.prod(self.grid) == tokens


@dataclass(frozen=True, slots=True)
class Output:
    """How a layer's output is read: its shape without the batch axis and where its neurons are.

    `read_at` is the path of the module that is watched for it; `special` counts the tokens before
    the patches; `grid` is (height, width) of the map, None where there is none; `heads` counts an
    attention module's heads, 0 for a module's output.
    """

    path: str
    read_at: str
    kind: str
    shape: tuple[int, ...]
    order: Order
    special: int
    grid: tuple[int, int] | None
    heads: int = 0

    @property
    def neurons(self) -> int:
        return self.shape[0] if len(self.shape) == 3 and self.order == "first" else self.shape[-1]

    @property
    def info(self) -> LayerInfo:
        return LayerInfo(self.path, self.kind, self.shape, self.neurons, self.grid is not None)

    def values(
        self, module: nn.Module, inputs: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any
    ) -> Tensor | None:
        """Return the tensor of the layer at one run of its module."""
        if self.heads:
            return head_lengths(module, inputs, kwargs, self.heads)
        return first_tensor(result)

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

    def maps(self, values: Tensor, neurons: Sequence[int]) -> Tensor:
        """Return maps (n, neurons, height, width) of some neurons of a spatial output."""
        wanted = list(neurons)
        if values.ndim == 3:
            patches = values[:, self.special :, wanted].transpose(1, 2)
            return patches.reshape(*patches.shape[:2], *(self.grid or ()))
        return values[:, wanted] if self.order == "first" else values[..., wanted].movedim(3, 1)


def first_tensor(output: Any) -> Tensor | None:
    """Return the tensor in a module's output: itself, or the first of a tuple, list or dict."""
    if isinstance(output, Mapping):
        output = tuple(output.values())
    if isinstance(output, tuple | list):
        output = next((item for item in output if isinstance(item, Tensor)), None)
    return output if isinstance(output, Tensor) else None


def heads_of(module: nn.Module) -> int:
    """Return how many heads an attention module says it has, 0 for another module."""
    if isinstance(module, nn.MultiheadAttention):
        return int(module.num_heads)
    count = next((getattr(module, name) for name in _HEAD_COUNTS if hasattr(module, name)), 0)
    projection = projection_of(module)
    fits = isinstance(count, int) and count > 0 and projection is not None
    return count if fits and projection and projection.in_features % count == 0 else 0


def projection_of(module: nn.Module) -> nn.Linear | None:
    """Return the linear layer that mixes an attention module's heads, None where it has none."""
    for name in _PROJECTIONS:
        child = getattr(module, name, None)
        if isinstance(child, nn.Linear):
            return child
    return None


def head_lengths(
    module: nn.Module, inputs: tuple[Any, ...], kwargs: Mapping[str, Any], heads: int
) -> Tensor | None:
    """Return the length of what each head writes at each token, (n, tokens, heads).

    Args:
        module: torch's multi-head attention with its inputs; or the projection that mixes the
            heads of any other attention module, whose input holds them side by side.
        inputs: positional inputs.
        kwargs: inputs by name.
        heads: the number of heads.
    """
    if isinstance(module, nn.MultiheadAttention):
        written = multihead_values(module, inputs, kwargs)
    else:
        written = first_tensor(inputs)
    if written is None or written.ndim != 3:
        return None
    split: Tensor = written.float().reshape(*written.shape[:2], heads, -1)
    lengths: Tensor = torch.linalg.vector_norm(split, dim=-1)
    return lengths


def multihead_values(
    module: nn.MultiheadAttention, inputs: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Tensor | None:
    """Return the heads' values side by side, (n, tokens, width), before the output projection.

    None where the module is used in a way that is not followed: masks, key and value of other
    widths, added biases.
    """
    given = dict(zip(("query", "key", "value"), inputs, strict=False)) | dict(kwargs)
    masked = given.get("attn_mask") is not None or given.get("key_padding_mask") is not None
    parts: list[Any] = [given.get(name) for name in ("query", "key", "value")]
    weight = module.in_proj_weight
    unfollowed = masked or module.bias_k is not None or module.add_zero_attn
    if unfollowed or weight is None or any(part is None or part.ndim != 3 for part in parts):
        return None
    if not module.batch_first:
        parts = [part.transpose(0, 1) for part in parts]
    biases = (None,) * 3 if module.in_proj_bias is None else module.in_proj_bias.chunk(3)
    query, key, value = (
        functional.linear(part, piece, bias)
        .reshape(*part.shape[:2], module.num_heads, -1)
        .transpose(1, 2)
        for part, piece, bias in zip(parts, weight.chunk(3), biases, strict=True)
    )
    attended: Tensor = functional.scaled_dot_product_attention(query, key, value)
    side_by_side: Tensor = attended.transpose(1, 2).flatten(2)
    return side_by_side


def heads_explain(
    module: nn.MultiheadAttention, inputs: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any
) -> bool:
    """Return whether torch's attention writes what `multihead_values` says its heads write."""
    values, output = multihead_values(module, inputs, kwargs), first_tensor(result)
    if values is None or output is None:
        return False
    mixed = module.out_proj(values)
    if not module.batch_first:
        mixed = mixed.transpose(0, 1)
    return torch.allclose(mixed, output, rtol=1e-3, atol=1e-4 * float(output.abs().max()))
