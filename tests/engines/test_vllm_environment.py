import re

import pytest

from dnd_local.core.errors import BadConfig
from dnd_local.engines.vllm_environment import server_variables, visible_devices

CPU = ("cpu",)
SECRETS = re.findall(
    r"\S+",
    """
HF_TOKEN HUGGING_FACE_HUB_TOKEN OPENAI_API_KEY ANTHROPIC_API_KEY DND_LOCAL_LLM_KEY AWS_ACCESS_KEY_ID
AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN GOOGLE_APPLICATION_CREDENTIALS AZURE_CLIENT_SECRET
GITHUB_TOKEN GH_TOKEN GITLAB_TOKEN GIT_ASKPASS SSH_AUTH_SOCK SSH_AGENT_PID NPM_TOKEN PIP_INDEX_URL
WANDB_API_KEY KUBECONFIG DOCKER_AUTH_CONFIG DATABASE_URL PGPASSWORD MY_PASSWORD S3_ACCESS_KEY_ID
HTTPS_PROXY all_proxy VLLM_SERVER_DEV_MODE VLLM_ALLOW_RUNTIME_LORA_UPDATING VLLM_PLUGINS
VLLM_TORCH_PROFILER_DIR VLLM_CONFIG_ROOT VLLM_ALLOW_INSECURE_SERIALIZATION VLLM_USE_MODELSCOPE
VLLM_API_KEY PYTHONSTARTUP BASH_ENV
""",
)
"""Credentials, and variables that would open vLLM or load code into it."""


def test_secrets_proxies_and_open_doors_are_dropped(tmp_path):
    mine = {"PATH": "/bin"} | dict.fromkeys(SECRETS, "hush")
    seen = server_variables(mine, CPU, "new", tmp_path)
    assert seen["PATH"] == "/bin"
    assert seen["VLLM_API_KEY"] == "new"
    assert not [value for value in seen.values() if "hush" in value]


def test_everything_stays_on_this_machine(tmp_path):
    seen = server_variables({}, CPU, "key", tmp_path)
    assert seen["VLLM_HOST_IP"] == seen["VLLM_LOOPBACK_IP"] == "127.0.0.1"
    assert seen["VLLM_RPC_BASE_PATH"] == str(tmp_path)
    for name in ("VLLM_NO_USAGE_STATS", "DO_NOT_TRACK", "HF_HUB_OFFLINE"):
        assert seen[name] == "1"


def test_the_cpus_cache_is_small_unless_said_otherwise(tmp_path):
    assert server_variables({}, CPU, "", tmp_path)["VLLM_CPU_KVCACHE_SPACE"] == "1"
    more = {"VLLM_CPU_KVCACHE_SPACE": "8", "CUDA_VISIBLE_DEVICES": "0"}
    seen = server_variables(more, CPU, "", tmp_path)
    assert (seen["VLLM_CPU_KVCACHE_SPACE"], seen["CUDA_VISIBLE_DEVICES"]) == ("8", "")


def test_devices_are_named_as_the_driver_names_them(tmp_path):
    mine = {"CUDA_VISIBLE_DEVICES": "4, GPU-abc"}
    seen = server_variables(mine, ("1", "cuda:0"), "", tmp_path)
    assert seen["CUDA_VISIBLE_DEVICES"] == "GPU-abc,4"
    assert visible_devices(("1", "cuda:0"), {}) == ("1", "0")


@pytest.mark.parametrize("device", ["2", "x"])
def test_a_device_that_is_not_shown_is_an_error(device):
    with pytest.raises(BadConfig, match="shows only 4, 5"):
        visible_devices((device,), {"CUDA_VISIBLE_DEVICES": "4,5"})
