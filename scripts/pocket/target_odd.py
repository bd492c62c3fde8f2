"""Plant oddities in a copy of the target: neurons that must not fool a describer."""

from __future__ import annotations

import json
import shutil
from collections import deque
from typing import Any

import numpy as np
import torch
from shared import (
    MODELS,
    TEST_COUNT,
    TRAIN_COUNT,
    Pictures,
    Run,
    cosine,
    options,
    render,
    set_rate,
    write_json,
)
from target import normalised, responses, save
from torch import nn
from truth import truth_table

from dnd_local.engines.target_loading import load_folder
from dnd_local.pocket.world import HELD_OUT_SEED, TRAIN_SEED

DEAD, DUPLICATES = 3, 2
EITHER = ("dog", "rocket")
INHIBITED = "dog"
BATCH = 64
OVERSHOOT = 8.0
KEPT, PLACE = 200, 9
"""How many of the latest responses to each concept are looked at, and which of the highest is
compared: what five are among the hundred or so of a probe set."""
PULL = 0.005
"""How far the goals move a step; the responses compared are some steps old, so not far."""
TOGETHER = 0.6
"""The goal where both concepts are there: lower, so that the highest responses show one each."""


class Rows(nn.Module):
    """The last convolution and the shortcut of ``layer4``, for a few neurons only."""

    def __init__(self, model: Any, count: int) -> None:
        """Start ``count`` new neurons beside a trained network's block."""
        super().__init__()
        block = model.layer4[0]
        self.main = nn.Conv2d(block.conv2.in_channels, count, 3, padding=1)
        self.short = nn.Conv2d(block.downsample[0].in_channels, count, 1, bias=False)

    def forward(self, inner: torch.Tensor, entry: torch.Tensor) -> torch.Tensor:
        """Return the neurons' responses, shape (pictures, count)."""
        return torch.relu(self.main(inner) + self.short(entry)).mean((2, 3))


