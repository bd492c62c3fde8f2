"""What a network answers while neurons of one layer are silent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import Tensor, nn

from dnd_local.core.errors import UserError
from dnd_local.engines.layer_output import Output, first_tensor

COPIES: Final = 16
"""Sets that one forward holds: from the layer on, its batch is so many times as large."""


class Silencer:
    """Forwards of a network with sets of a layer's neurons at 0.

    The part before the layer is run once for `COPIES` sets: from the layer on, the batch holds a
    copy of every picture for each set. The first batch tells whether the network bears that (it
    does not where a path leads around the layer); otherwise each set has a forward of its own.

    Args:
        module: the network, in eval mode.
        output: the layer.

    Raises:
        UserError: the layer is the heads of an attention module.
    """

    def __init__(self, module: nn.Module, output: Output) -> None:
        if output.heads:
            raise UserError(
                f"layer '{output.path}' cannot be silenced: a head's response is a length, read "
                "before the heads are mixed; name the attention module itself"
            )
        self._module, self._output = module, output
        self._runs = 0
        self._copies = 0

    def outputs(self, batch: Tensor, kept: Tensor) -> Tensor:
        """Return the network's outputs, float32 (n_sets, n, n_outputs).

        Args:
            batch: n inputs of the network.
            kept: bool (n_sets, n_neurons), False where a neuron is silent.

        Raises:
            UserError: the network does not answer with one vector a picture.
        """
        with torch.inference_mode():
            if not self._copies:
                self._runs = self._count(batch)
                self._copies = COPIES if self._bears_copies(batch, kept) else 1
            rows = [self._answers(batch, sets) for sets in torch.split(kept, self._copies)]
        return torch.cat(rows)

    def _count(self, batch: Tensor) -> int:
        """Return how often the layer's module runs in one forward."""
        runs = 0

        def note(*_: Any) -> None:
            nonlocal runs
            runs += 1

        self._forward(batch, note)
        return runs

    def _bears_copies(self, batch: Tensor, kept: Tensor) -> bool:
        pair = torch.stack([kept[0], kept[-1]])
        alone = torch.cat([self._answers(batch, copy) for copy in torch.split(pair, 1)])
        try:
            together = self._answers(batch, pair)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, UserError):
            return False
        scale = float(alone.abs().max())
        return torch.allclose(together, alone, rtol=1e-3, atol=1e-4 * scale)

    def _answers(self, batch: Tensor, kept: Tensor) -> Tensor:
        """Return the outputs of one forward, (n_sets, n, n_outputs), with as many copies."""
        runs = 0

        def silence(_module: nn.Module, _inputs: Any, result: Any) -> Any:
            nonlocal runs
            runs += 1
            # A module that runs several times is read where it runs last, so that is silenced.
            return _with_first(result, self._silenced(result, kept)) if runs == self._runs else None

        answers = self._forward(batch, silence)
        if answers is None or answers.ndim != 2 or len(answers) != len(kept) * len(batch):
            shape = None if answers is None else tuple(answers.shape)
            raise UserError(
                f"the network answers {len(batch)} pictures with {shape or 'no tensor'}; one row "
                "of outputs a picture is needed to count right answers (--classifier forest needs "
                "none)"
            )
        return answers.float().reshape(len(kept), len(batch), -1)

    def _silenced(self, result: Any, kept: Tensor) -> Tensor:
        values = first_tensor(result)
        if values is None:
            raise UserError(f"layer '{self._output.path}' gives no tensor")
        axis = 1 if values.ndim == 4 and self._output.order == "first" else values.ndim - 1
        shape = [len(kept) * len(values)] + [1] * (values.ndim - 1)
        shape[axis] = kept.shape[1]
        copies = values.repeat(len(kept), *[1] * (values.ndim - 1))
        mask = kept.repeat_interleave(len(values), 0).reshape(shape)
        return torch.where(mask, copies, torch.zeros((), dtype=values.dtype, device=values.device))

    def _forward(self, batch: Tensor, hook: Any) -> Tensor | None:
        handle = self._module.get_submodule(self._output.read_at).register_forward_hook(hook)
        try:
            return first_tensor(self._module(batch))
        finally:
            handle.remove()


def _with_first(result: Any, values: Tensor) -> Any:
    """Return an output with its first tensor exchanged; see `first_tensor`."""
    if isinstance(result, Tensor):
        return values
    if isinstance(result, Mapping):
        name = next(key for key, item in result.items() if isinstance(item, Tensor))
        changed = dict(result) | {name: values}
        return changed if type(result) is dict else type(result)(**changed)
    at = next(i for i, item in enumerate(result) if isinstance(item, Tensor))
    items = [*result[:at], values, *result[at + 1 :]]
    return type(result)(*items) if hasattr(result, "_fields") else type(result)(items)
