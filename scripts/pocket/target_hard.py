"""Make the target of the hard bench: planted neurons by formula, noise and a random network.

Two layers, `developing` and `frozen`; which neuron lies in which is drawn from `SEED` here. What
was seen of them before they were final is in docs/truth.md. The classifier inside is the judge;
place and size are read from its maps by ridge regression::

    python scripts/pocket/target_hard.py --work .pocket-training

It trains nothing else and takes about two minutes.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from shared import MODELS, Pictures, options, render

from dnd_local.core.formulas import Formula, value_of
from dnd_local.engines.planted_net import PLANTED, PlantedNet, features
from dnd_local.pocket.words import category_of, vocabulary
from dnd_local.pocket.world import SIZE, TRAIN_SEED

SEED = 24
HALVES = ("developing", "frozen")
COUNT = 4000
"""Pictures for the readouts and for the spread of each formula."""
RIDGE = 30.0
JITTER = 0.1
"""Noise of neurons that are not there for their noise, in standard deviations."""
RANDOM_WIDTHS = (16, 32, 64, 128)
READOUTS = ("x", "y", "side")
QUANTILES = 65
FAKES = {"noise": 90, "sparse noise": 90, "shuffled": 120, "random network": 90}
"""Neurons of each kind in each half that nobody gave a meaning. The first three have none; a
channel of a random network may follow a colour or brightness, so its labels are held to what it
responds to."""

WORDS = vocabulary()
OBJECTS = [thing.name for thing in WORDS.objects]
COLOURS = [colour.name for colour in WORDS.colours]
PATTERNS = [pattern.name for pattern in WORDS.patterns]
CATEGORIES = [thing.name for thing in WORDS.categories]
GROUNDS = COLOURS + PATTERNS
SINGLES = OBJECTS + GROUNDS + CATEGORIES


def conjunction(rng: random.Random) -> Formula:
    pair = rng.choice([(OBJECTS, COLOURS), (OBJECTS, PATTERNS), (COLOURS, PATTERNS),
                       (CATEGORIES, COLOURS), (CATEGORIES, PATTERNS)])  # fmt: skip
    return ["and", rng.choice(pair[0]), rng.choice(pair[1])]


def disjunction(count: int) -> Callable[[random.Random], Formula]:
    return lambda rng: ["or", *rng.sample(rng.choice((OBJECTS, COLOURS)), count)]


def exception(rng: random.Random) -> Formula:
    if rng.random() < 0.5:
        member = rng.choice(OBJECTS)
        return ["and", category_of(member), ["not", member]]
    return ["and", rng.choice(OBJECTS + CATEGORIES), ["not", rng.choice(GROUNDS)]]


def graded(rng: random.Random) -> Formula:
    names = rng.sample(rng.choice((OBJECTS, COLOURS)), 3)
    return ["sum", [1.0, names[0]], [0.6, names[1]], [0.3, names[2]]]


def spurious(rng: random.Random) -> Formula:
    thing, ground = rng.choice(OBJECTS), rng.choice(GROUNDS)
    return ["sum", [0.2, thing], [0.8, ["and", thing, ground]]]


def position(rng: random.Random) -> Formula:
    if rng.random() < 0.4:
        side = rng.choice(("left", "right", "top", "bottom"))
        return ["sum", [1.0, f"bright {side}"], [-0.5, "bright"]]
    return ["and", rng.choice([*OBJECTS, "object", "object"]),
            rng.choice(("left", "right", "top", "bottom"))]  # fmt: skip


def size(rng: random.Random) -> Formula:
    large = rng.choice(("large", ["not", "large"]))
    return ["and", rng.choice([*OBJECTS, *CATEGORIES, "object", "object"]), large]


def number(rng: random.Random) -> Formula:
    return rng.choice([["and", "two", rng.choice(GROUNDS)], ["and", rng.choice(OBJECTS), "two"],
                       ["and", rng.choice(CATEGORIES), ["not", "two"]]])  # fmt: skip


def texture(rng: random.Random) -> Formula:
    grain = rng.choice(("fine grain across", "fine grain down"))
    coloured = ["and", grain, rng.choice(COLOURS)]
    but = ["and", grain, rng.choice(PATTERNS)]
    return rng.choice([grain, coloured, ["sum", [1.0, grain], [-1.0, but]]])


def signed(rng: random.Random) -> Formula:
    up, down = rng.sample(SINGLES, 2)
    return ["sum", [1.0, up], [-1.0, down]]


KINDS: dict[str, tuple[int, Callable[[random.Random], Formula]]] = {
    "conjunction": (30, conjunction),
    "disjunction of two": (24, disjunction(2)),
    "disjunction of three": (16, disjunction(3)),
    "negation": (20, lambda rng: ["not", rng.choice(SINGLES)]),
    "exception": (20, exception),
    "graded": (20, graded),
    "noisy 0.5": (16, lambda rng: rng.choice(SINGLES)),
    "noisy 1": (16, lambda rng: rng.choice(SINGLES)),
    "noisy 2": (16, lambda rng: rng.choice(SINGLES)),
    "noisy 4": (16, lambda rng: rng.choice(SINGLES)),
    "spurious": (16, spurious),
    "position": (20, position),
    "size": (14, size),
    "count": (10, number),
    "texture": (12, texture),
    "signed": (16, signed),
    "offset": (16, lambda rng: rng.choice(SINGLES)),
}
"""How many neurons of each kind there are in both halves together, and how one is drawn; 60 single
concepts, each concept twice, come on top."""


def meaningful(rng: random.Random) -> dict[str, list[dict[str, Any]]]:
    """Return the neurons that mean something, of each half."""
    drawn: dict[str, list[Formula]] = {"single": [*SINGLES, *SINGLES]}
    for kind, (count, draw) in KINDS.items():
        several: list[Formula] = []
        while len(several) < count:
            formula = draw(rng)
            if formula not in several or kind.startswith(("noisy", "offset")):
                several.append(formula)
        drawn[kind] = several
    halves: dict[str, list[dict[str, Any]]] = {name: [] for name in HALVES}
    for kind, formulas in drawn.items():
        rng.shuffle(formulas)
        for place, formula in enumerate(formulas):
            noise = float(kind.removeprefix("noisy ")) if kind.startswith("noisy") else JITTER
            offset = rng.choice((-20.0, -3.0, 5.0, 100.0)) if kind == "offset" else 0.0
            neuron = {"kind": kind, "formula": formula, "noise": noise, "sign": 1, "offset": offset}
            halves[HALVES[place % 2]].append(neuron)
    return halves


def fakes(rng: random.Random, half: int, histograms: np.ndarray) -> list[dict[str, Any]]:
    """Return the neurons of a half that mean nothing."""
    neurons: list[dict[str, Any]] = []
    channels = list(range(RANDOM_WIDTHS[-1]))
    rng.shuffle(channels)
    for kind, count in FAKES.items():
        for place in range(count):
            neuron: dict[str, Any] = {"kind": kind, "noise": 1.0, "sign": 1, "offset": 0.0}
            if kind == "sparse noise":
                above = sorted(rng.expovariate(1) for _ in range(rng.randint(1, 6)))
                neuron["quantiles"] = [0.0] * (QUANTILES - len(above)) + [
                    round(v, 4) for v in above
                ]
            if kind == "shuffled":
                neuron["quantiles"] = [round(float(v), 5) for v in rng.choice(histograms)]
            if kind == "random network":
                neuron |= {"channel": channels[place % len(channels)], "noise": 0.0,
                        "sign": 1 - 2 * half}  # fmt: skip
            neurons.append(neuron)
    return neurons


def configuration(layers: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Return ``config.json``."""
    judge = json.loads((MODELS / "judge" / "config.json").read_text(encoding="utf-8"))
    return judge | {
        "architecture": PLANTED, "random_widths": list(RANDOM_WIDTHS), "readouts": list(READOUTS),
        "objects": OBJECTS, "seed": SEED, "layers": layers,
    }  # fmt: skip