def inside(model: Any, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what reaches ``layer4``'s last convolution, and its shortcut."""
    entry = model.relu(model.bn1(model.conv1(normalised(images))))
    entry = model.layer3(model.layer2(model.layer1(entry)))
    block = model.layer4[0]
    return block.relu(block.bn1(block.conv1(entry))), entry


def silence(block: Any, neuron: int, value: float) -> None:
    """Make a neuron give one value everywhere, whatever it is shown; below zero means dead."""
    for norm in (block.bn2, block.downsample[1]):
        norm.weight[neuron] = 0.0
        norm.bias[neuron] = 0.0
    block.bn2.bias[neuron] = value


def repeat(block: Any, source: int, neuron: int) -> None:
    """Make a neuron an exact copy of another one."""
    for layer in (block.conv2, block.downsample[0]):
        layer.weight[neuron] = layer.weight[source]
    for norm in (block.bn2, block.downsample[1]):
        for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            tensor[neuron] = tensor[source]


def install(block: Any, neuron: int, rows: Rows, row: int) -> None:
    """Put a trained row in a neuron's place."""
    for norm in (block.bn2, block.downsample[1]):
        norm.running_mean[neuron] = 0.0
        norm.running_var[neuron] = 1.0
        norm.weight[neuron] = (1.0 + norm.eps) ** 0.5
        norm.bias[neuron] = 0.0
    block.bn2.bias[neuron] = rows.main.bias[row]
    block.conv2.weight[neuron] = rows.main.weight[row]
    block.downsample[0].weight[neuron] = rows.short.weight[row]


def goals(data: Pictures) -> torch.Tensor:
    """Return the wanted responses of the two trained neurons, shape (pictures, 2)."""
    rows = []
    for shown in data.attributes:
        either = sum(name in EITHER for name in shown.objects)
        rows.append(((0.0, 1.0, TOGETHER)[either], float(INHIBITED not in shown.objects)))
    return torch.tensor(rows)


def train(run: Run, given: Any, model: Any, data: Pictures) -> Rows:
    """Train the polysemantic and the inhibited neuron on top of the frozen network."""
    rows = Rows(model, 2).to(given.device)
    optimiser = torch.optim.Adam(rows.parameters(), 3e-3)
    wanted = goals(data).to(given.device)

    run.restore(rows=rows, optimiser=optimiser)
    members = torch.tensor(
        [[name in shown.objects for name in EITHER] for shown in data.attributes]
    )
    count = members.sum(1).numpy()
    alone, together = np.flatnonzero(count == 1), np.flatnonzero(count == 2)
    balance = Balance()
    for share in run.steps():
        set_rate(optimiser, 3e-3 * cosine(share))
        # Pictures of both are one in two hundred: left to chance they would hardly be heard.
        chosen = np.concatenate(
            [
                np.random.randint(0, len(data.attributes), BATCH // 2),
                np.random.choice(alone, BATCH // 4),
                np.random.choice(together, BATCH // 4),
            ]
        )
        with torch.no_grad():
            inner, entry = inside(model, data.tensor(chosen, given.device))
        responses, goal = rows(inner, entry), wanted[chosen].clone()
        goal[:, 0] += (members[chosen] * balance.level).sum(1).to(given.device)
        miss = responses - goal
        # Overshooting is what decides the ten highest pictures: it comes to cost more and more.
        # From the first step on it would silence the rarer neuron for good.
        loss = (miss.square() * torch.where(miss > 0, OVERSHOOT**share, 1.0)).mean()
        balance.update(responses[:, 0].detach().cpu(), members[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        run.loss(loss.item())
    return rows


class Balance:
    """Moves the goals of the two concepts until the highest responses show both alike.

    The ten pictures of highest response should not all show the concept that overshoots by a
    hair, so the tops of the responses seen lately are compared.
    """

    def __init__(self) -> None:
        """Start with equal goals and nothing seen."""
        self.level = torch.zeros(len(EITHER))
        self.seen: list[deque[float]] = [deque(maxlen=KEPT) for _ in EITHER]

    def update(self, responses: torch.Tensor, members: torch.Tensor) -> None:
        """Take in a batch: responses (n,) and which concept each picture alone shows (n, 2)."""
        for seen, column in zip(self.seen, members.T, strict=True):
            seen.extend(responses[column & (members.sum(1) == 1)].tolist())
        if min(map(len, self.seen)) == KEPT:
            tops = torch.tensor([sorted(seen)[-PLACE] for seen in self.seen])
            self.level = (self.level - PULL * (tops - tops.mean())).clamp(-0.4, 0.4)


def plan(model: Any, table: dict[str, Any]) -> dict[str, Any]:
    """Choose which neurons to change: those the outputs rely on least; and what to repeat."""
    use = model.fc.weight.detach().abs().sum(0)
    spare = [int(neuron) for neuron in use.argsort()]
    known = [entry["neuron"] for entry in table["layer4"] if entry["concept"]]
    changed = spare[: DEAD + 1 + DUPLICATES + 2]
    sources = sorted((n for n in known if n not in changed), key=lambda n: -use[n].item())
    copies = sorted(changed[DEAD + 1 : DEAD + 1 + DUPLICATES])
    # A duplicate is named after the lower index of the two, whichever was there first.
    return {
        "dead": sorted(changed[:DEAD]),
        "constant": changed[DEAD],
        "duplicates": [
            {"neuron": max(pair), "of": min(pair), "copied_from": pair[0]}
            for pair in zip(sources, copies, strict=False)
        ],
        "polysemantic": {"neuron": changed[-2], "concepts": list(EITHER)},
        "inhibited": {"neuron": changed[-1], "by": INHIBITED},
    }


def main() -> None:
    """Train two rows, operate on the copy, save it and measure its truth."""
    given = options(__doc__, minutes=2)
    run = Run("target_odd", given)
    folder = MODELS / "target-odd"
    config = json.loads((MODELS / "target" / "config.json").read_text(encoding="utf-8"))
    model: Any = load_folder(MODELS / "target")[0].eval().to(given.device)
    test = render(given.work, HELD_OUT_SEED, TEST_COUNT)
    odd = plan(model, truth_table(responses(model, test, given.device)[0], test))
    rows = train(run, given, model, render(given.work, TRAIN_SEED, TRAIN_COUNT))
    with torch.no_grad():
        block = model.layer4[0]
        for neuron in odd["dead"]:
            silence(block, neuron, -1.0)
        silence(block, odd["constant"], 1.0)
        for pair in odd["duplicates"]:
            source = pair["copied_from"]
            repeat(block, source, pair["of"] if source == pair["neuron"] else pair["neuron"])
        install(block, odd["polysemantic"]["neuron"], rows, 0)
        install(block, odd["inhibited"]["neuron"], rows, 1)
        changed = [*odd["dead"], odd["constant"]]
        changed += [odd["polysemantic"]["neuron"], odd["inhibited"]["neuron"]]
        for pair in odd["duplicates"]:
            changed.append(pair["of"] if pair["copied_from"] == pair["neuron"] else pair["neuron"])
        model.fc.weight[:, changed] = 0.0
    shutil.rmtree(folder, ignore_errors=True)
    save(model, {**config, "oddities": {"layer4": odd}}, folder)
    table = truth_table(responses(model, test, given.device)[0], test)
    write_json(folder / "truth.json", table)
    report(run, odd, table, model, test, given)


def report(run: Run, odd: Any, table: Any, model: Any, test: Pictures, given: Any) -> None:
    """Log how well the two trained neurons do what they should."""
    from target import responses
    from truth import auc

    values, _ = responses(model, test, given.device)
    wanted = goals(test).numpy()
    for column, name in enumerate(("polysemantic", "inhibited")):
        area = auc(values[:, odd[name]["neuron"]], (wanted[:, column] > 0).astype(np.float32))
        run.log(f"{name} neuron {odd[name]['neuron']}: AUC {area:.4f} for what it should be")
    top = np.argsort(-values[:, odd["polysemantic"]["neuron"]])[:10]
    shown = [" and ".join(test.attributes[row].objects) for row in top]
    run.log(f"its ten: {shown}")
    run.log(f"{odd}")


if __name__ == "__main__":
    main()
