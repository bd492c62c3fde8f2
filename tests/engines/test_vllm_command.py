import json
import os
from pathlib import Path

import pytest

from dnd_local.core.errors import BadConfig, MissingWeights, Refused, UserError
from dnd_local.engines.vllm_command import (
    GpuMemory,
    ModelFacts,
    ServerSettings,
    check_options,
    read_gpu_memory,
    read_model,
    server_options,
    server_variables,
    visible_devices,
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
        options = server_options(settings, facts, H100)
        assert value(options, "--tensor-parallel-size") == str(shares)

    def test_a_tight_gpu_gets_shorter_conversations(self, tmp_path):
        settings = ServerSettings(tmp_path, devices=("0",))
        # 0.47 * 40 GiB less 16 GiB of weights and 2 GiB beside them leave room for 5,900 tokens
        # of 0.125 MiB; with a cache of eight times that, for 730.
        tight = GpuMemory(20 * GIB, 40 * GIB)
        assert value(server_options(settings, EIGHT_B, tight), "--max-model-len") == "4096"
        wide = ModelFacts(4096, 32, 2 * EIGHT_B.cache_bytes, EIGHT_B.weight_bytes)
        assert value(server_options(settings, wide, tight), "--max-model-len") == "2048"
        wider = ModelFacts(4096, 32, 8 * EIGHT_B.cache_bytes, EIGHT_B.weight_bytes)
        with pytest.raises(UserError, match=r"needs about 18\.0 GiB .* 20\.0 GiB are free; take"):
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

    def test_the_users_options_come_last(self, tmp_path):
        settings = ServerSettings(tmp_path, options=("--max-model-len", "512", "--seed=9"))
        options = server_options(settings, SMALL, None)
        assert options[-3:] == ["--max-model-len", "512", "--seed=9"]

    @pytest.mark.parametrize(
        "option",
        [
            "--trust-remote-code",
            "--trust_remote_code",
            "--trust",
            "--host",
            "--host=0.0.0.0",
            "--port",
            "--uds",
            "--load-format=pt",
            "--api-key",
            "--config",
            "--mod",
            "-dp",
            "-dpr=1",
            "--config.x",
        ],
    )
    def test_what_would_open_the_server_is_refused(self, tmp_path, option):
        with pytest.raises(Refused, match=rf"'{option}' is not passed on"):
            server_options(ServerSettings(tmp_path, options=(option,)), SMALL, None)

    def test_other_options_and_values_pass(self):
        check_options(["--max-num-seqs", "64", "-1", "awq", "--", "--model-impl", "--hostage"])
        check_options(["--gpu-memory-utilization=0.5", "--tokenizer-mode", "slow", "--seed", "3"])

    @pytest.mark.parametrize(
        ("option", "instead"),
        [
            ("--quantization=awq", "give --llm-quantisation"),
            ("--quant", "give --llm-quantisation"),
            ("-q", "give --llm-quantisation"),
            ("-qfp8", "give --llm-quantisation"),
            ("--dtype", "give --llm-dtype"),
            ("--hf_overrides.vocab_size=3", "leave it out"),
            ("--chat-template", "leave it out"),
        ],
    )
    def test_what_would_change_labels_unseen_is_refused(self, option, instead):
        with pytest.raises(Refused, match=rf"changes what the model says.*; {instead}"):
            check_options([option])


class TestVariables:
    def test_secrets_proxies_and_open_doors_are_dropped(self, tmp_path):
        mine = {
            "PATH": "/bin",
            "HF_TOKEN": "x",
            "OPENAI_API_KEY": "x",
            "HTTPS_PROXY": "http://x",
            "all_proxy": "http://x",
            "VLLM_SERVER_DEV_MODE": "1",
            "VLLM_API_KEY": "old",
        }
        seen = server_variables(ServerSettings(tmp_path), mine, "new", tmp_path)
        assert seen["PATH"] == "/bin"
        assert seen["VLLM_API_KEY"] == "new"
        assert not {"HF_TOKEN", "OPENAI_API_KEY", "HTTPS_PROXY", "all_proxy"} & set(seen)
        assert "VLLM_SERVER_DEV_MODE" not in seen

    def test_everything_stays_on_this_machine(self, tmp_path):
        seen = server_variables(ServerSettings(tmp_path), {}, "key", tmp_path)
        assert seen["VLLM_HOST_IP"] == seen["VLLM_LOOPBACK_IP"] == "127.0.0.1"
        assert seen["VLLM_RPC_BASE_PATH"] == str(tmp_path)
        for name in ("VLLM_NO_USAGE_STATS", "DO_NOT_TRACK", "HF_HUB_OFFLINE"):
            assert seen[name] == "1"

    def test_the_cpus_cache_is_small_unless_said_otherwise(self, tmp_path):
        settings = ServerSettings(tmp_path)
        assert server_variables(settings, {}, "", tmp_path)["VLLM_CPU_KVCACHE_SPACE"] == "1"
        more = {"VLLM_CPU_KVCACHE_SPACE": "8", "CUDA_VISIBLE_DEVICES": "0"}
        seen = server_variables(settings, more, "", tmp_path)
        assert (seen["VLLM_CPU_KVCACHE_SPACE"], seen["CUDA_VISIBLE_DEVICES"]) == ("8", "")

    def test_devices_are_named_as_the_driver_names_them(self, tmp_path):
        settings = ServerSettings(tmp_path, devices=("1", "cuda:0"))
        mine = {"CUDA_VISIBLE_DEVICES": "4, GPU-abc"}
        seen = server_variables(settings, mine, "", tmp_path)
        assert seen["CUDA_VISIBLE_DEVICES"] == "GPU-abc,4"
        assert visible_devices(("1", "cuda:0"), {}) == ("1", "0")

    @pytest.mark.parametrize("device", ["2", "x"])
    def test_a_device_that_is_not_shown_is_an_error(self, device):
        with pytest.raises(BadConfig, match="shows only 4, 5"):
            visible_devices((device,), {"CUDA_VISIBLE_DEVICES": "4,5"})


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
