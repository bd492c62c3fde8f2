"""What to do about missing and damaged weights, by where they come from."""

import re

import pytest

from dnd_local.store.cures import all_missing_text, missing_text, repair
from tests.store.hub import entry, manifest

LOCAL = {"kind": "local", "folder": "/models/x"}
USER = {"kind": "user", "page": "https://e.org/a"}
SHIPPED = {"kind": "shipped", "folder": "toy"}


def made(name="model", **changes):
    return manifest(entry(name, {"a": b"a"}, **changes)).entries[0]


@pytest.mark.parametrize(
    ("changes", "missing", "damaged"),
    [
        ({}, "weights pull model", "weights pull model"),
        ({"source": USER}, "leaves the download|leave the download to you: https", "weights pull"),
        ({"source": SHIPPED}, "scripts/pocket/train", "install dnd-local again"),
        ({"source": LOCAL}, "they were in /models/x; say", "put the old file back into /models/x,"),
        ({"source": {"kind": "local"}}, r"\); say|; say where", "put the old file back, or"),
        (
            {"source": LOCAL, "network": "timm:vit"},
            "--source timm:vit",
            "--source timm:vit",
        ),
    ],
)
def test_by_source(tmp_path, changes, missing, damaged):
    one = made(**changes)
    assert re.search(missing, missing_text(one, tmp_path))
    assert re.search(damaged, repair(one))


def test_several_a_line_a_way(tmp_path):
    every = [
        made("a"), made("b"), made("s", source=SHIPPED), made("t", source=SHIPPED),
        made("x", source=LOCAL), made("y", source=LOCAL),
    ]  # fmt: skip
    lines = all_missing_text(every, [tmp_path] * 6, tmp_path).splitlines()
    assert [line.split(" (")[0] for line in lines] == [
        "weights 'x'", "weights 'y'", "weights s, t are not here; they ship with dnd-local, but "
        "not with this copy; train them in a checkout: scripts/pocket/train", "weights a, b",
    ]  # fmt: skip
    assert all_missing_text([], [], tmp_path) == ""
