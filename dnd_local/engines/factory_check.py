"""A look at a user's own target before any work: what must hold for its responses to mean anything.

The function is called twice, so that a layer whose weights are drawn anew is named; the transform
and the network are run twice on the same two pictures. Whatever will not do is one line: what came
back, and what is wanted.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from dnd_local.core.cards import Card
from dnd_local.core.digest import key, sha256
from dnd_local.core.errors import UserError
from dnd_local.core.factory_names import split_factory
from dnd_local.core.records import LayerInfo
from dnd_local.engines.bands import try_out
from dnd_local.engines.factory import load_target
from dnd_local.engines.framing import Framing
from dnd_local.engines.layer_output import first_tensor
from dnd_local.engines.layers import find_layer, find_outputs
from dnd_local.engines.target_loading import state_digest, transform_digest

_SIZES: Final = ((96, 128), (160, 90))
"""Height and width of the pictures that are shown, one wide and one tall."""

_MISTAKES: Final = (
    ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, NameError, OSError,
    RuntimeError, TypeError, ValueError,
)  # fmt: skip
"""What code of a user raises by mistake; it becomes one line that names the place."""

_NAMED: Final = 3
"""Tensors and modules that a message names at most."""


@dataclass(frozen=True, slots=True)
class Examined(Card):
    """What a user's own target was found to be.

    `digest` is what stands in a key for its tensors and its transform; `followed` says whether
    the region that its transform keeps of a picture is known, without which there are no crops;
    `layer` is the layer asked about.
    """

    name: str
    tensors: int
    parameters: int
    input: tuple[int, ...]
    output: tuple[int, ...]
    followed: bool
    layers: int
    layer: LayerInfo | None
    digest: str


def examine(name: str, layout: str = "", layer: str = "") -> Examined:
    """Return what ``path/to/file.py:function`` gives as a target, checked.

    Args:
        name: the factory.
        layout: what the user says of axes that the network leaves undecided.
        layer: a layer that must be there, any if empty.

    Raises:
        UserError: the file, the function, or what it returns will not do.
        UnknownName: no such function, or no such layer.
    """
    module, transform = _built(name)
    tensors = tensor_digests(module)
    with users_own(name, "its transform"):
        inputs = _inputs(name, transform)
    digest = key([state_digest(module), transform_digest(transform)])
    module = module.eval().requires_grad_(False).float()
    with users_own(name, f"its network, given an input of shape {tuple(inputs.shape)},"):
        output = _output(name, module, inputs)
    read = find_outputs(module, inputs[:1].repeat(2, 1, 1, 1), layout)
    followed = Framing(transform).region(*_SIZES[0]) is not None
    if not read.outputs:
        path, why = next(iter(read.refused.items()), ("", "it has no modules inside"))
        raise UserError(f"{name}: no layer of its network can be dissected; {path or 'it'}: {why}")
    info = read.outputs[find_layer(module, read, layer)].info if layer else None
    parameters = sum(tensor.numel() for tensor in module.parameters())
    del module
    check_again(name, tensors, tensor_digests(_built(name)[0]))
    return Examined(
        name, len(tensors), parameters, tuple(inputs.shape[1:]), output, followed,
        len(read.outputs), info, digest,
    )  # fmt: skip


def _built(name: str) -> tuple[nn.Module, Callable[..., Any]]:
    with users_own(name, "it"):
        return load_target(name)


def check_again(name: str, tensors: Mapping[str, str], again: Mapping[str, str]) -> None:
    """Refuse a factory whose second network has other weights than its first.

    Args:
        name: the factory.
        tensors: the digest of each tensor of its first network, by path.
        again: those of its second.

    Raises:
        UserError: some differ; they are named.
    """
    other = sorted(
        path for path in tensors.keys() | again.keys() if tensors.get(path) != again.get(path)
    )
    if other:
        raise UserError(
            f"{name} builds another network each time: {len(other)} of {len(tensors)} tensors "
            f"differ ({_few(other)}), so no run could ever be continued; load their weights, or "
            "call torch.manual_seed(0) before they are made"
        )


def tensor_digests(module: nn.Module) -> dict[str, str]:
    """Return the SHA-256 of each tensor of a network, by path."""
    return {
        path: sha256(
            f"{tensor.dtype} {tuple(tensor.shape)}".encode()
            + tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        )
        for path, tensor in module.state_dict().items()
    }


def _inputs(name: str, transform: Callable[..., Any]) -> Tensor:
    """Return what the transform makes of two pictures of different shape, (2, channels, h, w)."""
    inputs = []
    for height, width in _SIZES:
        noise = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
        first, second = (_one_input(name, try_out(transform, noise)) for _ in range(2))
        if first.shape != second.shape or not torch.equal(first, second):
            raise UserError(
                f"{name}: its transform gives another input each time for the same picture; take "
                "the one for evaluation, without random crops, flips or noise"
            )
        inputs.append(first.cpu().float())
    if inputs[0].shape != inputs[1].shape:
        shapes = " and ".join(str(tuple(tensor.shape)) for tensor in inputs)
        raise UserError(
            f"{name}: its transform gives inputs of different shapes, {shapes}, for pictures of "
            f"{_SIZES[0][0]}x{_SIZES[0][1]} and {_SIZES[1][0]}x{_SIZES[1][1]} pixels; it must "
            "bring every picture to one size (Resize and CenterCrop)"
        )
    return torch.stack(inputs)


def _one_input(name: str, value: Any) -> Tensor:
    wanted = "a torch tensor (channels, height, width) is wanted"
    came = f"{name}: its transform returns"
    if isinstance(value, Mapping):  # transformers' BatchFeature is one
        raise UserError(
            f"{came} a {type(value).__name__} with {_few(value)}, as a Hugging Face processor "
            f"does; {wanted}: lambda picture: "
            "processor(picture, return_tensors='pt')['pixel_values'][0]"
        )
    if isinstance(value, np.ndarray):
        raise UserError(
            f"{came} a numpy array of shape {value.shape}; {wanted}: torch.from_numpy(array), "
            "channels first"
        )
    if not isinstance(value, Tensor):
        raise UserError(f"{came} a {type(value).__name__}; {wanted}")
    if value.ndim != 3:
        batched = value.ndim == 4 and value.shape[0] == 1
        raise UserError(
            f"{came} a tensor of shape {tuple(value.shape)}; {wanted}"
            + (", without a batch axis: take [0] of it" if batched else "")
        )
    if not value.numel():
        raise UserError(f"{came} an empty tensor of shape {tuple(value.shape)}; {wanted}")
    if not torch.isfinite(value.float()).all():
        raise UserError(f"{came} NaN or infinite values; finite ones are wanted")
    return value


def _output(name: str, module: nn.Module, inputs: Tensor) -> tuple[int, ...]:
    """Return the shape of the network's output, after two runs that must agree."""
    home = next((tensor.device for tensor in module.parameters()), torch.device("cpu"))
    (result, first), (_, second) = (_run(module, inputs.to(home)) for _ in range(2))
    answer, wanted = first_tensor(result), "one row of numbers a picture is wanted"
    if answer is None:
        raise UserError(
            f"{name}: its network returns a {type(result).__name__} without a tensor in it; "
            f"{wanted}"
        )
    shape = tuple(answer.shape)
    if not answer.numel():
        raise UserError(f"{name}: its network returns an empty tensor {shape}; {wanted}")
    if not shape or shape[0] != len(inputs):
        raise UserError(
            f"{name}: its network returns a tensor {shape} for {len(inputs)} pictures; {wanted}"
        )
    for path, values in first.items():
        place = f"layer '{path}'" if path else "its output"
        if np.isnan(values):
            raise UserError(
                f"{name}: its network makes NaN of pictures of noise, first in {place}; numbers "
                "are wanted: look at the weights, and at divisions and square roots before it"
            )
        if not np.isclose(values, second[path], rtol=1e-4, atol=1e-6):
            raise UserError(
                f"{name}: its network makes other values of the same pictures each time it is "
                f"called, first in {place}; a fixed answer is wanted: no dropout or noise that "
                "eval() does not switch off"
            )
    return shape


