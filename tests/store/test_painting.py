"""How generators and LoRAs are meant to paint, as the manifest says it."""

from __future__ import annotations

import pytest

from dnd_local.store.manifest import Manifest
from dnd_local.store.painting import painting_of

TURBO = {"steps": 4, "guidance": 0.0, "size": 512, "sampler": "own"}
LCM = {"steps": 4, "guidance": 1.0, "sampler": "lcm"}


@pytest.mark.parametrize(
    ("named", "meant"),
    [
        ({}, {}),
        ({"model": "sd15"}, {}),
        ({"model": "sdxl-turbo"}, TURBO),
        ({"model": "sd15", "lora": "lcm-lora-sdv1-5"}, LCM),
        ({"model": "sdxl", "lora": "lcm-lora-sdv1-5"}, LCM | {"size": 1024}),
        ({"model": "nowhere", "lora": ""}, {}),
    ],
)
def test_what_a_choice_means(named, meant):
    assert painting_of(Manifest.read().entries, named) == meant


def test_every_new_generator_says_how_it_paints():
    painting = {one.id for one in Manifest.read().entries if one.painting is not None}
    assert painting == {
        "sd21", "sd-turbo", "sdxl", "sdxl-turbo", "flux2-klein-4b", "lcm-lora-sdv1-5"
    }  # fmt: skip
