"""Every recorded run of Caffe, computed again on a GPU in fast numerics; `pytest -k cuda` runs these."""

import pytest
import torch
from test_recorded import LARGE, SMALL

from lrcn.compare import compare_case
from lrcn.devices import use_precision

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")


@pytest.fixture(autouse=True)
def float32():
    use_precision("float32")


def outside(path) -> list:
    return [blob for blob in compare_case(path, "fast", device="cuda").blobs if not blob.within]


@pytest.mark.parametrize("name", SMALL)
def test_small_case(data, name):
    assert outside(data / "recorded" / name) == []


@pytest.mark.parametrize("name", LARGE)
def test_large_case(shared, name):
    assert outside(shared / "goldens" / "forward_backward" / name) == []
