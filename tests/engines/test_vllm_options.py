import re

import pytest

from dnd_local.core.errors import BadConfig, Refused
from dnd_local.engines.vllm_options import ALLOWED, read_vllm_options, written


class TestAllowed:
    def test_every_way_of_writing_an_option_is_read(self):
        words = ["--max-model-len", "8192", "--max_num_seqs=64", "-tp", "2", "--enforce-eager"]
        assert read_vllm_options(words) == {
            "--max-model-len": "8192",
            "--max-num-seqs": "64",
            "--tensor-parallel-size": "2",
            "--enforce-eager": "",
        }

    def test_of_two_values_the_last_counts(self):
        words = ["--max-num-seqs=1", "--block-size=16", "--max-num-seqs=2"]
        assert written(read_vllm_options(words)) == ["--block-size", "16", "--max-num-seqs", "2"]

    @pytest.mark.parametrize("value", ["0.9", "1", "1.0", "0.25"])
    def test_a_share_of_memory(self, value):
        read = read_vllm_options([f"--gpu-memory-utilization={value}"])
        assert read == {"--gpu-memory-utilization": value}

    def test_a_chunked_prefill_is_for_gpus(self):
        words = ["--enable-chunked-prefill"]
        assert read_vllm_options(words) == {"--enable-chunked-prefill": ""}
        with pytest.raises(Refused, match=r"on the CPU a chunked prefill ends the server"):
            read_vllm_options(words, on_cpu=True)

    def test_a_flag_can_be_turned_off_where_it_can_be_turned_on(self):
        assert {name for name in ALLOWED if name.startswith("--no-")} == {
            f"--no-{name.removeprefix('--')}"
            for name in ALLOWED
            if ALLOWED[name] == "" and not name.startswith(("--no-", "--disable-"))
        }


class TestBadValue:
    @pytest.mark.parametrize(
        "words",
        [
            ["--max-model-len"],
            ["--max-model-len", "many"],
            ["--max-model-len", "--trust-remote-code"],
            ["--max-model-len="],
            ["--max-num-seqs", "0"],
            ["--gpu-memory-utilization", "1.5"],
            ["--gpu-memory-utilization", "0"],
            ["--distributed-executor-backend", "my.module.Executor"],
            ["--attention-backend", "CUSTOM"],
            ["--block-size", "16\n"],
        ],
    )
    def test_is_named_with_its_option(self, words):
        name, value = words[0].partition("=")[0], words[1] if len(words) > 1 else ""
        with pytest.raises(BadConfig, match=rf"{name}: '{re.escape(value)}' is not a value"):
            read_vllm_options(words)

    def test_a_flag_takes_none(self):
        with pytest.raises(BadConfig, match="--enforce-eager takes no value"):
            read_vllm_options(["--enforce-eager=1"])


REFUSED = re.findall(
    r"(?m)(?:^| )(-\S*)",
    """
--trust-remote-code --trust_remote_code --trust --host --host=0.0.0.0 --port --uds --api-key
--config --config.x --mod --model /tmp/m -dpr=1 --load-format=pt --quantization=awq --quant -q
-qfp8 --dtype --kv-cache-dtype --hf-overrides --hf_overrides.vocab_size=3 --chat-template
x.jinja --default-chat-template-kwargs {} --chat-template-content-format
--trust-request-chat-template --middleware a.b --worker-cls a.B --worker-extension-cls a.B
--scheduler-cls a.B --logits-processors a.B --io-processor-plugin x --tool-parser-plugin x
--reasoning-parser-plugin x --reasoning-parser x --speculative-config {} -sc
--kv-transfer-config {} --kv-events-config {} --ec-transfer-config {} --additional-config {}
--compilation-config {} -O3 -cc {} --master-addr 10.0.0.1 --master-port 1 --nnodes 2 --node-rank
1 --data-parallel-address 10.0.0.1 --data-parallel-rpc-port 1 --data-parallel-hybrid-lb
--data-parallel-external-lb --data-parallel-backend ray --headless --api-server-count 2
--root-path /x --ssl-keyfile k --ssl-certfile c --allowed-origins * --lora-modules a=b
--enable-lora --download-dir /x --hf-config-path x --hf-token x --tokenizer x --tokenizer-mode
slow --generation-config x --override-generation-config {} --seed 3 --revision x --code-revision
x --enable-log-requests --enable-sleep-mode --allowed-local-media-path / --allowed-media-domains
x --enable-prompt-embeds --profiler-config {} --otlp-traces-endpoint http://x --log-config-file
x --model-loader-extra-config {} --structured-outputs-config {} --model-impl terratorch
--convert embed --runner pooling --logprobs-mode x --pooler-config {} --mm-processor-kwargs {}
--disable-frontend-multiprocessing --enable-server-load-tracking --return-tokens-as-token-ids
--response-role x --rope-scaling {} -1 awq -- --
""",
)


class TestRefused:
    @pytest.mark.parametrize("word", sorted(set(REFUSED)))
    def test_what_does_more_than_change_speed_and_memory(self, word):
        with pytest.raises(Refused, match=rf"'{re.escape(word)}' is not passed on: only options"):
            read_vllm_options([word])

    def test_a_word_that_is_no_option(self):
        with pytest.raises(Refused, match=r"'awq' is not passed on"):
            read_vllm_options(["--enforce-eager", "awq"])

    @pytest.mark.parametrize(
        ("word", "instead"),
        [
            ("--quantization=awq", "give --llm-quantisation"),
            ("--dtype", "give --llm-dtype"),
            ("--seed", "give --seed"),
            ("--model", "give --llm-model"),
            ("--uds", "name it with --llm-url|give --llm-url"),
            ("--chat-template", "start such a server yourself and name it with --llm-url"),
        ],
    )
    def test_names_what_to_use_instead(self, word, instead):
        with pytest.raises(Refused, match=rf"--max-model-len.*; .*({instead})"):
            read_vllm_options([word])
