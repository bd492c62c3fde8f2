"""A network whose neurons were planted: formulas over what a classifier sees, and fakes.

It reads pictures as any network does. A classifier of concepts, with linear readouts of place and
size, turns pixels into attributes; formulas turn these into neurons that mean something. The other
neurons mean nothing: noise that is a fixed function of the pixels, noise with the histogram of a
real neuron, and channels of a network with random weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn

from dnd_local.core.formulas import light_attributes, value_of
from dnd_local.engines.small_resnet import SmallResNet

PLANTED: Final = "pocket-planted"

_PRIME: Final = 2**31 - 1
_LEVELS: Final = 255
_HASHES: Final = 2


class Planted(nn.Module):
    """The neurons of one layer, from attributes (n,) by name, hashes and random channels.

    Each of `neurons` has ``noise`` (standard deviations of Gaussian noise), ``salt`` (which noise),
    ``sign``, ``offset``, and at most one of ``formula`` with ``spread`` (its standard deviation on
    the world's pictures), ``channel`` with ``spread`` (of the random network) and ``quantiles`` (of
    the histogram to draw from); without any it is pure noise.
    """

    _salts: Tensor
    _scales: Tensor
    _noises: Tensor
    _offsets: Tensor
    _drawn: Tensor
    _random: Tensor
    _channels: Tensor
    _quantiles: Tensor

    def __init__(self, neurons: Sequence[Mapping[str, Any]]) -> None:
        super().__init__()
        self._formulas = [
            (i, neuron["formula"]) for i, neuron in enumerate(neurons) if "formula" in neuron
        ]
        places = {
            name: [i for i, neuron in enumerate(neurons) if name in neuron]
            for name in ("quantiles", "channel")
        }
        kept = {
            "salts": torch.tensor([neuron["salt"] for neuron in neurons], dtype=torch.int64),
            "scales": _column(neurons, lambda neuron: neuron["sign"] / neuron.get("spread", 1)),
            "noises": _column(neurons, lambda neuron: neuron["noise"]),
            "offsets": _column(neurons, lambda neuron: neuron["offset"]),
            "drawn": torch.tensor(places["quantiles"], dtype=torch.int64),
            "random": torch.tensor(places["channel"], dtype=torch.int64),
            "channels": torch.tensor(
                [neurons[i]["channel"] for i in places["channel"]], dtype=torch.int64
            ),
            "quantiles": torch.tensor([neurons[i]["quantiles"] for i in places["quantiles"]]),
        }
        for name, value in kept.items():
            self.register_buffer(f"_{name}", value, persistent=False)

    def forward(self, attributes: Mapping[str, Tensor], hashes: Tensor, random: Tensor) -> Tensor:
        """Return responses (n, neurons); `hashes` is float64 (n, 2), `random` (n, channels)."""
        chance = _chance(hashes, self._salts.double())
        signal = torch.zeros_like(chance)
        for place, formula in self._formulas:
            signal[:, place] = value_of(formula, attributes).double()
        signal[:, self._random] = random[:, self._channels].double()
        noise = torch.special.ndtri(chance.clamp(1e-9, 1 - 1e-9)) * self._noises
        response: Tensor = signal * self._scales + noise + self._offsets
        if len(self._drawn):
            response[:, self._drawn] = _quantile(self._quantiles, chance[:, self._drawn])
        return response.to(random.dtype)


class PlantedNet(nn.Module):
    """Reads pictures of 64 pixels; its layers of planted neurons are its children by their names.

    Args:
        config: ``widths`` and ``outputs`` of the classifier, ``random_widths`` of the network
            with random weights, ``readouts`` (names of the linear readouts), ``mean`` and ``std``
            of the transform, ``layers``: for each name its neurons.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self._names, self._readouts = tuple(config["outputs"]), tuple(config["readouts"])
        self._mean, self._std = config["mean"][0], config["std"][0]
        self._objects = tuple(config["objects"])
        self.judge = SmallResNet(config["widths"], len(self._names))
        self.random = SmallResNet(config["random_widths"], 1)
        cells = (config["size"] // 8) ** 2
        self.readout = nn.Linear(config["widths"][-1] * cells, len(self._readouts))
        self._layers = tuple(config["layers"])
        for name, neurons in config["layers"].items():
            self.add_module(name, Planted(neurons))

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the responses of the last layer; `pictures` as the transform makes them."""
        attributes = self.attributes(pictures)
        hashes = _hashes(self._levels(pictures))
        random = features(self.random, pictures).mean((2, 3))
        out = pictures
        for name in self._layers:
            out = self.get_submodule(name)(attributes, hashes, random)
        return out

    def attributes(self, pictures: Tensor) -> dict[str, Tensor]:
        """Return what the network sees in each picture, in [0, 1], shape (n,), by attribute."""
        maps = features(self.judge, pictures)
        seen = torch.sigmoid(self.judge.fc(maps.mean((2, 3))).float())
        values = {name: seen[:, i] for i, name in enumerate(self._names)}
        read = self.readout(maps.flatten(1)).float()
        places = {name: read[:, i] for i, name in enumerate(self._readouts)}
        grey = self._levels(pictures).mean(1) / _LEVELS
        things = torch.stack([values[name] for name in self._objects], dim=1)
        values |= {"object": 1 - (1 - things).prod(1), "two": sharp(things.sum(1), 1.5)}
        values |= light_attributes(grey.float())
        values["left"], values["right"] = sharp(-places["x"], -0.5), sharp(places["x"], 0.5)
        values["top"], values["bottom"] = sharp(-places["y"], -0.5), sharp(places["y"], 0.5)
        values["large"] = sharp(places["side"], 0.72)
        return values

    def _levels(self, pictures: Tensor) -> Tensor:
        """Return the pictures' 8-bit levels, float64: exact whatever dtype they come in."""
        levels: Tensor = (pictures.double() * self._std + self._mean) * _LEVELS
        return levels.round()


def features(network: SmallResNet, pictures: Tensor) -> Tensor:
    """Return the maps of a network's `layer4`."""
    x = network.relu(network.bn1(network.conv1(pictures)))
    maps: Tensor = network.layer4(network.layer3(network.layer2(network.layer1(x))))
    return maps


def sharp(values: Tensor, border: float) -> Tensor:
    """Return a soft step from 0 to 1 at `border`."""
    return torch.sigmoid((values - border) * 20)


def _hashes(levels: Tensor) -> Tensor:
    """Return two numbers below a prime that depend on every pixel, float64 (n, 2), exactly."""
    flat = levels.flatten(1)
    place = torch.arange(1, flat.shape[1] + 1, device=flat.device, dtype=torch.int64)
    weights = [(place * factor % _PRIME % 2**20).double() for factor in (1103515245, 48271)]
    return torch.stack([flat @ weight for weight in weights], dim=1) % _PRIME


def _chance(hashes: Tensor, salts: Tensor) -> Tensor:
    """Return a uniform number for every picture and salt, float64 (n, salts)."""
    first, second = (salts * 7919 + 12345) % 2**20 + 1, (salts * 104729 + 6789) % 2**20 + 1
    mixed = (hashes[:, :1] * first % _PRIME + hashes[:, 1:] * second % _PRIME) % _PRIME
    # A line in the hashes keeps neighbours together; a square does not.
    mixed = (mixed % 2**26) * (mixed % 2**26 // 2**6 + first) % _PRIME
    chance: Tensor = (mixed + 0.5) / _PRIME
    return chance


def _quantile(quantiles: Tensor, chance: Tensor) -> Tensor:
    """Return values with given histograms, float64 (n, k): evenly spaced quantiles (k, m) each."""
    table = quantiles.double()
    place = chance * (table.shape[1] - 1)
    low = place.floor().long().clamp(max=table.shape[1] - 2)
    column = torch.arange(len(table), device=table.device)
    return table[column, low] + (table[column, low + 1] - table[column, low]) * (place - low)


def _column(
    neurons: Sequence[Mapping[str, Any]], value: Callable[[Mapping[str, Any]], float]
) -> Tensor:
    return torch.tensor([float(value(neuron)) for neuron in neurons])
