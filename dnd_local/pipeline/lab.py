"""The laboratory of one run: its settings, its stores, its engines, opened when first asked for.

Stages ask it for what they need; it alone knows paths and devices, and it knows no stage. A worker
process has one of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from dnd_local.core.config import Config, Execution
from dnd_local.core.errors import UnknownName, UserError
from dnd_local.core.factory_names import is_factory
from dnd_local.core.protocols import (
    Captioner,
    Embedder,
    EngineRole,
    LanguageModel,
    Painter,
    ProbeSet,
    Target,
)
from dnd_local.core.records import Pixels, SkippedImage
from dnd_local.core.sequences import distinct
from dnd_local.core.tiles import Tiles, TileSet, seen_by
from dnd_local.engines.registry import check_engines
from dnd_local.pipeline import engine_digests, opening
from dnd_local.pipeline.overlap import EngineCalls
from dnd_local.pipeline.tile_target import TileTarget
from dnd_local.store.blobs import BlobFolder
from dnd_local.store.probe_sets import holdout_mask, read_ahead
from dnd_local.store.probe_subset import subset
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
        self.artefacts = execution.workspace / "artefacts"
        self.prompts = PromptFolder(execution.prompts)
        self.weights = Weights.open(execution.weights, execution.manifest)
        self._engines: dict[EngineRole, tuple[Any, ExitStack]] = {}
        self._calls: EngineCalls | None = None
        self.keys: dict[str, str] = {}
        self.loading = 0.0
        """Seconds spent opening engines."""

    def close(self) -> None:
        """Let go of every engine and of the device memory it held."""
        self.keep(())

    def keep(self, roles: Sequence[EngineRole]) -> None:
        """Close every engine but those of `roles`, which the next stage uses."""
        for role in [role for role in self._engines if role not in roles]:
            _, held = self._engines.pop(role)
            held.close()

    def missing_weights(self, roles: Sequence[EngineRole]) -> tuple[str, ...]:
        """Return the manifest ids behind roles that are not on disk."""
        return self.weights.missing(self._ids(roles))

    def require(self, roles: Sequence[EngineRole], *, probe: bool) -> None:
        """Check, before any work, that libraries, weights and probe set are there and unaltered.

        Raises:
            UnknownName: a model that the manifest has not.
            UserError: one line for the libraries that are not installed, one for the weights that
                are not there and one for the probe set, each with the command that gets it; or
                the file that is not what its hash promises, or that nobody named; or what is
                wrong with an engine of the user's own, which is built and examined here.
        """
        looks = self._looks(roles, probe=probe)
        looks[1] = lambda: self._verify(roles)
        absent = _refusals(looks)
        if len(absent) == 1:
            raise absent[0]
        if absent:
            raise UserError("\n".join(map(str, absent)))
        for role in roles:
            if is_factory(opening.engine_name(role, self.config)):
                engine_digests.examine(role, self.config, self.execution)
        if "target" in roles and is_factory(self.config.network.latents):
            engine_digests.examine_latents(self.config, self.execution)

    def missing(self, roles: Sequence[EngineRole]) -> tuple[str, ...]:
        """Return a line for the libraries, the weights and each probe set that are not here.

        Raises:
            UnknownName: a model that the manifest has not, or a set that is none.
        """
        refused = _refusals(self._looks(roles, probe=True))
        return tuple(line for error in refused for line in str(error).splitlines())

    def _looks(self, roles: Sequence[EngineRole], *, probe: bool) -> list[Callable[[], object]]:
        """Return what looks for libraries, for weights and for the probe set, in this order."""
        names = self._ids(roles)
        built_in = opening.in_process(roles, self.config)
        return [
            lambda: check_engines(built_in),
            lambda: self.weights.require(names),
            lambda: probe and len(self.probe),
        ]

    def _verify(self, roles: Sequence[EngineRole]) -> None:
        names = self._ids(roles)
        self.weights.require(names)
        for name in names:
            self.weights.folder(name)
        opening.check_settings(roles, self.config, self.weights)

    def largest_memory(self, roles: Sequence[EngineRole]) -> int:
        """Return the bytes of device memory that the largest engine of `roles` needs."""
        entries = [self.weights.manifest.entry(name) for name in self._ids(roles)]
        return max((entry.memory or 0 for entry in entries), default=0)

    def _ids(self, roles: Sequence[EngineRole]) -> list[str]:
        ids = opening.model_ids(self.config)
        opening.check_names(roles, self.config, self.weights.manifest)
        return distinct(name for role in roles for name in ids[role])

    # ---- engines -------------------------------------------------------------------------------

    @property
    def target(self) -> Target:
        target = cast(Target, self._engine("target"))
        bands = self._bands()
        if not bands:
            return target
        return TileTarget(target, bands, lambda picture: self._tile_set().lift(picture))

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

    def _engine(self, role: EngineRole) -> Any:
        if role not in self._engines:
            self._ids([role])
            opened = opening.open_engine(
                role, self.config, self.execution, self.weights, self.device
            )
            held, started = ExitStack(), time.monotonic()
            self._engines[role] = (held.enter_context(opened), held)
            self.loading += time.monotonic() - started
        engine = self._engines[role][0]
        return engine if self._calls is None else self._calls.through(engine)

    def narrowed(self, roles: Sequence[EngineRole]) -> int:
        """Return the smallest batch to which memory forced one of these engines, 0 for none."""
        opened = [self._engines[role][0] for role in roles if role in self._engines]
        return min(filter(None, (getattr(one, "narrowed", 0) for one in opened)), default=0)

    @contextmanager
    def engines_called_by(self, roles: Sequence[EngineRole], calls: EngineCalls) -> Iterator[None]:
        """Open the engines of `roles`, and let stages use them from several threads meanwhile."""
        for role in roles:
            self._engine(role)
        self._calls = calls
        try:
            yield
        finally:
            self._calls = None

    # ---- the probe set -------------------------------------------------------------------------

    @cached_property
    def probe(self) -> ProbeSet:
        config = self.config.probe
        whole = opening.open_probe_set(config, self.execution)
        return subset(whole, config.keep, config.sample, self.config.seed)

    @property
    def seen_probe(self) -> ProbeSet:
        """The probe set as the network sees it: of tiles all bands."""
        return self.as_seen(self.probe)

    def as_seen(self, probe: ProbeSet) -> ProbeSet:
        """Return a probe set as the network sees it.

        Raises:
            UserError: the network takes tiles of other bands than the set has.
        """
        self._engine("target")
        return seen_by(self._bands(), probe)

    def _bands(self) -> int:
        """Return the bands of the tiles that the opened network takes, 0 for pictures."""
        return cast(Target, self._engines["target"][0]).bands

    def _tile_set(self) -> TileSet:
        return cast(Tiles, self.seen_probe).tiles

    @cached_property
    def eligible(self) -> NDArray[np.bool_]:
        """Which probe images may become exemplars, shape (n_images,); the rest are held out."""
        share = self.config.probe.holdout
        return ~holdout_mask(self.probe.digest, len(self.probe), share, self.config.seed)

    def read_ahead(self, indices: Sequence[int]) -> Iterator[tuple[int, Pixels | SkippedImage]]:
        """Yield (index, picture or why there is none), decoded in parallel, in order."""
        return read_ahead(self.probe, indices, opening.decoding_threads())

    def read_ahead_as_seen(
        self, indices: Sequence[int]
    ) -> Iterator[tuple[int, Pixels | SkippedImage]]:
        """Yield the same as the network sees it."""
        return read_ahead(self.seen_probe, indices, opening.decoding_threads())

    @property
    def chunks(self) -> int:
        """How many chunks the probe set falls into."""
        return -(-len(self.probe) // self.config.probe.chunk)

    def weights_digest(self, role: EngineRole) -> str:
        """Return what stands in a key for the weights behind a role."""
        return engine_digests.weights_digest(role, self.config, self.execution, self.weights)


def _refusals(looks: Sequence[Callable[[], object]]) -> list[UserError]:
    """Return what each look finds missing.

    Raises:
        UnknownName: something has a name that nothing answers to, so that it is not just missing.
    """
    refused = []
    for look in looks:
        try:
            look()
        except UnknownName:
            raise
        except UserError as error:
            refused.append(error)
    return refused