def _run(module: nn.Module, inputs: Tensor) -> tuple[Any, dict[str, float]]:
    """Return what the network returns, and of each module's output a figure that tells it apart.

    In the order in which the modules end, the network itself ("") last.
    """
    figures: dict[str, float] = {}

    def note(path: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_module: nn.Module, _inputs: Any, result: Any) -> None:
            values = first_tensor(result)
            if values is not None and values.is_floating_point():
                figures[path] = float(values.abs().double().sum())

        return hook

    hooks = [child.register_forward_hook(note(path)) for path, child in module.named_modules()]
    try:
        with torch.inference_mode():
            return module(inputs), figures
    finally:
        for handle in hooks:
            handle.remove()


@contextmanager
def users_own(name: str, who: str) -> Iterator[None]:
    """Turn what a user's own code raises into one line with its place.

    Raises:
        UserError: the code made a mistake, or called `sys.exit`.
    """
    try:
        yield
    except SystemExit as stop:
        raise UserError(
            f"{name}: {who} called sys.exit({stop.code!r}){_place(stop, name)}; it must return"
        ) from None
    except torch.OutOfMemoryError:
        raise
    except _MISTAKES as mistake:
        said = " ".join(str(mistake).split())[:200]
        raise UserError(
            f"{name}: {who} raised {type(mistake).__name__}: {said}{_place(mistake, name)}"
        ) from mistake


def _place(error: BaseException, name: str) -> str:
    """Return the line of the user's own folder where an error came from, if it passed there."""
    folder = split_factory(name)[0].parent
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame for frame in frames if Path(frame.filename).resolve().parent == folder]
    return f" ({Path(lines[-1].filename).name}, line {lines[-1].lineno})" if lines else ""


def _few(words: Any) -> str:
    listed = [str(word) for word in words]
    return ", ".join(listed[:_NAMED]) + (", …" if len(listed) > _NAMED else "")
