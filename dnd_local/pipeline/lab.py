"""The laboratory of one run: its settings, its stores, its engines, opened when first asked for.

Stages ask it for what they need; it alone knows paths and devices. A worker process has one of
its own. Keys are made here, from everything that can change a part and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from dnd_local.core.config import Config, Execution
from dnd_local.core.digest import key
from dnd_local.core.errors import UserError
from dnd_local.core.protocols import (
    Captioner,
    Embedder,
    LanguageModel,
    Painter,
    ProbeSet,
    Target,
)
from dnd_local.core.records import Neuron, Pixels, Responses, SkippedImage
from dnd_local.pipeline import opening
from dnd_local.pipeline.stage import Item, Role, Stage
from dnd_local.store.blobs import BlobFolder
from dnd_local.store.parts import PartFolder
from dnd_local.store.probe_sets import holdout_mask, read_ahead
from dnd_local.store.prompts import PromptFolder
from dnd_local.store.weights import Weights


class Lab:
    """Everything a stage may ask for.

    Args:
        config: what can change a result.
        execution: where it is computed.
        device: where this process's models go, "cpu" or "cuda:N".
    """

    def __init__(self, config: Config, execution: Execution, device: str = "cpu") -> None:
        self.config, self.execution, self.device = config, execution, device
        self.blobs = BlobFolder(execution.workspace / "blobs")
        self.prompts = PromptFolder(execution.prompts)
        self.weights = Weights.open(execution.weights, execution.manifest)
        self._engines: dict[Role, tuple[Any, ExitStack]] = {}
        self._keys: dict[str, str] = {}

    def close(self) -> None:
        """Let go of every engine and of the device memory it held."""
        self.keep(())

    def keep(self, roles: Sequence[Role]) -> None:
        """Let go of every engine but those of `roles`, which the next stage would open again."""
        for role in [role for role in self._engines if role not in roles]:
            _, held = self._engines.pop(role)
            held.close()

    def missing_weights(self, stages: Sequence[Stage]) -> tuple[str, ...]:
        """Return the manifest ids that stages need and that are not on disk."""
        return self.weights.missing(self._ids(stages))

    def require(self, stages: Sequence[Stage]) -> None:
        """Check, before a model is built, that weights and probe set are there and unaltered.

        Raises:
            UserError: one line for the weights that are not there and one for the probe set, each
                with its size and the command that gets it; or the file that is not what its hash
                promises, or that nobody named.
        """
        absent = []
        for look in (self._require_weights, self._require_probe):
            try:
                look(stages)
            except UserError as error:
                absent.append(error)
        if len(absent) == 1:
            raise absent[0]
        if absent:
            raise UserError("\n".join(map(str, absent)))

    def _require_weights(self, stages: Sequence[Stage]) -> None:
        names = self._ids(stages)
        self.weights.require(names)
        for name in names:
            self.weights.folder(name)

    def _require_probe(self, stages: Sequence[Stage]) -> None:
        if any(stage.reads_probe for stage in stages):
            len(self.probe)

    def largest_memory(self, stages: Sequence[Stage]) -> int:
        """Return the bytes of device memory that the largest engine of the stages needs."""
        entries = [self.weights.manifest.entry(name) for name in self._ids(stages)]
        return max((entry.memory or 0 for entry in entries), default=0)

    def _ids(self, stages: Sequence[Stage]) -> list[str]:
        roles = dict.fromkeys(role for stage in stages for role in stage.roles)
        ids = opening.model_ids(self.config)
        return list(dict.fromkeys(name for role in roles for name in ids[role]))

    # ---- engines -------------------------------------------------------------------------------

    @property
    def target(self) -> Target:
        return cast(Target, self._engine("target"))

    @property
    def captioner(self) -> Captioner:
        return cast(Captioner, self._engine("captioner"))

    @property
    def language_model(self) -> LanguageModel:
        return cast(LanguageModel, self._engine("language-model"))

    @property
    def painter(self) -> Painter:
        return cast(Painter, self._engine("painter"))

    @property
    def embedder(self) -> Embedder:
        return cast(Embedder, self._engine("embedder"))

    def _engine(self, role: Role) -> Any:
        if role not in self._engines:
            opened = opening.open_engine(
                role, self.config, self.execution, self.weights, self.device
            )
            held = ExitStack()
            self._engines[role] = (held.enter_context(opened), held)
        return self._engines[role][0]

    # ---- the probe set -------------------------------------------------------------------------

    @cached_property
    def probe(self) -> ProbeSet:
        return opening.open_probe_set(self.config.probe, self.execution)

    @cached_property
    def eligible(self) -> NDArray[np.bool_]:
        """Which probe images may become exemplars, shape (n_images,); the rest are held out."""
        share = self.config.probe.holdout
        return ~holdout_mask(self.probe.digest, len(self.probe), share, self.config.seed)

    def read_ahead(self, indices: Sequence[int]) -> Iterator[tuple[int, Pixels | SkippedImage]]:
        """Yield (index, picture or why there is none), decoded in parallel, in order."""
        return read_ahead(self.probe, indices, opening.decoding_threads())

    # ---- parts ---------------------------------------------------------------------------------

    def places(self, stages: Sequence[Stage]) -> dict[str, str]:
        """Return the name of the folder that keeps each stage's parts."""
        return {stage.name: self.parts(stage).folder.name for stage in stages}

    def parts(self, stage: Stage) -> PartFolder[Any]:
        """Return the folder of a stage's parts under this run's settings."""
        root = self.execution.workspace / "artefacts"
        return PartFolder(root, stage.name, self.key(stage), stage.record)

    def read(self, stage: Stage, items: Sequence[Item]) -> list[Any]:
        """Return the parts of `items`, in order."""
        folder = self.parts(stage)
        return [folder.read(item.name) for item in items]

    def responses(self, layer: str) -> Iterator[Responses]:
        """Yield a layer's chunks of responses in order, one in memory at a time."""
        from dnd_local.pipeline.plan import RESPONSES

        folder = self.parts(RESPONSES)
        for chunk in range(self.chunks):
            yield folder.read(Item.of_chunk(layer, chunk).name)

    @property
    def chunks(self) -> int:
        """How many chunks the probe set falls into."""
        return -(-len(self.probe) // self.config.probe.chunk)

    def neurons(self, items: Sequence[Item]) -> list[Neuron]:
        return [Neuron(self.config.network.name, item.layer, item.index) for item in items]

    def key(self, stage: Stage) -> str:
        """Return the key of a stage's parts: SHA-256 of everything that can change them."""
        if stage.name not in self._keys:
            self._keys[stage.name] = key(self.meaning(stage))
        return self._keys[stage.name]

    def meaning(self, stage: Stage) -> dict[str, Any]:
        """Return what a stage's key stands for."""
        return {
            "stage": stage.name,
            "version": stage.version,
            "settings": stage.settings(self.config),
            "weights": {role: self._weights_digest(role) for role in stage.roles},
            "prompts": {name: self.prompts.digest(name) for name in stage.prompts},
            "probe": self.probe.digest if stage.reads_probe else None,
            "needs": {need.name: self.key(need) for need in stage.needs},
        }

    def _weights_digest(self, role: Role) -> str:
        return opening.weights_digest(role, self.config, self.execution, self.weights)
