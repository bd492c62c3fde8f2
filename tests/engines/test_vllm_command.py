import json
import os
from pathlib import Path

import pytest

from dnd_local.core.errors import BadConfig, MissingWeights, Refused, UserError
from dnd_local.engines.vllm_command import (
    GpuMemory,
    ModelFacts,
    ServerSettings,
    copies_of,
    read_gpu_memory,
    read_model,
    server_options,
)

GIB = 1 << 30
SMALL = ModelFacts(length=2048, heads=4, cache_bytes=1 << 10, weight_bytes=GIB)
EIGHT_B = ModelFacts(
    length=131072, heads=32, cache_bytes=2 * 2 * 32 * 8 * 128, weight_bytes=16 * GIB
)
H100 = GpuMemory(free=79 * GIB, total=80 * GIB)


def value(options, name):
    """Return the last value of an option: where it is given twice, vLLM takes that."""
    places = [i for i, option in enumerate(options) if option == name]
    return options[places[-1] + 1] if places else None


class TestOptions:
    def test_on_the_cpu(self, tmp_path):
        options = server_options(ServerSettings(tmp_path, dtype="float32", seed=3), SMALL, None)
        assert value(options, "--model") == str(tmp_path)
        assert value(options, "--dtype") == "float32"
        assert value(options, "--seed") == "3"
        assert value(options, "--max-model-len") == "2048"
        assert value(options, "--load-format") == "safetensors"
        assert value(options, "--generation-config") == "vllm"
        assert {"--enforce-eager", "--enable-prefix-caching", "--disable-fastapi-docs"} <= {
            *options
        }
        # A seeded request in a chunked prefill ends vLLM 0.32 on the CPU.
        assert "--no-enable-chunked-prefill" in options
        assert "--tensor-parallel-size" not in options
        assert not [option for option in options if "trust" in option]

    def test_a_relative_folder_is_made_absolute(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "llm").mkdir()
        options = server_options(ServerSettings(Path("llm")), SMALL, None)
        assert value(options, "--model") == str(tmp_path / "llm")

    def test_on_one_gpu_it_takes_what_is_free(self, tmp_path):
        settings = ServerSettings(tmp_path, devices=("0",))
        options = server_options(settings, EIGHT_B, H100)
        assert value(options, "--gpu-memory-utilization") == "0.90"
        assert value(options, "--max-model-len") == "4096"
        assert value(options, "--tensor-parallel-size") == "1"
        half = server_options(settings, EIGHT_B, GpuMemory(40 * GIB, 80 * GIB))
        assert value(half, "--gpu-memory-utilization") == "0.47"
        unknown = server_options(settings, EIGHT_B, None)
        assert value(unknown, "--gpu-memory-utilization") == "0.90"

    @pytest.mark.parametrize(
        ("devices", "heads", "shares"), [(1, 32, 1), (2, 32, 2), (3, 32, 2), (8, 12, 6), (4, 7, 1)]
    )
    def test_the_heads_are_shared_out_evenly(self, tmp_path, devices, heads, shares):
        facts = ModelFacts(4096, heads, 1024, GIB)
        settings = ServerSettings(tmp_path, devices=tuple(map(str, range(devices))))
        options = server_options(settings, facts, None)
        assert value(options, "--tensor-parallel-size") == str(shares)

    @pytest.mark.parametrize(
        ("devices", "weights", "tensor", "copies"),
        [(8, 16, 1, "8"), (8, 130, 2, "4"), (8, 400, 8, None), (3, 130, 2, None), (1, 16, 1, None)],
    )
    def test_a_copy_takes_as_many_gpus_as_memory_needs_and_the_others_hold_copies(
        self, tmp_path, devices, weights, tensor, copies
    ):
        facts = ModelFacts(131072, 32, EIGHT_B.cache_bytes, weights * GIB)
        settings = ServerSettings(tmp_path, devices=tuple(map(str, range(devices))))
        options = server_options(settings, facts, H100)
        assert value(options, "--tensor-parallel-size") == str(tensor)
        assert value(options, "--data-parallel-size") == copies
        assert copies_of(options) == int(copies or 1)
        assert value(options, "--max-model-len") == "4096"

    def test_the_users_own_shares_decide_how_many_copies_there_are(self, tmp_path):
        settings = ServerSettings(tmp_path, devices=tuple("0123"), options=("-tp=2",))
        options = server_options(settings, EIGHT_B, H100)
        assert value(options, "--tensor-parallel-size") == value(options, "--data-parallel-size")
        assert value(options, "--data-parallel-size") == "2"
        assert copies_of(options) == 2

    def test_a_tight_gpu_gets_shorter_conversations(self, tmp_path):
        settings = ServerSettings(tmp_path, devices=("0",))
        # 0.47 * 40 GiB less 16 GiB of weights and 2 GiB beside them leave room for 5,900 tokens
        # of 0.125 MiB; with a cache of eight times that, for 730.
        tight = GpuMemory(20 * GIB, 40 * GIB)
        assert value(server_options(settings, EIGHT_B, tight), "--max-model-len") == "4096"
        wide = ModelFacts(4096, 32, 2 * EIGHT_B.cache_bytes, EIGHT_B.weight_bytes)
        assert value(server_options(settings, wide, tight), "--max-model-len") == "2048"
        wider = ModelFacts(4096, 32, 8 * EIGHT_B.cache_bytes, EIGHT_B.weight_bytes)
        with pytest.raises(UserError, match=r"needs about 19 GB .* 21 GB are free; take"):
            server_options(settings, wider, tight)

    def test_fewer_bits_make_it_fit(self, tmp_path):
        card = GpuMemory(15 * GIB, 16 * GIB)
        with pytest.raises(UserError, match=r"'fp8' or 'int4'"):
            server_options(ServerSettings(tmp_path, devices=("0",)), EIGHT_B, card)
        settings = ServerSettings(tmp_path, devices=("0",), quantisation="fp8")
        options = server_options(settings, EIGHT_B, card)
        assert value(options, "--quantization") == "fp8_per_tensor"
        assert value(options, "--load-format") == "safetensors"

    def test_four_bits_go_through_the_plugins_own_loader(self, tmp_path):
        settings = ServerSettings(tmp_path, quantisation="int4")
        options = server_options(settings, SMALL, None)
        assert value(options, "--quantization") == "bitsandbytes"
        assert "--load-format" not in options

    def test_eight_bits_of_bitsandbytes_are_not_to_be_had(self, tmp_path):
        with pytest.raises(UserError, match=r"fp8.*int4.*--llm transformers"):
            server_options(ServerSettings(tmp_path, quantisation="int8"), SMALL, None)

    def test_the_users_options_replace_ours(self, tmp_path):
        mine = ("--max-model-len", "512", "--no_enable_prefix_caching", "--max-num-seqs=9")
        options = server_options(ServerSettings(tmp_path, options=mine), SMALL, None)
        assert options[-5:] == [
            "--max-model-len", "512", "--no-enable-prefix-caching", "--max-num-seqs", "9",
        ]  # fmt: skip
        assert options.count("--max-model-len") == 1
        assert "--enable-prefix-caching" not in options

    def test_an_option_that_is_not_on_the_list_is_refused(self, tmp_path):
        settings = ServerSettings(tmp_path, options=("--trust-remote-code",))
        with pytest.raises(Refused, match="'--trust-remote-code' is not passed on"):
            server_options(settings, SMALL, None)


