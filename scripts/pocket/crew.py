"""Gradients from several processes at once, on one model in shared memory.

Two processes of one thread each learn from 1.4 times as many pictures as one process of two
threads: the painter's convolutions are too small to be shared out well.
"""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from typing import TypeAlias

import torch
from shared import Options, seed_everything
from torch import multiprocessing, nn

Lesson: TypeAlias = Callable[[nn.Module], torch.Tensor]
"""Draws a batch and returns the model's loss on it."""


class Crew:
    """Processes that work on batches of their own while this one works on its.

    Only this process steps, and only while the others wait, so there is one model, one optimiser
    and one clock. The others end with this process.
    """

    def __init__(self, model: nn.Module, lesson: Lesson, size: int, seed: int) -> None:
        """Start ``size`` - 1 processes; the model must be on the CPU where there are any.

        Args:
            model: What is trained; its parameters move to shared memory.
            lesson: What each process does for a step; it is sent to the others.
            size: How many processes, this one included.
            seed: Of the others' batches; each adds its place.
        """
        self.model, self.lesson, self.others = model, lesson, size - 1
        if not self.others:
            return
        model.share_memory()
        count = sum(value.numel() for value in model.parameters())
        self.gradients = torch.zeros(self.others, count).share_memory_()
        context = multiprocessing.get_context("spawn")
        self.barrier = context.Barrier(size)
        for place in range(self.others):
            given = (model, lesson, self.gradients[place], self.barrier, seed + 1 + place)
            context.Process(target=_help, args=given, daemon=True).start()

    @classmethod
    def of(cls, model: nn.Module, lesson: Lesson, given: Options, seed: int) -> Crew:
        """Start one process a thread on the CPU, and no other on a GPU."""
        size = given.threads if given.device.type == "cpu" else 1
        torch.set_num_threads(max(1, given.threads // size))
        seed_everything(seed)
        return cls(model, lesson, size, seed)

    def backward(self) -> float:
        """Put the mean gradient of one batch a process into the model, and return the own loss."""
        if self.others:
            self.barrier.wait()
        loss = self.lesson(self.model)
        loss.backward()
        if self.others:
            self.barrier.wait()
            parts = self.gradients.sum(0).split([p.numel() for p in self.model.parameters()])
            for value, part in zip(self.model.parameters(), parts, strict=True):
                if value.grad is not None:
                    value.grad.add_(part.view_as(value)).div_(1 + self.others)
        return loss.item()


def _help(
    model: nn.Module, lesson: Lesson, gradients: torch.Tensor, barrier: Barrier, seed: int
) -> None:
    """Compute gradients, a batch each time that all have met, for ever."""
    torch.set_num_threads(1)
    seed_everything(seed)
    while True:
        barrier.wait()
        model.zero_grad()
        lesson(model).backward()
        flat = [
            torch.zeros(value.numel()) if value.grad is None else value.grad.reshape(-1)
            for value in model.parameters()
        ]
        torch.cat(flat, out=gradients)
        barrier.wait()
