"""The layers of a network: found by one forward, named by dotted path.

How each is read, `layer_axes` decides. Where tokens are taken for patches, the network is asked
whether that is so: changing the input's first and last corner must change the first and the last
patch token most.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor, nn
from torchvision.models.maxvit import PartitionAttentionLayer

from dnd_local.core.errors import UnknownName, UserError
from dnd_local.engines.layer_axes import SAY, WINDOWS, Found, Tracker
from dnd_local.engines.layer_output import HEADS, Layout, first_tensor

_IDLE: Final = (
    "it does not run when the network is evaluated (an auxiliary head runs in training only)"
)


def find_outputs(module: nn.Module, pair: Tensor, layout: str = "") -> Found:
    """Return how every layer that can be dissected is read, in the order they run.

    A module that runs several times (a shared ReLU) stands where it runs last.

    Args:
        module: the network, in eval mode.
        pair: an input of batch size 2. Outputs of another batch size (windows folded into the
            batch, tokens first) have no neurons to tell apart and are refused.
        layout: what the user says of outputs that are undecided.

    Raises:
        UserError: `layout` has another form.
    """
    tracker = Tracker(pair, Layout.of(layout), _windows(module))
    _run(module, pair, tracker.hook)
    _check_tokens(tracker, module, pair)
    for path, child in module.named_modules():
        if path and path not in tracker.seen:
            outer = tracker.windows.get(path)
            runs_not = WINDOWS.format(outer=outer) if outer else _IDLE
            if not isinstance(child, nn.ModuleList | nn.ModuleDict):
                tracker.found.refused.setdefault(path, runs_not)
    return tracker.found


def _run(module: nn.Module, inputs: Tensor, hook: Any) -> None:
    hooks = [
        child.register_forward_hook(hook(path), with_kwargs=True)
        for path, child in module.named_modules()
        if path
    ]
    try:
        with torch.inference_mode():
            module(inputs)
    finally:
        for handle in hooks:
            handle.remove()


def _windows(module: nn.Module) -> dict[str, str]:
    """Return the modules inside MaxViT's windows, each with the path of the attention block."""
    return {
        f"{path}.{inner}": path
        for path, child in module.named_modules()
        if isinstance(child, PartitionAttentionLayer)
        for inner, _ in child.named_modules()
        if inner
    }


def _check_tokens(tracker: Tracker, module: nn.Module, pair: Tensor) -> None:
    """Refuse the token layers whose patches do not lie as they were taken to lie.

    The input's first corner is changed in one picture, its last in the other: of the tokens
    that run first, the first patch must change most in the one, the last in the other.
    """
    wrong = {
        count
        for count, (path, _) in tracker.witness.items()
        if not tracker.layout.fits(count)
        and _moved(tracker, module, pair, path) != _expected(tracker, path)
    }
    for path, output in list(tracker.found.outputs.items()):
        if len(output.shape) == 2 and output.shape[0] in wrong:
            del tracker.found.outputs[path]
            tracker.found.refused[path] = (
                f"its {output.shape[0]} tokens are not the patches of a {output.grid} map in "
                f"order{SAY}"
            )


def _expected(tracker: Tracker, path: str) -> tuple[int, int]:
    output = tracker.found.outputs[path]
    return (output.special, output.shape[0] - 1)


def _moved(tracker: Tracker, module: nn.Module, pair: Tensor, path: str) -> tuple[int, int]:
    """Return the tokens that change most when the first and the last corner change."""
    output = tracker.found.outputs[path]
    rows, columns = output.grid or (1, 1)
    high, wide = -(-tracker.sides[0] // rows), -(-tracker.sides[1] // columns)
    changed = pair.clone()
    changed[0, ..., :high, :wide] += 1
    changed[1, ..., -high:, -wide:] += 1
    before = tracker.witness[output.shape[0]][1]
    noted: list[Tensor] = []

    def note(_module: nn.Module, _inputs: Any, result: Any) -> None:
        values = first_tensor(result)
        if values is not None and not noted:
            noted.append((values - before).float().abs().sum(-1))

    handle = module.get_submodule(path).register_forward_hook(note)
    try:
        with torch.inference_mode():
            module(changed)
    finally:
        handle.remove()
    return (int(noted[0][0].argmax()), int(noted[0][1].argmax()))


def find_layer(module: nn.Module, outputs: Found, path: str) -> str:
    """Return the full path of the layer that `path` names.

    A number also names a child by position where no child is called that, so
    ``encoder.layers.5`` is ``encoder.layers.encoder_layer_5``; ``PATH:heads`` names the heads of
    an attention module.

    Raises:
        UnknownName: nothing answers to it; near matches are listed.
        UserError: it is a module without neurons to describe, or undecided; the message says why.
    """
    if path in outputs.outputs:
        return path
    current, full = module, []
    for part in path.removesuffix(HEADS).split("."):
        children = dict(current.named_children())
        if part.isdecimal() and part not in children and int(part) < len(children):
            part = list(children)[int(part)]
        if part not in children:
            raise UnknownName(
                "layer",
                path,
                outputs.outputs,
                "`dnd-local layers MODEL` lists all that can be dissected.",
            )
        current = children[part]
        full.append(part)
    name = ".".join(full)
    kind = type(current).__name__
    if path.endswith(HEADS) and name + HEADS not in outputs.outputs:
        raise UserError(
            f"layer '{path}' ({kind}) cannot be dissected: "
            + outputs.refused.get(name, "its heads cannot be followed")
        )
    if path.endswith(HEADS):
        return name + HEADS
    if name not in outputs.outputs:
        why = outputs.refused.get(name, _IDLE)
        raise UserError(f"layer '{path}' ({kind}) cannot be dissected: {why}")
    return name
