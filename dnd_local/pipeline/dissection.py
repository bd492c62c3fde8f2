"""What a user asks for, in their words."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dnd_local.core.config import TIMEOUT_S, Config, Execution
from dnd_local.core.config_reading import read_toml
from dnd_local.core.errors import BadConfig
from dnd_local.core.libraries import check_libraries
from dnd_local.engines.llm_address import read_address
from dnd_local.engines.vllm_options import read_vllm_options
from dnd_local.pipeline.cluster import cluster_hosts
from dnd_local.pipeline.forecast import Forecast, forecast
from dnd_local.pipeline.runner import RunResult, dissect_neurons
from dnd_local.pipeline.selection import Selection, read_selection
from dnd_local.pipeline.served import SERVER, choose_server
from dnd_local.pipeline.session import Progress
from dnd_local.pipeline.settings import default_data, default_workspace, make_config, writable
from dnd_local.store.painting import painting_of
from dnd_local.store.weights import Weights, default_root


@dataclass(frozen=True, slots=True, kw_only=True)
class Dissection:
    """One dissection as it was asked for; what is left empty takes its default.

    `settings` are nested settings given one by one; they win over `config`, a TOML file, which
    wins over the preset. `vllm_options` are written as for a shell: ``--max-model-len 8192``.
    """

    model: str
    layer: str
    ids: str = "all"
    probe: str | None = None
    preset: str = ""
    config: Path | None = None
    run: str = ""
    workspace: Path | None = None
    weights: Path | None = None
    manifest: Path | None = None
    data: Path | None = None
    devices: str = "cpu"
    workers: int = 0
    shared: bool = False
    cluster: str = ""
    seed: int | None = None
    prompts: Path | None = None
    llm_url: str = ""
    allow_remote_llm: bool = False
    llm_timeout: float = TIMEOUT_S
    llm_concurrency: int = 0
    vllm_python: str = ""
    vllm_options: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)

    def make_config(self) -> Config:
        """Return the settings asked for.

        Raises:
            BadConfig: an unknown key, a value out of range, or an option that would have no effect.
            UnknownName: no such preset or engine.
        """
        options: dict[str, Any] = dict(self.settings.items())
        file = self._file_settings()
        if self.probe is not None:
            sets = [part.strip() for part in self.probe.split("+")]
            options["probe"] = {**options.get("probe", {}), "sets": sets}
        if self.seed is not None:
            options["seed"] = self.seed
        meant = self._meant_painting({**file.get("pictures", {}), **options.get("pictures", {})})
        config = make_config(self.model, self.preset, self.config, options, meant)
        given = {**file.get("llm", {}), **options.get("llm", {})}
        config = choose_server(config, self.llm_url, given)
        self._check_server_options(config.llm.engine)
        return config

    def holding_out(self, share: float) -> Dissection:
        """Return the same with a share of the images held out, unless one is held out already.

        Raises:
            BadConfig: it is said that none is.
        """
        if self.make_config().probe.holdout:
            return self
        given: dict[str, Any] = dict(self.settings.get("probe", {}))
        if "holdout" in {**self._file_settings().get("probe", {}), **given}:
            raise BadConfig(
                f"--evaluate judges labels on held-out images, and probe.holdout is 0; give "
                f"--probe-holdout {share}, or leave one of the two out"
            )
        return replace(self, settings={**self.settings, "probe": {**given, "holdout": share}})

    def _meant_painting(self, pictures: Mapping[str, Any]) -> dict[str, Any]:
        """Return how the image generator that the user names is meant to paint."""
        if not pictures.get("model") and not pictures.get("lora"):
            return {}
        manifest = Weights.open(self.weights, self.manifest).manifest
        return painting_of(manifest.entries, pictures)

    def _file_settings(self) -> dict[str, Any]:
        return read_toml(self.config) if self.config else {}

    def _check_server_options(self, engine: str) -> None:
        """Refuse what would have no effect on where the labels come from."""
        idle: dict[str, str] = {}
        if engine != "vllm":
            started = "a vLLM server that is started for the run"
            idle |= {"--vllm-options": started} if self.vllm_options else {}
            idle |= {"--vllm-python": started} if self.vllm_python else {}
        if engine not in ("vllm", SERVER):
            idle |= {"--llm-timeout": "a server"} if self.llm_timeout != TIMEOUT_S else {}
            idle |= {"--llm-concurrency": "a server"} if self.llm_concurrency else {}
        other = "leave --llm-url out" if self.llm_url else "give --llm vllm"
        for option, what in idle.items():
            raise BadConfig(
                f"{option} is for {what}, and here labels come from {self.llm_url or engine}; "
                f"leave it out, or {other}"
            )
        if self.allow_remote_llm and not self.llm_url:
            raise BadConfig("--allow-remote-llm is for --llm-url, which is not given; leave it out")

    def execution(self) -> Execution:
        """Return where the work is done.

        Raises:
            UserError: a workspace that cannot be written.
            BadConfig: devices that are neither "cpu" nor CUDA indices, several for a process that
                shares the work, or an address or options of vLLM that cannot be read.
            Refused: an option of vLLM that is not passed on, or the address of another machine.
        """
        devices = read_devices(self.devices)
        if self.shared and max(self.workers, len(devices)) > 1:
            raise BadConfig(
                f"--shared is for processes of one device each, and here are --devices "
                f"{self.devices} and --workers {self.workers or len(devices)}; start the command "
                "once for each device, with one of --devices each"
            )
        self._check_cluster(devices)
        if self.llm_url:
            read_address(self.llm_url, allow_remote=self.allow_remote_llm)
        return Execution(
            workspace=writable(self.workspace or default_workspace()),
            weights=self.weights or default_root(),
            data=self.data or default_data(),
            manifest=self.manifest,
            prompts=self.prompts,
            devices=devices,
            # A cluster knows best how many it can hold.
            workers=self.workers or (0 if self.cluster else len(devices)),
            shared=self.shared,
            cluster=self.cluster,
            llm_url=self.llm_url,
            allow_remote_llm=self.allow_remote_llm,
            llm_timeout=self.llm_timeout,
            llm_concurrency=self.llm_concurrency,
            vllm_python=self.vllm_python,
            vllm_options=read_options(self.vllm_options, on_cpu=devices == ("cpu",)),
        )

    def _check_cluster(self, devices: tuple[str, ...]) -> None:
        """Refuse what a cluster has no use for, before it is joined."""
        if not self.cluster:
            return
        check_libraries(["ray"])
        if self.shared:
            raise BadConfig("--cluster and --shared are two ways to many machines; leave one out")
        if len(devices) > 1:
            raise BadConfig(
                f"--devices {self.devices}: a cluster deals out its GPUs itself; give --devices 0 "
                "for its GPUs, cpu for its processors, and --workers for how many"
            )

    def selection(self) -> Selection:
        """Return the neurons asked for, with an encoder its latents.

        Raises:
            BadConfig: layers or ids that cannot be read; or as `make_config`.
        """
        selection = read_selection(self.layer, self.ids)
        return selection.through(self.make_config().network.latents)

    def run_now(self, progress: Progress | None = None) -> RunResult:
        """Do what is asked for, making only what is not on disk yet."""
        selection = self.selection()
        return dissect_neurons(self.make_config(), self.execution(), selection, self.run, progress)

    def forecast(self) -> Forecast:
        """Return what doing it would cost, without doing it."""
        return forecast(self.make_config(), self.execution(), self.selection(), self.run)


def read_devices(text: str) -> tuple[str, ...]:
    """Return ``cpu`` or CUDA indices as a tuple.

    Raises:
        BadConfig: it is neither.
    """
    devices = tuple(part.strip() for part in text.split(","))
    if devices != ("cpu",) and not all(part.isdecimal() for part in devices):
        raise BadConfig(f"devices '{text}' cannot be read; write cpu, or CUDA indices: 0 or 0,1")
    if len(set(devices)) != len(devices):
        raise BadConfig(f"devices '{text}' names one twice")
    return devices


def read_options(text: str, *, on_cpu: bool = False) -> tuple[str, ...]:
    """Return options of vLLM, split as a shell would.

    Raises:
        BadConfig: a quotation is left open, or an option has a value that will not do.
        Refused: an option that is not passed on, to a server on the CPU if `on_cpu`.
    """
    try:
        options = tuple(shlex.split(text))
    except ValueError as error:
        raise BadConfig(f"vLLM options '{text}' cannot be read: {error}") from None
    read_vllm_options(options, on_cpu=on_cpu)
    return options


def allowed_hosts(llm_url: str, allow_remote: bool, cluster: str = "") -> tuple[str, ...]:
    """Return the hosts that may be reached: a language model's server, a cluster's head."""
    host = urlsplit(llm_url).hostname if allow_remote and llm_url else None
    return ((host,) if host else ()) + cluster_hosts(cluster)
