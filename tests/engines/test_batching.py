"""Padded groups, memory that runs out, texts batched by length."""

from __future__ import annotations

import logging

import pytest
import torch

from dnd_local.core.errors import OutOfMemory
from dnd_local.engines import batching
from dnd_local.engines.batching import OnBatches, PaddedBatches, up_to_multiple


@pytest.mark.parametrize("count", [0, 1, 3, 4, 7])
def test_every_group_has_the_one_shape(count):
    seen = []

    def forward(group):
        seen.append(list(group))
        return [10 * value for value in group]

    assert PaddedBatches(3).run(range(count), forward) == [10 * i for i in range(count)]
    assert all(len(group) == 3 for group in seen)
    assert len(seen) == -(-count // 3)


def test_the_last_group_is_filled_with_its_last_input():
    seen = []
    PaddedBatches(3).run([1, 2, 3, 4], lambda group: seen.append(list(group)) or group)
    assert seen == [[1, 2, 3], [4, 4, 4]]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
)
def test_memory_that_runs_out_halves_the_groups_for_good(error, caplog, monkeypatch):
    sizes, released = [], []
    monkeypatch.setattr(batching, "release", lambda: released.append(1))

    def forward(group):
        sizes.append(len(group))
        if len(group) > 2:
            raise error
        return [value + 1 for value in group]

    batches = PaddedBatches(8)
    with caplog.at_level(logging.WARNING):
        assert batches.run(range(5), forward) == [1, 2, 3, 4, 5]
    assert sizes == [8, 4, 2, 2, 2]
    assert len(released) == 2
    assert batches.shape == 2
    assert "groups of 2" in caplog.text
    assert batches.run([7], forward) == [8]
    assert sizes[5:] == [2]


def test_one_input_that_does_not_fit_is_said_so(monkeypatch):
    monkeypatch.setattr(batching, "release", lambda: None)

    def forward(group):
        raise torch.OutOfMemoryError("full\nand a long dump")

    with pytest.raises(OutOfMemory, match=r"single input \(full\); use a smaller model"):
        PaddedBatches(2).run([1, 2], forward)


def test_other_errors_pass_through():
    def forward(group):
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        PaddedBatches(2).run([1, 2], forward)


def test_inputs_meet_only_inputs_of_their_own_length():
    groups = []

    def forward(group):
        groups.append(list(group))
        return [text.upper() for text in group]

    texts = ["a", "bb", "c", "dd", "e"]
    assert PaddedBatches(2).run_by_length(texts, len, forward) == ["A", "BB", "C", "DD", "E"]
    assert groups == [["a", "c"], ["e", "e"], ["bb", "dd"]]


@pytest.mark.parametrize(("length", "expected"), [(0, 16), (1, 16), (16, 16), (17, 32)])
def test_up_to_multiple(length, expected):
    assert up_to_multiple(length, 16) == expected


def test_what_memory_forced_is_told(monkeypatch):
    monkeypatch.setattr(batching, "release", lambda: None)

    def forward(group):
        if len(group) > 1:
            raise MemoryError
        return group

    engine = OnBatches()
    engine._batches = PaddedBatches(4)
    assert engine.narrowed == 0
    assert engine._batches.run([1, 2], forward) == [1, 2]
    assert engine.narrowed == 1
