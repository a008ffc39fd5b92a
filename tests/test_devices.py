import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lrcn.devices import PRECISIONS, check_device, use_precision
from lrcn.errors import Error

SCRIPTS = Path(__file__).parent.parent / "scripts"


@pytest.fixture
def precision_as_before():
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@pytest.mark.parametrize(
    "count, device, message",
    [
        (1, "tpu", "device 'tpu': cpu or cuda expected"),
        (0, "cuda", "device 'cuda': no GPU is found; take cpu, or"),
        (0, "cuda:0", "device 'cuda:0': no GPU is found; take cpu, or"),
        (2, "cuda:2", "device 'cuda:2': there are 2 GPUs, counted from 0"),
    ],
)
def test_devices_that_are_not_there(monkeypatch, count, device, message):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    with pytest.raises(Error, match=message):
        check_device(device)


def test_devices_that_are_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for device in ("cpu", "cuda", "cuda:1"):
        check_device(device)


def test_only_tf32_rounds_the_factors_of_products(precision_as_before):
    for precision, dtype in PRECISIONS.items():
        assert use_precision(precision) == dtype
        for products in (torch.backends.cuda.matmul, torch.backends.cudnn.conv):
            assert (products.fp32_precision == "tf32") == (precision == "tf32")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize(
    "command",
    [
        ["compare_caffe.py", "nowhere", "--numerics", "fast", "--device", "cuda"],
        ["benchmark.py", "lstm", "--device", "cuda"],
        ["train.py", "--solver", "nowhere", "--gpu", "0"],
    ],
    ids=lambda command: command[0],
)
def test_a_gpu_that_is_not_there_ends_with_a_message(command):
    result = subprocess.run([sys.executable, SCRIPTS / command[0], *command[1:]], capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith("error: device 'cuda")