class TestReadModel:
    CONFIG = {  # noqa: RUF012
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "hidden_size": 4096,
        "num_hidden_layers": 36,
        "max_position_embeddings": 40960,
    }

    def folder(self, tmp_path, config):
        (tmp_path / "config.json").write_text(json.dumps(config))
        (tmp_path / "a.safetensors").write_bytes(b"x" * 10)
        (tmp_path / "b.safetensors").write_bytes(b"x" * 20)
        return tmp_path

    def test_tells_size_and_length(self, tmp_path):
        facts = read_model(self.folder(tmp_path, self.CONFIG))
        assert facts == ModelFacts(40960, 32, 2 * 2 * 36 * 8 * 128, 30)

    def test_the_text_part_of_a_larger_model_counts(self, tmp_path):
        nested = {"text_config": self.CONFIG | {"head_dim": 64}}
        assert read_model(self.folder(tmp_path, nested)).cache_bytes == 2 * 2 * 36 * 8 * 64

    @pytest.mark.parametrize("config", [{}, [], {"num_attention_heads": 0, "hidden_size": 4}, "x"])
    def test_what_is_no_language_model_is_named(self, tmp_path, config):
        with pytest.raises(BadConfig, match="is not a language model's configuration"):
            read_model(self.folder(tmp_path, config))

    def test_a_pickle_is_no_alternative(self, tmp_path):
        (tmp_path / "config.json").write_text(json.dumps(self.CONFIG))
        (tmp_path / "pytorch_model.bin").write_bytes(b"x")
        with pytest.raises(MissingWeights, match="safetensors"):
            read_model(tmp_path)


class TestGpuMemory:
    def fake(self, tmp_path, monkeypatch, script):
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    def test_the_fullest_gpu_counts(self, tmp_path, monkeypatch):
        script = '[ "$3 $4" = "-i 0,1" ] || exit 1; echo "80000, 81559"; echo "100, 81559"'
        self.fake(tmp_path, monkeypatch, script)
        assert read_gpu_memory(("0", "1")) == GpuMemory(100 << 20, 81559 << 20)

    @pytest.mark.parametrize("script", ["exit 9", "echo no devices", "echo 1", "true"])
    def test_silence_is_no_error(self, tmp_path, monkeypatch, script):
        self.fake(tmp_path, monkeypatch, script)
        assert read_gpu_memory(("0",)) is None

    def test_a_machine_without_the_program_is_none_either(self, tmp_path, monkeypatch):
        monkeypatch.setenv("PATH", str(tmp_path))
        assert read_gpu_memory(("0",)) is None
