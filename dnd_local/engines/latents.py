"""Latents of a sparse autoencoder, read as the neurons of a layer.

An encoder is applied at every position of a layer, map cell or token, and its latents are pooled
as the layer's neurons would be. Positions are taken a block at a time, so that the latents of a
whole batch are never held.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from dnd_local.core.errors import DamagedFile, UserError
from dnd_local.core.factory_names import own_name
from dnd_local.core.records import LayerInfo
from dnd_local.engines.folders import only_safetensors, settings_of
from dnd_local.engines.layer_axes import Found
from dnd_local.engines.layer_output import Output

KINDS: Final = ("relu", "topk", "jumprelu")
_SETTINGS: Final = ("kind", "k", "subtract_b_dec")
_TENSORS: Final = ("W_enc", "b_enc", "b_dec", "W_dec", "threshold")

_AT_ONCE: Final = 1 << 22
"""Numbers of one block of latents: 16 MiB in float32."""


class SparseEncoder(nn.Module):
    """From a layer's values (rows, inputs) to latents (rows, latents).

    z = (x - b_dec) W_enc + b_enc, `before` being b_dec or None. Then ``relu``: max(z, 0);
    ``topk``: the k largest of max(z, 0), the others 0 (Gao et al. 2024, arXiv 2406.04093);
    ``jumprelu``: max(z, 0) where z is above the latent's threshold, else 0 (Rajamanoharan et al.
    2024, arXiv 2407.14435).
    """

    weight: Tensor
    bias: Tensor
    before: Tensor | None
    threshold: Tensor | None

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor,
        before: Tensor | None = None,
        threshold: Tensor | None = None,
        k: int = 0,
    ) -> None:
        super().__init__()
        self.k, self.inputs = k, weight.shape[0]
        self.register_buffer("weight", weight.float().contiguous())
        self.register_buffer("bias", bias.float())
        self.register_buffer("before", None if before is None else before.float())
        self.register_buffer("threshold", None if threshold is None else threshold.float())

    def forward(self, values: Tensor) -> Tensor:
        """Return the latents of each row."""
        rows = values if self.before is None else values - self.before
        sums = torch.addmm(self.bias, rows, self.weight)
        latents = sums.clamp(min=0)
        if self.threshold is not None:
            return torch.where(sums > self.threshold, latents, 0.0)
        if self.k:
            largest = latents.topk(self.k, dim=1)
            return torch.zeros_like(latents).scatter(1, largest.indices, largest.values)
        return latents


def check_settings(folder: Path) -> dict[str, Any]:
    """Return the settings in a folder's `config.json`, checked.

    Raises:
        MissingWeights, DamagedFile: the file is not there, or is no JSON object.
        UserError: a key is not known here, lacking, or has a value that will not do.
    """
    settings, place = settings_of(folder), folder / "config.json"
    known = f"known are {', '.join(_SETTINGS)} (docs/networks.md)"
    if settings.get("kind") not in KINDS:
        raise UserError(f"{place}: kind is {settings.get('kind')!r}; say {' or '.join(KINDS)}")
    if strange := [name for name in settings if name not in _SETTINGS]:
        raise UserError(f"{place}: '{strange[0]}' is not known; {known}")
    k, topk = settings.get("k"), settings["kind"] == "topk"
    if topk and (isinstance(k, bool) or not isinstance(k, int) or k < 1):
        raise UserError(f"{place}: k is {k!r}; topk wants how many latents stay, 1 or more")
    if not topk and k is not None:
        raise UserError(f"{place}: k is {k!r}, and {settings['kind']} has none; leave it out")
    if not isinstance(settings.get("subtract_b_dec"), bool):
        raise UserError(
            f"{place}: subtract_b_dec is {settings.get('subtract_b_dec')!r}; say true if b_dec "
            "is taken off the layer's values before the encoder, else false"
        )
    return settings


def load_latents(folder: Path) -> SparseEncoder:
    """Return the encoder in a folder with `config.json` and one safetensors file.

    Raises:
        MissingWeights, DamagedFile: a file is not there, or is not whole.
        UserError: settings or tensors are not those of an encoder that is known here.
    """
    settings, path = check_settings(folder), only_safetensors(folder)
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise DamagedFile(f"{path} is not a whole safetensors file: {error}") from None
    subtract, jump = settings["subtract_b_dec"], settings["kind"] == "jumprelu"
    wanted = ["W_enc", "b_enc"] + ["b_dec"] * subtract + ["threshold"] * jump
    if lacking := [name for name in wanted if name not in tensors]:
        raise UserError(
            f"{path} lacks {lacking[0]}; it holds {', '.join(sorted(tensors)) or 'nothing'}"
        )
    known = _TENSORS if jump else _TENSORS[:-1]
    if strange := sorted(name for name in tensors if name not in known):
        raise UserError(
            f"{path} holds {strange[0]}, which a {settings['kind']} encoder has not (it has "
            f"{', '.join(known)}); for another kind give --latents path/to/file.py:factory"
        )
    _check_tensors(path, tensors, settings.get("k") or 0)
    return SparseEncoder(
        tensors["W_enc"],
        tensors["b_enc"],
        tensors["b_dec"] if subtract else None,
        tensors.get("threshold"),
        settings.get("k") or 0,
    )


def _check_tensors(path: Path, tensors: Mapping[str, Tensor], k: int) -> None:
    """Refuse tensors whose shapes do not fit together, or that are not finite."""
    shape = tuple(tensors["W_enc"].shape)
    if len(shape) != 2 or not tensors["W_enc"].numel():
        raise UserError(f"{path}: W_enc is {shape}; (inputs, latents) is wanted")
    inputs, latents = shape
    shapes = {"b_enc": (latents,), "b_dec": (inputs,), "threshold": (latents,),
              "W_dec": (latents, inputs)}  # fmt: skip
    for name, wanted in shapes.items():
        if name in tensors and tuple(tensors[name].shape) != wanted:
            raise UserError(
                f"{path}: {name} is {tuple(tensors[name].shape)}, and W_enc is {shape}, so "
                f"{wanted} is wanted: W_enc is (inputs, latents)"
            )
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor.float()).all():
            raise UserError(f"{path}: {name} holds NaN or infinite values")
    if k > latents:
        raise UserError(f"{path}: k is {k}, and there are {latents} latents; at most as many stay")


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentOutput(Output):
    """How the latents of a layer's output are read.

    `encoder` takes rows (rows, inputs); `latents` is how many it gives.
    """

    encoder: nn.Module
    latents: int

    @property
    def neurons(self) -> int:
        return self.latents

    @property
    def info(self) -> LayerInfo:
        first = len(self.shape) == 3 and self.order == "first"
        shape = (self.latents, *self.shape[1:]) if first else (*self.shape[:-1], self.latents)
        kind = f"latents of {self.kind}"
        return LayerInfo(self.path, kind, shape, self.latents, self.grid is not None)

    def responses(self, values: Tensor, pool: str, tokens: str) -> Tensor:
        """Return latents pooled over a map or over tokens, float32 (n, latents).

        Raises:
            UserError: the CLS token of a layer that has none.
        """
        values = values.float()
        if values.ndim == 2 or (values.ndim == 3 and tokens == "cls"):
            rows = Output.responses(self, values, pool, tokens)
            return torch.cat(list(self._encoded(rows)))
        mean = (pool if values.ndim == 4 else tokens) in ("avg", "mean")
        return torch.stack([self._pooled(picture, mean) for picture in self._positions(values)])

    def maps(self, values: Tensor, neurons: Sequence[int]) -> Tensor:
        """Return maps (n, neurons, height, width) of some latents."""
        wanted = list(neurons)
        columns = [
            torch.cat([block[:, wanted] for block in self._encoded(picture)]).T
            for picture in self._positions(values.float())
        ]
        maps = torch.stack(columns)
        return maps.reshape(*maps.shape[:2], *(self.grid or ()))

    def _positions(self, values: Tensor) -> Tensor:
        """Return the values at each map cell or patch token, (n, positions, inputs)."""
        if values.ndim == 3:
            return values[:, self.special :]
        return values.flatten(2).transpose(1, 2) if self.order == "first" else values.flatten(1, 2)

    def _pooled(self, picture: Tensor, mean: bool) -> Tensor:
        pooled: Tensor | None = None
        for block in self._encoded(picture):
            part = block.sum(0) if mean else block.amax(0)
            both = torch.add if mean else torch.maximum
            pooled = part if pooled is None else both(pooled, part)
        if pooled is None:  # pragma: no cover - a layer without positions is refused before
            raise UserError(f"layer '{self.path}' has no positions")
        return pooled / len(picture) if mean else pooled

    def _encoded(self, rows: Tensor) -> Iterator[Tensor]:
        """Yield the latents of rows (rows, inputs), a block of rows at a time.

        The cut depends on the number of latents alone, so that a picture's neighbours do not
        change how it is computed.
        """
        for block in torch.split(rows, max(1, _AT_ONCE // self.latents)):
            yield self.encoder(block).float()


def read_through(layers: Found, encoder: nn.Module, name: str) -> Found:
    """Return the layers whose latents an encoder gives, as ``PATH:NAME``; the others refused.

    Args:
        layers: the network's layers.
        encoder: with `inputs`, the neurons that it reads at a position.
        name: what the encoder is called.

    Raises:
        UserError: no layer has so many neurons.
    """
    inputs, end = int(getattr(encoder, "inputs", 0)), f":{own_name(name)}"
    place = next((one.device for one in encoder.state_dict().values()), torch.device("cpu"))
    with torch.inference_mode():
        latents = int(encoder(torch.zeros((1, inputs), device=place)).shape[1])
    through = Found(refused=dict(layers.refused))
    for path, one in layers.outputs.items():
        if one.heads:
            continue
        if one.neurons != inputs:
            width = f"it has {one.neurons} neurons, and the latents {name} read {inputs}"
            through.refused[path] = width
            continue
        through.outputs[path + end] = LatentOutput(
            path + end, one.read_at, one.kind, one.shape, one.order, one.special, one.grid,
            encoder=encoder, latents=latents,
        )  # fmt: skip
    if not through.outputs:
        widths = sorted({one.neurons for one in layers.outputs.values()})
        raise UserError(
            f"the latents {name} read {inputs} neurons, and no layer of the network has so many; "
            f"its layers have {', '.join(map(str, widths))}"
        )
    return through