def normalised(data: Pictures, rows: slice) -> torch.Tensor:
    """Return pictures as the target's transform makes them."""
    return (data.tensor(rows, torch.device("cpu")) - 0.5) / 0.25


@torch.no_grad()
def fit_readouts(net: PlantedNet, data: Pictures) -> None:
    """Fit place and size of the only object to the judge's maps."""
    single = [i for i, shown in enumerate(data.attributes) if len(shown.objects) == 1]
    maps = torch.cat(
        [features(net.judge, normalised(data, slice(i, i + 250))) for i in range(0, COUNT, 250)]
    )
    inputs = maps.flatten(1)[single].double()
    boxes = np.array([data.attributes[i].boxes[0] for i in single]) / SIZE
    wanted = torch.tensor(np.stack([
        (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2, boxes[:, 2] - boxes[:, 0]
    ], axis=1))  # fmt: skip
    middle, level = inputs.mean(0), wanted.mean(0)
    centred = inputs - middle
    gram = centred @ centred.T
    gram += RIDGE * len(single) / 100 * torch.eye(len(single), dtype=torch.float64)
    weight = centred.T @ torch.linalg.solve(gram, wanted - level)
    net.readout.weight.copy_(weight.T)
    net.readout.bias.copy_(level - middle @ weight)


@torch.no_grad()
def seen(net: PlantedNet, data: Pictures) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Return every attribute (n,) and the random network's channels (n, channels)."""
    attributes, channels = [], []
    for start in range(0, COUNT, 250):
        pictures = normalised(data, slice(start, start + 250))
        attributes.append(net.attributes(pictures))
        channels.append(features(net.random, pictures).mean((2, 3)))
    return {k: torch.cat([part[k] for part in attributes]) for k in attributes[0]}, torch.cat(
        channels
    )


def add_spreads(
    layers: dict[str, list[dict[str, Any]]], attributes: dict[str, torch.Tensor], channels: Any
) -> None:
    """Give every neuron the standard deviation of what it is built on, and its own noise."""
    salt = 0
    for neurons in layers.values():
        for neuron in neurons:
            salt += 1
            neuron["salt"] = salt
            if "formula" in neuron:
                neuron["spread"] = round(float(value_of(neuron["formula"], attributes).std()), 6)
            if "channel" in neuron:
                neuron["spread"] = round(float(channels[:, neuron["channel"]].std()), 6)


def write(net: PlantedNet, config: dict[str, Any]) -> None:
    """Write the folder, in fp16."""
    folder = MODELS / "target-hard"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    save_file(
        {k: (v.half() if v.is_floating_point() else v).contiguous()
         for k, v in net.state_dict().items()},
        folder / "model.safetensors", metadata={"format": "pt"},
    )  # fmt: skip
    (folder / "model.safetensors").chmod(0o644)
    text = json.dumps(config | {"layers": "LAYERS"}, indent=1)
    body = ",\n".join(
        f'  "{name}": [\n   ' + ",\n   ".join(map(json.dumps, neurons)) + "\n  ]"
        for name, neurons in config["layers"].items()
    )
    (folder / "config.json").write_text(
        text.replace('"LAYERS"', "{\n" + body + "\n }") + "\n", encoding="utf-8"
    )


def histograms_of_target(data: Pictures) -> Sequence[Any]:
    """Return quantiles of the responses of the plain target's `layer4`."""
    from target import responses  # beside this file

    from dnd_local.engines.target_loading import load_folder

    hidden, _ = responses(load_folder(MODELS / "target")[0].eval(), data, torch.device("cpu"))
    return list(np.quantile(hidden, np.linspace(0, 1, QUANTILES), axis=0).T)


def main() -> None:
    """Draw the neurons, fit the readouts, write the folder."""
    given = options(__doc__, minutes=0)
    rng = random.Random(SEED)
    whole = render(given.work, TRAIN_SEED, COUNT)
    layers = meaningful(rng)
    histograms = histograms_of_target(whole)
    for half, name in enumerate(HALVES):
        layers[name] += fakes(rng, half, histograms)
    config = configuration(layers)
    net = PlantedNet(config | {"layers": {}})
    torch.manual_seed(SEED)
    net.random.apply(lambda m: m.reset_parameters() if hasattr(m, "reset_parameters") else None)
    net.judge.load_state_dict(
        {k: v.float() for k, v in load_file(MODELS / "judge" / "model.safetensors").items()}
    )
    net.eval()
    fit_readouts(net, whole)
    net = net.half().float()
    add_spreads(layers, *seen(net, whole))
    write(net, config)
    print({name: len(neurons) for name, neurons in layers.items()})


if __name__ == "__main__":
    main()
