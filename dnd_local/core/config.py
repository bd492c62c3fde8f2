"""Every setting, in two types: what can change a result, and where it is computed.

`Config` enters the keys, `Execution` never does; two types, so that one cannot leak into the
other. Defaults are the paper's numbers. Presets and the user's TOML files are merged over them
key by key; an unknown key is refused with its nearest neighbour.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

from msgspec import Meta, Struct

from dnd_local.core.contradictions import check_alone, check_at_least, check_race
from dnd_local.core.ledger import OURS, RELEASED, Ledger
from dnd_local.core.records import Rule

Dtype: TypeAlias = Literal["float32", "float16", "bfloat16"]
Quantisation: TypeAlias = Literal["none", "int8", "int4"]
LlmQuantisation: TypeAlias = Literal["none", "int8", "int4", "fp8"]
TIMEOUT_S: Final = 300.0
"""How long one request to a language model's server may take, if nothing else is said."""

Sampler: TypeAlias = Literal["auto", "dpm++", "own", "lcm"]
Compat: TypeAlias = Literal["default", "official"]

MAX_BATCH: Final = 4096
"""Largest padded batch shape; a larger one would only be halved, again and again."""

MAX_SEED: Final = 2**63 - 1
"""Largest seed that JSON readers keep whole."""


class NetworkConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The network under study and how it is run."""

    name: Annotated[str, Meta(description="torchvision name, pocket or file.py:factory")] = "pocket"
    batch: Annotated[
        int, Meta(ge=1, le=MAX_BATCH, description="padded batch shape of every forward")
    ] = 32
    dtype: Annotated[Dtype, Meta(description="precision of the network")] = "float32"
    pool: Annotated[
        Literal["avg", "max"], Meta(description="a map's response: its mean or its maximum")
    ] = "avg"
    tokens: Annotated[
        Literal["cls", "mean", "max"],
        Meta(description="a transformer's response: CLS token, mean or max over patch tokens"),
    ] = "mean"
    layout: Annotated[
        str,
        Meta(
            pattern=r"^(channels-(first|last)|tokens:\d{1,4}(\+\d{1,4}x\d{1,4})?)?\Z",
            description="axes of a layer that the network leaves undecided: tokens:1+14x16, "
            "channels-first or channels-last",
        ),
    ] = ""
    latents: Annotated[
        str,
        Meta(description="name or file.py:factory of a sparse autoencoder that reads the layer"),
    ] = ""


class ProbeConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The probe set: the images whose responses are read."""

    sets: Annotated[
        tuple[str, ...], Meta(min_length=1, description="names or paths, joined in order")
    ] = ("imagenet-val", "broden")
    holdout: Annotated[
        float, Meta(ge=0, le=0.9, description="share that never yields exemplars, for evaluation")
    ] = 0.0
    chunk: Annotated[
        int, Meta(ge=1, le=65_536, description="images in one stored part of responses")
    ] = 512
    keep: Annotated[str, Meta(description="take images whose name is like this: */dog/*")] = ""
    sample: Annotated[
        int, Meta(ge=0, le=10**9, description="take so many images, drawn by the seed; 0: all")
    ] = 0


class TriageConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a neuron is not worth describing."""

    dead_below: Annotated[
        float, Meta(ge=0, le=1e6, description="dead: no response above this on any image")
    ] = 1e-6
    constant_below: Annotated[
        float,
        Meta(
            ge=0,
            le=1e6,
            description="constant: standard deviation below this share of the mean size",
        ),
    ] = 1e-4
    duplicate_above: Annotated[
        float, Meta(gt=0, le=1, description="duplicate: correlation with a lower index above this")
    ] = 0.9999


class ExemplarsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Top images, attention crops and the exemplars chosen among them."""

    images: Annotated[
        int, Meta(ge=1, le=10_000, description="K, probe images of highest response")
    ] = 10
    count: Annotated[
        int, Meta(ge=1, le=10_000, description="exemplars kept of images and crops")
    ] = 10
    crops: Annotated[int, Meta(ge=0, le=1_000, description="attention crops a picture at most")] = 4
    crop_iou: Annotated[
        float, Meta(ge=0, le=1, description="drop a box whose IoU with a kept one exceeds this")
    ] = 0.5
    whole_iou: Annotated[
        float, Meta(ge=0, le=1, description="drop a box whose IoU with the whole is this or more")
    ] = 0.8
    whole: Annotated[Literal["picture", "seen"], Meta(description="what that whole is")] = "picture"
    min_side: Annotated[int, Meta(ge=0, le=4096, description="drop a narrower box, pixels")] = 0
    views: Annotated[int, Meta(ge=0, le=1000, description="exemplars of one image; 0: any")] = 0


class CaptionsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The captioner and its decoding (greedy)."""

    model: Annotated[str, Meta(description="manifest id of the captioner, or file.py:factory")] = (
        "blip-base"
    )
    batch: Annotated[int, Meta(ge=1, le=MAX_BATCH, description="padded batch shape")] = 16
    dtype: Annotated[Dtype, Meta(description="precision")] = "float16"
    quantisation: Annotated[Quantisation, Meta(description="bitsandbytes, or none")] = "none"
    min_tokens: Annotated[int, Meta(ge=1, le=1024, description="shortest caption, new tokens")] = 4
    max_tokens: Annotated[int, Meta(ge=1, le=1024, description="longest caption, new tokens")] = 32


class LlmConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The language model that writes phrases and labels."""

    engine: Annotated[
        str, Meta(description="vllm, transformers, replay:RUN, or file.py:factory")
    ] = "vllm"
    model: Annotated[
        str, Meta(description="manifest id of the language model, or a name that a server serves")
    ] = "qwen3-4b-instruct"
    root: Annotated[
        str, Meta(description="what the server at --llm-url calls the model's root; set by the run")
    ] = ""
    revision: Annotated[
        str, Meta(description="which weights the server at --llm-url has, in your words")
    ] = ""
    batch: Annotated[
        int, Meta(ge=1, le=MAX_BATCH, description="padded batch shape (transformers engine)")
    ] = 16
    dtype: Annotated[Dtype, Meta(description="precision")] = "bfloat16"
    quantisation: Annotated[LlmQuantisation, Meta(description="weights of fewer bits, or none")] = (
        "none"
    )
    temperature: Annotated[float, Meta(ge=0, le=2, description="of every request")] = 0.3
    max_tokens: Annotated[
        int,
        Meta(
            ge=0,
            le=8192,
            description="longest reply in new tokens; 0: 40, official: the model's context",
        ),
    ] = 0
    thinking: Annotated[
        int,
        Meta(ge=0, le=32768, description="tokens a model may think before it answers; 0: none"),
    ] = 0


class ConceptsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Candidate concepts."""

    count: Annotated[int, Meta(ge=1, le=1000, description="N, distinct candidates asked for")] = 5
    max_draws: Annotated[
        int, Meta(ge=1, le=10_000, description="draws at most when labels repeat")
    ] = 10
    max_words: Annotated[int, Meta(ge=1, le=100, description="longest label in words")] = 5
    rounds: Annotated[int, Meta(ge=0, le=5, description="further rounds that see scores")] = 0
    contrast: Annotated[int, Meta(ge=0, le=100, description="cold images to be excluded")] = 0
    meanings: Annotated[int, Meta(ge=1, le=4, description="meanings of a neuron at most")] = 1


class PicturesConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The image generator."""

    model: Annotated[
        str, Meta(description="manifest id of the image generator, or file.py:factory")
    ] = "sd15"
    count: Annotated[int, Meta(ge=1, le=1000, description="Q, pictures a candidate")] = 10
    steps: Annotated[int, Meta(ge=1, le=1000, description="denoising steps")] = 50
    guidance: Annotated[float, Meta(ge=0, le=100, description="classifier-free guidance")] = 7.5
    size: Annotated[
        int, Meta(ge=8, le=4096, multiple_of=8, description="picture side in pixels")
    ] = 512
    quality: Annotated[int, Meta(ge=0, le=100, description="of WebP kept; 0: lossless PNG")] = 0
    batch: Annotated[int, Meta(ge=1, le=MAX_BATCH, description="padded batch shape")] = 10
    dtype: Annotated[Dtype, Meta(description="precision")] = "float16"
    decoder: Annotated[str, Meta(description="own, or the manifest id of a small decoder")] = "own"
    sampler: Annotated[Sampler, Meta(description="noise schedule; auto: the model's kind")] = "auto"
    lora: Annotated[str, Meta(description="manifest id of a LoRA that is added, or empty")] = ""


class ClipConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The embedder behind the CLIP cosines."""

    model: Annotated[
        str, Meta(description="manifest id of the open_clip model, or file.py:factory")
    ] = "clip-vit-b-16"
    batch: Annotated[int, Meta(ge=1, le=MAX_BATCH, description="padded batch shape")] = 32
    dtype: Annotated[Dtype, Meta(description="precision")] = "float32"


class ScoresConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The choice among candidates."""

    rule: Annotated[Rule, Meta(description="the rule that decides; the scores of all are kept")] = (
        "topk-compare"
    )
    beta: Annotated[
        int, Meta(ge=1, le=1000, description="best pictures of a candidate that count")
    ] = 5
    alike_above: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="leave out a label whose CLIP cosine to a better one exceeds this (figure "
            "26: 0.81); 1: none",
        ),
    ] = 1.0
    race: Annotated[
        int,
        Meta(ge=0, le=1000, multiple_of=2, description="pictures in a race's first round; 0: off"),
    ] = 0


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that can change a result."""

    seed: Annotated[int, Meta(ge=0, le=MAX_SEED, description="seed of the run")] = 0
    compat: Annotated[
        Compat,
        Meta(description="official: the released code's choices where safe (docs/method.md)"),
    ] = "default"
    network: NetworkConfig = NetworkConfig()
    probe: ProbeConfig = ProbeConfig()
    triage: TriageConfig = TriageConfig()
    exemplars: ExemplarsConfig = ExemplarsConfig()
    captions: CaptionsConfig = CaptionsConfig()
    llm: LlmConfig = LlmConfig()
    concepts: ConceptsConfig = ConceptsConfig()
    pictures: PicturesConfig = PicturesConfig()
    clip: ClipConfig = ClipConfig()
    scores: ScoresConfig = ScoresConfig()

    def __post_init__(self) -> None:
        check_at_least("concepts", self.concepts, "max_draws", "count")
        check_at_least("captions", self.captions, "max_tokens", "min_tokens")
        check_alone(self.scores.race, self.concepts.rounds)
        check_race(self.scores.race, self.pictures.count, official=self.compat == "official")

    @property
    def ledger(self) -> Ledger:
        """The side that `compat` takes of every row of the ledger."""
        return _LEDGERS[self.compat]


_LEDGERS: Final[Mapping[Compat, Ledger]] = {"default": OURS, "official": RELEASED}


class Execution(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a run is computed and by how many; nothing here can change a result.

    `workspace` holds parts, pictures and runs; `weights` the models that `manifest` (the shipped
    one if None) names; `data` prepared probe sets.
    `devices` are "cpu" or CUDA indices; `workers` the number of processes (one a device). `shared`:
    other processes may be at work on the same parts. `cluster`: the address of the Ray cluster that
    holds the workers, or "local"; "" for none.
    `llm_timeout` is seconds a request to the language model's server; `llm_concurrency` requests
    under way at once (0: many at a server of our own, few at another).
    """

    workspace: Path
    weights: Path
    data: Path
    manifest: Path | None = None
    prompts: Path | None = None
    devices: tuple[str, ...] = ("cpu",)
    workers: int = 1
    shared: bool = False
    cluster: str = ""
    llm_url: str = ""
    allow_remote_llm: bool = False
    llm_timeout: Annotated[float, Meta(gt=0)] = TIMEOUT_S
    llm_concurrency: Annotated[int, Meta(ge=0)] = 0
    vllm_python: str = ""
    vllm_options: tuple[str, ...] = ()
