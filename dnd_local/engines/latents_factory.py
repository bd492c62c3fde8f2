"""Latents by a user's own encoder, from ``path/to/file.py:factory``.

The function takes nothing and returns a torch module with an attribute `inputs`, the number of
neurons that it reads at a position, and a forward from values (rows, inputs) to latents
(rows, latents), each row by itself.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor, nn

from dnd_local.core.errors import UserError
from dnd_local.engines.factory import load_function
from dnd_local.engines.factory_check import check_again, tensor_digests, users_own
from dnd_local.engines.target_loading import state_digest

_ROWS: Final = 5


def load(name: str) -> nn.Module:
    """Return the encoder that a user's own function gives.

    Raises:
        UserError: the file or the function is not there, or gives another thing.
        UnknownName: no such function in the file.
    """
    with users_own(name, "it"):
        module = load_function(name)()
    inputs = getattr(module, "inputs", None)
    if not isinstance(module, nn.Module) or isinstance(inputs, bool) or not isinstance(inputs, int):
        raise UserError(
            f"{name} must return a torch module with an attribute `inputs`, how many neurons of "
            f"the layer it reads; it returned a {type(module).__name__} whose inputs are {inputs!r}"
        )
    if inputs < 1:
        raise UserError(f"{name}: its attribute `inputs` is {inputs}; 1 or more is wanted")
    return module.eval().requires_grad_(False).float()


def examine(name: str) -> str:
    """Return what stands in a key for the state of a user's own encoder, which is checked.

    It is built twice, and run twice on five rows of noise.

    Raises:
        UserError: as `load`, or it gives another encoder or other latents each time, or something
            else than one row of numbers for each row.
        UnknownName: as `load`.
    """
    module = load(name)
    check_again(name, tensor_digests(module), tensor_digests(load(name)))
    inputs: Any = module.inputs
    rows = torch.randn((_ROWS, inputs), generator=torch.Generator().manual_seed(0))
    given = f"its encoder, given rows of shape {tuple(rows.shape)},"
    with users_own(name, given), torch.inference_mode():
        first, second, alone = module(rows), module(rows), module(rows[:1])
    wanted = f"a tensor ({_ROWS}, latents) is wanted"
    if not isinstance(first, Tensor):
        raise UserError(f"{name}: its encoder returns a {type(first).__name__}; {wanted}")
    if first.ndim != 2 or len(first) != _ROWS or not first.shape[1]:
        raise UserError(f"{name}: its encoder returns a tensor {tuple(first.shape)}; {wanted}")
    if not torch.isfinite(first).all():
        raise UserError(f"{name}: its encoder makes NaN or infinite values of noise")
    if not torch.equal(first, second):
        raise UserError(f"{name}: its encoder makes other latents of the same values each time")
    if not torch.allclose(first[:1], alone, rtol=1e-3, atol=1e-5):
        raise UserError(
            f"{name}: its encoder makes other latents of a row when others come with it; each row "
            "must be encoded by itself"
        )
    return state_digest(module)
