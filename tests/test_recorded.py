"""Every recorded run of Caffe, computed again: the same bits in exact numerics, within the stated limits in fast."""

from pathlib import Path

import pytest

from lrcn.compare import compare_case

SMALL = sorted(path.name for path in (Path(__file__).parent / "data" / "recorded").iterdir())
LARGE = [
    "activity_small",
    "activity_small_fork",
    "activity_train_small",
    "caption_factored",
    "caption_single",
    "caption_unfactored",
    "lstm",
    "lstm_fork",
    "lstm_static",
]


def outside(path: Path, numerics: str) -> list:
    return [blob for blob in compare_case(path, numerics).blobs if not blob.within]


@pytest.mark.parametrize("numerics", ["exact", "fast"])
@pytest.mark.parametrize("name", SMALL)
def test_small_case(data, name, numerics):
    assert outside(data / "recorded" / name, numerics) == []


@pytest.mark.parametrize("numerics", ["exact", "fast"])
@pytest.mark.parametrize("name", LARGE)
def test_large_case(shared, name, numerics):
    assert outside(shared / "goldens" / "forward_backward" / name, numerics) == []


def test_no_recorded_case_is_left_out(shared):
    recorded = {path.name for path in (shared / "goldens" / "forward_backward").iterdir()}
    assert recorded == {*SMALL, *LARGE}
