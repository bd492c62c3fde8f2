"""Train the pocket target: a small ResNet whose outputs are the world's concepts."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file
from scipy.optimize import nnls
from shared import (
    MODELS,
    TEST_COUNT,
    TRAIN_COUNT,
    Options,
    Pictures,
    Run,
    cosine,
    descend,
    mirrored,
    options,
    render,
    set_rate,
    write_json,
)
from torch import nn
from truth import truth_table

from dnd_local.engines.small_resnet import SmallResNet
from dnd_local.pocket.words import vocabulary
from dnd_local.pocket.world import HELD_OUT_SEED, SIZE, TRAIN_SEED

WIDTHS = (16, 32, 64, 96)
BATCH = 64
LEVELLED = 8000
"""Pictures that the category outputs are fitted to."""
MARGIN = 8.0
"""From a category's mean output where it is absent to where it is there."""
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)


def configuration(widths: tuple[int, ...] = WIDTHS) -> dict[str, Any]:
    """Return what ``config.json`` says about a network of this script."""
    concepts = vocabulary().concepts()
    return {
        "architecture": "torchvision-resnet-basicblock",
        "widths": list(widths),
        "size": SIZE,
        "mean": list(MEAN),
        "std": list(STD),
        "outputs": [concept.name for concept in concepts],
        "kinds": [concept.kind for concept in concepts],
    }


def normalised(images: torch.Tensor) -> torch.Tensor:
    """Apply the target's normalisation to pictures in [0, 1]."""
    return (images - MEAN[0]) / STD[0]


def train(run: Run, given: Options, data: Pictures, config: dict[str, Any], sparse: float) -> Any:
    """Train a classifier of every concept.

    Args:
        run: The clock and the log.
        given: The options.
        data: The pictures to learn from.
        config: The network's configuration.
        sparse: Weight of the penalties that make ``layer4`` sparse; 0 for none.

    Returns:
        The network in evaluation mode.
    """
    model = SmallResNet(config["widths"], len(config["outputs"]))
    model = model.to(given.device, memory_format=torch.channels_last)
    # Most outputs are off most of the time: start there rather than learn it.
    nn.init.constant_(model.fc.bias, -2.5)
    optimiser = torch.optim.AdamW(model.parameters(), 3e-3, weight_decay=1e-4)

    run.restore(model=model, optimiser=optimiser)
    labels = torch.from_numpy(data.labels(vocabulary().concepts())).to(given.device)
    pooled: list[torch.Tensor] = []
    model.avgpool.register_forward_hook(lambda _module, _inputs, output: pooled.append(output))
    model.train()
    for share in run.steps():
        set_rate(optimiser, 3e-3 * cosine(share))
        rows = np.random.randint(0, len(labels), BATCH)
        images = mirrored(data.tensor(rows, given.device))
        images = images.contiguous(memory_format=torch.channels_last)
        pooled.clear()
        scores = model(normalised(images) + 0.05 * torch.randn_like(images))
        loss = nn.functional.binary_cross_entropy_with_logits(scores, labels[rows])
        full = loss
        if sparse:
            # Few neurons a picture and few neurons an output: each then stands for one thing.
            full = loss + sparse * (pooled[0].mean() + 0.05 * model.fc.weight.abs().sum(1).mean())
        descend(full, optimiser)
        if sparse:
            with torch.no_grad():
                model.fc.weight.clamp_(min=0)
        run.loss(loss.item())
    return model.eval()


@torch.no_grad()
def responses(
    model: Any, data: Pictures, device: torch.device
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return ``layer4``'s spatial means and ``fc``'s outputs, each (pictures, neurons)."""
    hidden: list[torch.Tensor] = []
    hook = model.layer4.register_forward_hook(
        lambda _module, _inputs, output: hidden.append(output.mean((2, 3)))
    )
    outputs = [
        model(normalised(data.tensor(slice(start, start + 250), device)))
        for start in range(0, len(data.attributes), 250)
    ]
    hook.remove()
    return torch.cat(hidden).cpu().numpy(), torch.cat(outputs).cpu().numpy()


def level(model: Any, data: Pictures, device: torch.device) -> None:
    """Fit the category outputs anew, so that each member of a category raises them alike.

    Trained to tell members from all else, an output may answer to one member far more strongly
    than to another. Its highest responses then show that member alone, and nobody could tell that
    the neuron stands for the category. Non-negative least squares on ``layer4``'s spatial means.
    """
    hidden = responses(model, data, device)[0]
    ones = np.ones((len(hidden), 1), dtype=np.float32)
    inputs = np.hstack([hidden, ones, -ones])
    concepts = vocabulary().concepts()
    labels = data.labels(concepts)
    for row, concept in enumerate(concepts):
        if concept.kind == "category":
            *weights, up, down = nnls(inputs, labels[:, row])[0]
            model.fc.weight.data[row] = MARGIN * torch.tensor(weights)
            model.fc.bias.data[row] = MARGIN * (up - down - 0.5)


def right(scores: npt.NDArray[np.float32], data: Pictures) -> dict[str, npt.NDArray[np.bool_]]:
    """Say, for each picture, whether objects, colour and pattern were all found.

    Objects count as found when exactly the true ones score above zero.
    """
    words = vocabulary()
    truth = data.labels(words.concepts())
    objects, colours = len(words.objects), len(words.colours)
    a, b, c = objects, objects + colours, objects + colours + len(words.patterns)
    return {
        "objects": ((scores[:, :a] > 0) == (truth[:, :a] > 0)).all(1),
        "colour": scores[:, a:b].argmax(1) == truth[:, a:b].argmax(1),
        "pattern": scores[:, b:c].argmax(1) == truth[:, b:c].argmax(1),
    }


def save(model: Any, config: dict[str, Any], folder: Path) -> None:
    """Write a network in fp16 and its configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        key: (value.half() if value.is_floating_point() else value).cpu().contiguous()
        for key, value in model.state_dict().items()
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    write_json(folder / "config.json", config)


def main() -> None:
    """Train, save, and report held-out accuracy."""
    given = options(__doc__, minutes=5)
    run = Run("target", given)
    data = render(given.work, TRAIN_SEED, TRAIN_COUNT)
    config = configuration()
    model = train(run, given, data, config, sparse=0.02)
    level(model, Pictures(data.pixels[:LEVELLED], data.attributes[:LEVELLED]), given.device)
    shutil.rmtree(MODELS / "target", ignore_errors=True)
    save(model, config, MODELS / "target")
    test = render(given.work, HELD_OUT_SEED, TEST_COUNT)
    hidden, outputs = responses(model, test, given.device)
    for name, hits in right(outputs, test).items():
        run.log(f"held out: {name} right {hits.mean():.4f}")
    table = truth_table(hidden, test)
    write_json(MODELS / "target" / "truth.json", table)
    known = [entry for entry in table["layer4"] if entry["concept"]]
    run.log(f"layer4 neurons with a known meaning: {len(known)} of {WIDTHS[-1]}")


if __name__ == "__main__":
    main()
