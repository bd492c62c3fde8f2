"""Devices, placement, precision."""

import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from dnd_local.core.errors import BadConfig, UnknownName
from dnd_local.engines import device


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


def test_dtypes_go_by_their_names():
    assert device.dtype_of("bfloat16") is torch.bfloat16
    with pytest.raises(UnknownName, match="Did you mean float16"):
        device.dtype_of("float61")


def test_home_is_the_first_device(two_gpus):
    assert device.home(("cpu",)) == torch.device("cpu")
    assert device.home(("1", "0")) == torch.device("cuda", 1)
    assert device.home(("cuda:0",)) == torch.device("cuda", 0)


@pytest.mark.parametrize("devices", [("2",), ("0", "7"), ("gpu",), ()])
def test_a_device_that_is_not_there_is_refused(two_gpus, devices):
    with pytest.raises(UnknownName, match="This machine has cpu, 0, 1"):
        device.home(devices)


def test_all_of_a_model_goes_to_the_cpu():
    assert device.placement(("cpu",), 10**15) == ({"": "cpu"}, None)


def test_a_model_that_fits_goes_to_one_gpu(two_gpus):
    assert device.placement(("1", "0"), 100, lambda index: 125) == ({"": 1}, None)


def test_a_model_that_does_not_fit_is_split(two_gpus):
    where, limits = device.placement(("0", "1"), 100, lambda index: 120 if index == 0 else 60)
    assert where == "auto"
    assert list(limits) == [0, 1, "cpu"]
    assert (limits[0], limits[1]) == (102, 51)
    assert limits["cpu"] > 0


def test_a_module_is_placed_on_the_cpu():
    module = nn.Linear(2, 2)
    assert device.place(module, ("cpu",)) is module


def test_repeated_blocks_are_not_cut_apart():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(2, 2)

    network = nn.Sequential(nn.Sequential(Block(), Block()), nn.Linear(2, 2))
    assert device._blocks(network) == ["Block"]


def test_freed_memory_is_kept_in_a_process_of_its_own():
    """A large block is written, freed and written again: the second time costs no page faults."""
    script = (
        "import resource, numpy as np\n"
        "from dnd_local.engines.device import keep_freed_memory\n"
        "faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "keep_freed_memory()\n"
        "np.ones(2**24).sum()\n"
        "before = faults()\n"
        "np.ones(2**24).sum()\n"
        "print(faults() - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert int(done.stdout) < 2**24 * 8 // 4096 // 10


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(device.ctypes, "CDLL", lambda name: object())
    device.keep_freed_memory()


def test_determinism_is_asked_for_and_threads_are_left_alone():
    threads = torch.get_num_threads()
    device.make_deterministic()
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.is_deterministic_algorithms_warn_only_enabled()
    assert not torch.utils.deterministic.fill_uninitialized_memory
    assert torch.backends.cuda.matmul.fp32_precision == "ieee"
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"]
    assert torch.get_num_threads() == threads


def test_models_are_loaded_from_safetensors_without_code_or_network(tmp_path):
    how = device.loading(tmp_path, ("cpu",), "float32")
    assert how == {
        "dtype": torch.float32,
        "device_map": {"": "cpu"},
        "local_files_only": True,
        "use_safetensors": True,
        "trust_remote_code": False,
    }


def test_a_model_that_does_not_fit_is_loaded_with_limits(tmp_path, two_gpus, monkeypatch):
    monkeypatch.setattr(device, "placement", lambda devices, size: ("auto", {0: size, "cpu": 9}))
    (tmp_path / "model.safetensors").write_bytes(bytes(77))
    how = device.loading(tmp_path, ("0",), "float16", "int8")
    assert how["device_map"] == "auto"
    assert how["max_memory"] == {0: 77, "cpu": 9}
    assert how["quantization_config"].load_in_8bit


def test_fewer_bits():
    assert device.quantised("int8", "float32").load_in_8bit
    four = device.quantised("int4", "bfloat16")
    assert four.load_in_4bit
    assert four.bnb_4bit_compute_dtype is torch.bfloat16
    with pytest.raises(BadConfig, match="'fp8' is not for this engine"):
        device.quantised("fp8", "float32")


@pytest.mark.parametrize(
    ("inputs", "outputs", "dtype", "repacked"),
    [
        (128, 96, "bfloat16", True),
        (128, 96, "float32", False),
        (96, 96, "bfloat16", False),
        (128, 48, "bfloat16", False),
    ],
)
def test_4_bit_layers_are_repacked_where_it_loses_nothing(inputs, outputs, dtype, repacked):
    layer = nn.Linear(inputs, outputs)
    layer.support_avx512bf16_for_cpu = True  # as bitsandbytes says on such a CPU
    plain = nn.Linear(inputs, outputs)
    device.keep_precision(nn.Sequential(layer, plain), dtype)
    assert layer.support_avx512bf16_for_cpu is repacked
    assert not hasattr(plain, "support_avx512bf16_for_cpu")


def test_4_bit_layers_compute_in_the_precision_asked_for():
    torch.manual_seed(0)
    bitsandbytes = pytest.importorskip("bitsandbytes")
    weights = torch.randn(64, 64) / 8
    layer = bitsandbytes.nn.Linear4bit(64, 64, bias=False, quant_type="nf4")
    layer.weight = bitsandbytes.nn.Params4bit(weights, requires_grad=False, quant_type="nf4")
    layer = layer.to("cpu").eval()
    x = torch.randn(3, 64)
    asked = x @ bitsandbytes.functional.dequantize_4bit(layer.weight, layer.weight.quant_state).T
    device.keep_precision(layer, "float32")
    assert torch.allclose(layer(x), asked, atol=1e-5)
