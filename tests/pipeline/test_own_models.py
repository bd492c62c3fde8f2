"""Registering models by role: what an engine could not read is refused before a byte is hashed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import get_model_builder

from dnd_local.core.config import Config, Execution, LlmConfig
from dnd_local.core.config_reading import read_config
from dnd_local.core.digest import key
from dnd_local.core.errors import BadConfig, UnknownName, UserError
from dnd_local.core.protocols import Captioner, Embedder, LanguageModel, Painter, Target
from dnd_local.engines.small_resnet import SmallResNet
from dnd_local.engines.vllm_command import ServerSettings, read_model, server_options
from dnd_local.pipeline import engine_digests, opening
from dnd_local.pipeline.catalogue import known_targets, layers_of
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.own_models import add_model
from dnd_local.pipeline.reading import open_run
from dnd_local.pipeline.served import check_language_model
from dnd_local.store.add import Added
from dnd_local.store.runs import RunFolder
from dnd_local.store.weights import Weights, default_root
from tests.engines import tiny
from tests.engines.latents_folder import save_latents
from tests.engines.tiny_llama import make_tiny_llama
from tests.store import own
from tests.store.hub import Watcher

PROTOCOLS = {
    "target": Target, "captioner": Captioner, "language-model": LanguageModel, "painter": Painter,
    "embedder": Embedder,
}  # fmt: skip


@pytest.fixture
def there(tmp_path: Path) -> Weights:
    return Weights.open(tmp_path / "weights")


def register(
    there: Weights, folder: Path, role: str, source: str = "", name: str = "mine"
) -> Added:
    return add_model(there, name, folder, role, source, Watcher(), lambda _: False)


def small_resnet(folder: Path) -> Path:
    folder.mkdir()
    config = {
        "architecture": "torchvision-resnet-basicblock", "widths": [4, 4, 4, 4], "size": 32,
        "outputs": ["red", "blue"], "mean": [0.5] * 3, "std": [0.5] * 3,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    state = SmallResNet(config["widths"], 2).state_dict()
    save_file(
        {name: value.contiguous() for name, value in state.items()}, folder / "net.safetensors"
    )
    return folder


def execution(home: Path) -> Execution:
    return Execution(workspace=home, weights=home, data=home)


def clip_with_words(folder: Path) -> Path:
    tiny.save_open_clip(folder)
    (folder / "words.txt").write_text("dog\ncat\n")
    return folder


@pytest.mark.parametrize(
    ("role", "make", "section"),
    [
        ("captioner", tiny.save_blip, "captions"),
        ("captioner", clip_with_words, "captions"),
        ("painter", tiny.save_stable_diffusion, "pictures"),
        ("embedder", tiny.save_open_clip, "clip"),
        ("language-model", make_tiny_llama, "llm"),
        ("target", small_resnet, "network"),
    ],
)
def test_each_role_is_registered_and_opened_by_name(there, tmp_path, role, make, section):
    register(there, make(tmp_path / "folder"), role)
    name = "name" if role == "target" else "model"
    more = {"engine": "transformers"} if role == "language-model" else {}
    config = read_config({section: {name: "mine", "dtype": "float32", **more}})
    assert opening.model_ids(config)[role] == ("mine",)
    fresh = Weights.open(there.root)
    with opening.open_engine(role, config, execution(tmp_path), fresh, "cpu") as engine:
        assert isinstance(engine, PROTOCOLS[role])


def test_latents_are_registered_and_open_with_their_network(there, tmp_path):
    register(there, small_resnet(tmp_path / "net"), "target", name="net")
    added = register(there, save_latents(tmp_path / "sae", 4, 9), "latents", name="sae")
    assert added.entry.role == "latents"
    config = read_config({"network": {"name": "net", "latents": "sae"}})
    assert opening.model_ids(config)["target"] == ("net", "sae")
    fresh, where = Weights.open(there.root), execution(tmp_path)
    with opening.open_engine("target", config, where, fresh, "cpu") as engine:
        assert {one.path: one.neurons for one in engine.layers()}["layer4:sae"] == 9
    plain = read_config({"network": {"name": "net"}})
    digests = [
        engine_digests.weights_digest("target", one, where, fresh) for one in (config, plain)
    ]
    assert digests[1] == key([fresh.digest("net")])
    assert digests[0] == key([digests[1], fresh.digest("sae")])
    listed = layers_of("net", there.root, latents="sae")
    assert {one.path for one in listed} >= {"layer1:sae", "layer4:sae"}
    with pytest.raises(UserError, match="kind is None; say relu"):
        layers_of("net", there.root, latents="net")
    folder = save_latents(tmp_path / "short", 4, 9)
    save_file({"W_enc": torch.zeros(4, 9)}, folder / "sae.safetensors")
    with pytest.raises(UserError, match=r"short/model.safetensors lacks b_enc"):
        register(there, folder, "latents", name="short")


def test_latents_by_a_factory_are_examined_and_in_the_key(there, tmp_path):
    register(there, small_resnet(tmp_path / "net"), "target", name="net")
    (tmp_path / "sae.py").write_text(
        "import torch\ndef make():\n    torch.manual_seed(0)\n"
        "    module = torch.nn.Linear(4, 6)\n    module.inputs = 4\n    return module\n"
    )
    name = f"{tmp_path / 'sae.py'}:make"
    config = read_config({"network": {"name": "net", "latents": name}})
    lab = Lab(config, execution(there.root))
    lab.require(("target",), probe=False)
    first = lab.weights_digest("target")
    assert lab.target.layers()[0].path.endswith(":sae.py:make")
    lab.close()
    text = (tmp_path / "sae.py").read_text()
    (tmp_path / "sae.py").write_text(text.replace("seed(0)", "seed(1)"))
    assert lab.weights_digest("target") != first
    assert layers_of("net", there.root, latents=name)[0].neurons == 6
    (tmp_path / "sae.py").write_text("def make():\n    return 3\n")
    with pytest.raises(UserError, match="must return a torch module"):
        lab.require(("target",), probe=False)


def test_what_clip_with_words_cannot_obey_is_refused_before_any_work(there, tmp_path):
    register(there, clip_with_words(tmp_path / "folder"), "captioner")
    fresh = Weights.open(there.root)
    assert "words.txt" in {file.path for file in fresh.manifest.entry("mine").files}
    for setting in ("quantisation", "min_tokens", "max_tokens"):
        value = "int8" if setting == "quantisation" else 7
        config = read_config({"captions": {"model": "mine", setting: value}})
        told = rf"captions\.{setting} is {value}, and mine \(CLIP with words\) has no such setting"
        with pytest.raises(BadConfig, match=told):
            opening.check_settings(("captioner",), config, fresh)
    plain = read_config({"captions": {"model": "mine"}})
    opening.check_settings(("captioner", "target"), plain, fresh)


def test_a_network_of_torchvision_with_weights_of_ones_own(there, tmp_path):
    module = get_model_builder("squeezenet1_1")(weights=None)
    folder = tmp_path / "folder"
    folder.mkdir()
    save_file(module.state_dict(), folder / "tuned.safetensors")
    source = "torchvision:squeezenet1_1@IMAGENET1K_V1"
    assert register(there, folder, "target", source).entry.network == source
    listed = {one.name: one for one in known_targets(there.root)}
    assert (listed["mine"].kind, listed["mine"].weights) == ("torchvision, your own", "here")
    # The whole name of a published network never means a user's weights.
    assert Weights.open(there.root).manifest.entry("squeezenet1_1@IMAGENET1K_V1").id != "mine"
    with pytest.raises(UserError, match=rf"{folder}/tuned.safetensors does not fit|does not fit"):
        register(there, folder, "target", "torchvision:resnet18@IMAGENET1K_V1", "other")


@pytest.mark.parametrize(
    ("role", "source", "error", "told"),
    [
        ("judge", "", BadConfig, "--role is one of target, .*, not 'judge'"),
        ("captioner", "hf", BadConfig, "--source hf is for targets"),
        ("painter", "", UserError, "holds no painter that is known here"),
        ("target", "", UserError, "nothing in .* says which network it is; say it with --source"),
        ("target", "tomm:resnet50", UnknownName, "unknown source of networks 'tomm'"),
        ("language-model", "", UserError, "brings no chat template"),
    ],
)
def test_what_no_engine_of_the_role_reads(there, tmp_path, role, source, error, told):
    with pytest.raises(error, match=told):
        register(there, own.single(tmp_path / "folder"), role, source)
    assert not there.root.exists()


def test_names_of_the_embedded_networks_and_folders_that_are_none(there, tmp_path):
    with pytest.raises(BadConfig, match="'pocket' is the name of an embedded network"):
        register(there, own.single(tmp_path / "folder"), "target", name="pocket")
    with pytest.raises(UserError, match="is not there"):
        register(there, tmp_path / "absent", "captioner")


def test_a_folder_with_room_for_doubt_takes_the_engines_own_file(there, tmp_path):
    folder = tiny.save_open_clip(tmp_path / "clip")
    own.tensors(folder / "model.safetensors", "of", "transformers")
    files = [file.path for file in register(there, folder, "embedder").entry.files]
    assert "open_clip_model.safetensors" in files
    assert "model.safetensors" not in files


@pytest.mark.parametrize(
    "quantised",
    [
        {"quant_method": "awq", "bits": 4, "group_size": 128, "version": "gemm"},
        {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": False},
        {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]},
    ],
)
def test_a_quantised_language_model_is_handed_to_vllm_as_it_is(there, tmp_path, quantised):
    folder = make_tiny_llama(tmp_path / "folder")
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {"quantization_config": quantised}))
    packed = {"model.layers.0.self_attn.q_proj.qweight": torch.zeros(64, 8, dtype=torch.int32)}
    save_file(packed, folder / "model.safetensors")
    entry = register(there, folder, "language-model").entry
    assert entry.note == f"quantised by {quantised['quant_method']}; for vLLM"
    assert entry.dtype == "mixed"
    served = there.folder("mine")
    assert (served / "config.json").read_bytes() == (folder / "config.json").read_bytes()
    server = ServerSettings(model=served, dtype="float16")
    options = server_options(server, read_model(served), None)
    assert "--quantization" not in options
    assert options[options.index("--load-format") + 1] == "safetensors"
    # Neither quantised once more, nor read by the engine that cannot.
    for engine, kind, told in (
        ("vllm", "fp8", "are quantised already"),
        ("transformers", "none", "give --llm vllm"),
    ):
        llm = LlmConfig(engine=engine, model="mine", quantisation=kind)
        with pytest.raises(UserError, match=told):
            check_language_model(Config(llm=llm), execution(tmp_path), there)


def test_a_path_in_place_of_a_name_answers_with_the_command():
    for section, role, more in (
        ({"llm": {"model": "path/to/folder"}}, "language-model", ""),
        ({"network": {"name": "./net"}}, "target", " --source SOURCE"),
    ):
        path = "path/to/folder" if role == "language-model" else "./net"
        told = re.escape(f"dnd-local weights add NAME {path} --role {role}{more}")
        with pytest.raises(BadConfig, match=told):
            opening.model_ids(read_config(section))


def test_a_run_finds_its_own_models_again_without_being_told(tmp_path, bench):
    record = bench.run("0", name="mine").record
    assert Path(record.weights) == bench.execution().weights.absolute()
    folder = RunFolder(bench.workspace, "mine")
    kept = tmp_path / "kept"
    kept.mkdir()
    folder.update(weights=str(kept))
    assert open_run("mine", bench.workspace).lab.weights.root == kept
    assert open_run("mine", bench.workspace, tmp_path).lab.weights.root == tmp_path
    folder.update(weights=str(tmp_path / "gone"))
    assert open_run("mine", bench.workspace).lab.weights.root == default_root()


def test_what_a_generator_cannot_follow_is_refused_before_it_is_loaded(there, tmp_path):
    folder = tiny.save_stable_diffusion(tmp_path / "folder")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(
        json.dumps(index | {"_class_name": "Flux2KleinPipeline"})
    )
    register(there, folder, "painter")
    fresh = Weights.open(there.root)
    opening.check_settings(("painter",), read_config({"pictures": {"model": "mine"}}), fresh)
    config = read_config({"pictures": {"model": "mine", "sampler": "lcm"}})
    with pytest.raises(BadConfig, match=r"pictures\.sampler lcm is for Stable Diffusion"):
        opening.check_settings(("painter",), config, fresh)
