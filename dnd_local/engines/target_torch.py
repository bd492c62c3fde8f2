"""The network under study, as a torch module with the transform that feeds it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dnd_local.core.config import NetworkConfig
from dnd_local.core.errors import UserError
from dnd_local.core.protocols import ResponseMap
from dnd_local.core.records import Box, LayerInfo, Pixels
from dnd_local.engines.ahead import Preparation
from dnd_local.engines.bands import bands_of, given, try_out
from dnd_local.engines.batching import OnBatches, PaddedBatches
from dnd_local.engines.device import (
    CPU,
    dtype_of,
    home,
    keep_freed_memory,
    make_deterministic,
    place,
)
from dnd_local.engines.framing import Framing, Transform
from dnd_local.engines.latents import read_through
from dnd_local.engines.layer_axes import Found
from dnd_local.engines.layer_output import Output
from dnd_local.engines.layers import find_layer, find_outputs
from dnd_local.engines.silencing import Silencer

_DISCOVERY_SIDE = 224
"""Side in pixels of the picture on which the layers are found."""


class TorchTarget(OnBatches):
    """A `Target` over any torch module.

    The transform runs on PIL pictures in threads, so its pixels are exactly those that the
    network was made for; one batch ahead of the network, unless both want the same cores.

    Args:
        module: the network.
        transform: from an RGB picture to one input (channels, height, width) of the network.
        config: batch shape, precision, and how maps and tokens become responses.
        devices: as in `Execution.devices`.
        latents: an encoder whose latents are the neurons of the layers that it fits.

    Attributes:
        bands: of the tiles that the network takes in place of RGB pictures, 0 for pictures.
    """

    def __init__(
        self,
        module: nn.Module,
        transform: Transform,
        config: NetworkConfig,
        devices: Sequence[str] = CPU,
        latents: nn.Module | None = None,
    ) -> None:
        make_deterministic()
        self._home, self._dtype = home(devices), dtype_of(config.dtype)
        self._latents = latents and latents.to(self._home)
        self.module = place(module.eval().requires_grad_(False).to(self._dtype), devices)
        self._transform, self._config = transform, config
        self._batches = PaddedBatches(config.batch)
        self._framing = Framing(transform)
        self._inputs = Preparation(self._prepare, self._home)
        self.bands = bands_of(transform)
        if self._home.type == "cpu":
            keep_freed_memory()

    def close(self) -> None:
        """End the transform's threads and let go of the network."""
        self._inputs.close()
        del self.module

    def layers(self) -> tuple[LayerInfo, ...]:
        """Return every layer that can be dissected, in the order it runs."""
        return tuple(output.info for output in self._found.outputs.values())

    def responses(
        self, pictures: Sequence[Pixels], layers: Sequence[str]
    ) -> dict[str, NDArray[np.float32]]:
        """Return, for each layer, the responses, float32 of shape (n_pictures, n_neurons).

        Raises:
            UnknownName: a layer that the network has not; near matches are listed.
            UserError: a module without neurons, or a CLS token where there is none.
        """
        reading = {layer: self._output(layer) for layer in layers}
        config = self._config

        def read(output: Output, values: Tensor) -> NDArray[np.float32]:
            responses = output.responses(values, config.pool, config.tokens)
            return np.asarray(responses.cpu().numpy())

        rows = self._forward(pictures, {o.path: o for o in reading.values()}, read)
        return {
            layer: np.stack([row[output.path] for row in rows])
            if rows
            else np.zeros((0, output.neurons), np.float32)
            for layer, output in reading.items()
        }

    def maps(
        self, pictures: Sequence[Pixels], layer: str, neurons: Sequence[Sequence[int]]
    ) -> list[list[ResponseMap]]:
        """Return, for each picture, the maps of the neurons asked for with it.

        An empty inner list where the layer has no map.

        Raises:
            UnknownName: as `responses`.
        """
        output = self._output(layer)
        if output.grid is None:
            return [[] for _ in pictures]
        wanted = sorted({neuron for asked in neurons for neuron in asked})
        column = {neuron: i for i, neuron in enumerate(wanted)}

        def read(output: Output, values: Tensor) -> NDArray[np.float32]:
            return np.asarray(output.maps(values, wanted).float().cpu().numpy())

        rows = self._forward(pictures, {output.path: output}, read)
        return [
            [
                ResponseMap(row[output.path][column[neuron]].copy(), self.framing(*shape))
                for neuron in asked
            ]
            for row, asked, shape in zip(
                rows, neurons, [picture.shape[:2] for picture in pictures], strict=True
            )
        ]

    def outputs(
        self, pictures: Sequence[Pixels], layer: str, silent: Sequence[Sequence[int]]
    ) -> NDArray[np.float32]:
        """Return the network's own outputs while sets of a layer's neurons are 0.

        float32 of shape (n_sets, n_pictures, n_outputs).

        Raises:
            UnknownName: as `responses`.
            UserError: the layer is one of heads or of latents, or the network gives no vector a
                picture.
        """
        output = self._output(layer)
        if self._latents is not None:
            raise UserError(
                f"latents cannot be silenced: the network goes on from what {output.read_at} gives"
            )
        silencer = Silencer(self.module, output)
        kept = torch.ones((len(silent), output.neurons), dtype=torch.bool, device=self._home)
        for row, neurons in zip(kept, silent, strict=True):
            row[list(neurons)] = False

        def run(indices: list[int]) -> list[NDArray[np.float32]]:
            batch = self._stack([self._prepare(pictures[index]) for index in indices])
            return list(silencer.outputs(batch, kept).transpose(0, 1).cpu().numpy())

        return np.stack(self._batches.run(range(len(pictures)), run), axis=1)

    def framing(self, height: int, width: int) -> Box | None:
        """Return the region the network sees of a picture of this size, None where not known."""
        return self._framing.region(height, width)

    @cached_property
    def _found(self) -> Found:
        grey = np.full((_DISCOVERY_SIDE, _DISCOVERY_SIDE, 3), 127, np.uint8)
        pair = self._stack([try_out(self._transform, grey)] * 2)
        layers = find_outputs(self.module, pair, self._config.layout)
        if self._latents is None:
            return layers
        return read_through(layers, self._latents, self._config.latents)

    def _output(self, layer: str) -> Output:
        return self._found.outputs[find_layer(self.module, self._found, layer)]

    def _forward(
        self,
        pictures: Sequence[Pixels],
        outputs: dict[str, Output],
        read: Callable[[Output, Tensor], NDArray[np.float32]],
    ) -> list[dict[str, NDArray[np.float32]]]:
        """Return for each picture what `read` makes of its row of each output, by path.

        Outputs are read while the forward runs: a later layer may write over them in place.
        """
        read_now: dict[str, NDArray[np.float32]] = {}

        def hook(output: Output) -> Any:
            def note(module: nn.Module, inputs: Any, kwargs: Any, result: Any) -> None:
                values = output.values(module, inputs, kwargs, result)
                if values is not None:
                    read_now[output.path] = read(output, values)

            return note

        hooks = [
            self.module.get_submodule(output.read_at).register_forward_hook(
                hook(output), with_kwargs=True
            )
            for output in outputs.values()
        ]
        try:
            with self._inputs.of(pictures) as take:

                def run(indices: list[int]) -> list[dict[str, NDArray[np.float32]]]:
                    batch = self._stack(take(indices))
                    with torch.inference_mode():
                        self.module(batch)
                    return [
                        {path: rows[i] for path, rows in read_now.items()}
                        for i in range(len(batch))
                    ]

                return self._batches.run(range(len(pictures)), run)
        finally:
            for handle in hooks:
                handle.remove()

    def _prepare(self, picture: Pixels) -> Tensor:
        return self._transform(given(self._transform, picture))

    def _stack(self, inputs: Sequence[Tensor]) -> Tensor:
        shapes = {tuple(tensor.shape) for tensor in inputs}
        if len(shapes) > 1:
            raise UserError(
                f"the network's transform gives inputs of different shapes {sorted(shapes)}; it "
                "must bring every picture to one size"
            )
        return torch.stack(list(inputs)).to(self._home, self._dtype)
