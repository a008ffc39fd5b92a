import json
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lrcn.compare import BlobComparison, compare_case, ulp_distance
from lrcn.errors import Error

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "compare_caffe.py"

bit_patterns = arrays(np.uint32, st.integers(1, 40)).map(lambda bits: bits.view(np.float32))


def one(value) -> np.ndarray:
    return np.array([value], np.float32)


def test_ulp_distance_of_landmarks():
    tiny = np.float32(1.4e-45)  # the smallest positive number
    for a, b, distance in [
        (1, 1, 0),
        (1, np.nextafter(np.float32(1), np.float32(2)), 1),
        (0.0, tiny, 1),
        (-0.0, 0.0, 1),
        (-tiny, tiny, 3),
        (np.finfo(np.float32).max, np.inf, 1),
        (1, 2, 2**23),
        (np.nan, np.nan, 0),
        (-np.inf, np.inf, 2 * 0x7F800000 + 1),
    ]:
        assert ulp_distance(one(a), one(b)) == distance, (a, b)
        assert ulp_distance(one(b), one(a)) == distance, (b, a)


@given(bit_patterns, st.integers(0, 2**32 - 1))
def test_zero_ulp_means_the_same_bits(x, flipped):
    other = (x.view(np.uint32) ^ np.uint32(flipped)).view(np.float32)
    assert np.array_equal(ulp_distance(x, other) == 0, x.view(np.uint32) == other.view(np.uint32))


@given(st.floats(width=32, allow_nan=False, allow_infinity=False), st.integers(0, 50))
def test_ulp_distance_counts_steps_of_nextafter(value, steps):
    start = end = np.float32(value)
    for _ in range(steps):
        with np.errstate(over="ignore"):  # past the largest number
            end = np.nextafter(end, np.float32(np.inf))
    skipped = np.signbit(start) and not np.signbit(end)  # nextafter goes from -0 past +0, which has a place here
    if np.isfinite(end):
        assert ulp_distance(one(start), one(end)) == steps + skipped


def test_ulp_distance_refuses_other_types_and_shapes():
    with pytest.raises(ValueError, match="float64"):
        ulp_distance(np.zeros(2), np.zeros(2))
    with pytest.raises(ValueError, match="one shape"):
        ulp_distance(np.zeros(2, np.float32), np.zeros(3, np.float32))


def compared(found, recorded, class_axis=None) -> BlobComparison:
    comparison = BlobComparison("blob")
    comparison.add(np.asarray(found, np.float32), np.asarray(recorded, np.float32), class_axis)
    return comparison


def within(comparison: BlobComparison, numerics: str, max_ulp: int | None = None) -> bool:
    comparison.judge(numerics, max_ulp)
    return comparison.within


def test_differences_are_the_largest_over_elements_and_steps():
    comparison = compared([1, 2.5], [1, 2])
    comparison.add(np.float32([4, 8]), np.float32([5, 8]))
    assert (comparison.shape, comparison.steps) == ((2,), 2)
    assert (comparison.max_abs, comparison.max_rel, comparison.max_scaled) == (1.0, 0.2, 0.25)


def test_exact_allows_no_ulp():
    assert within(compared([1, np.nan, -0.0], [1, np.nan, -0.0]), "exact")
    assert not within(compared([0.0], [-0.0]), "exact")
    assert within(compared([0.0], [-0.0]), "exact", max_ulp=1)


def test_fast_scales_the_tolerance_by_the_largest_recorded_value():
    assert within(compared([100, 1e-3], [100, 2e-3]), "fast")
    assert not within(compared([1, 1e-3], [1, 2e-3]), "fast")
    assert within(compared([[]], [[]]), "fast")


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_on_one_side_only_is_never_within(wrong):
    for numerics in ("exact", "fast"):
        assert not within(compared([1, wrong], [1, 2]), numerics)
        assert not within(compared([1, 2], [1, wrong]), numerics)


def test_probabilities_need_the_same_most_probable_class():
    assert within(compared([[0.3, 0.700005]], [[0.3, 0.7]], 1), "fast")
    assert not within(compared([[0.3, 0.70002]], [[0.3, 0.7]], 1), "fast")
    assert not within(compared([[0.500001, 0.5]], [[0.5, 0.500001]], 1), "fast")


@pytest.fixture
def case(data, tmp_path) -> Path:
    """A copy of a recorded case of three steps that a test may spoil."""
    return Path(shutil.copytree(data / "recorded" / "lstm_state_carries", tmp_path / "case"))


def edit(case: Path, change) -> None:
    with h5py.File(case / "dump.h5", "r+") as dump:
        change(dump)


def test_a_single_ulp_in_the_last_step_is_found(case):
    def nudge(dump):
        blob = dump["step_002/data/h"]
        blob[2, 1, 5] = np.nextafter(blob[2, 1, 5], np.float32(np.inf))

    assert compare_case(case).within
    edit(case, nudge)
    comparison = compare_case(case)
    assert not comparison.within
    assert [(blob.name, blob.max_ulp, blob.steps) for blob in comparison.blobs] == [("h", 1, 3)]
    assert compare_case(case, max_ulp=1).within
    assert compare_case(case, numerics="fast").within


def test_a_single_ulp_in_a_gradient_is_found(data, tmp_path):
    case = Path(shutil.copytree(data / "recorded" / "conv_stride_group_pad", tmp_path / "case"))

    def nudge(name):
        def change(dump):
            blob = dump[f"step_000/{name}"]
            values = blob[()]
            values.flat[7] = np.nextafter(values.flat[7], np.float32(np.inf))
            blob[...] = values

        return change

    assert compare_case(case).within
    for name in ("diff/data", "diff/c1", "param_diff/c1/0", "param_diff/c2/1"):
        edit(case, nudge(name))
    wrong = [blob for blob in compare_case(case).blobs if not blob.within]
    assert [blob.name for blob in wrong] == ["diff/c1", "diff/data", "param_diff/c1/0", "param_diff/c2/1"]
    assert all(blob.max_ulp == 1 for blob in wrong)


def test_gradients_of_what_the_network_lacks_are_named(data, tmp_path):
    for entry, message in {"diff/c9": "diff/c9: no layer", "param_diff/c9/0": "param_diff/c9/0 is none of"}.items():
        case = Path(shutil.copytree(data / "recorded" / "conv_stride_group_pad", tmp_path / entry.replace("/", "_")))
        edit(case, lambda dump, entry=entry: dump.__setitem__(f"step_000/{entry}", np.float32([1])))
        with pytest.raises(Error, match=message):
            compare_case(case)


def test_inputs_of_earlier_steps_stay_in_force(case):
    def drop_repeated_input(dump):
        dump["step_001/input/x"][...] = dump["step_000/input/x"][()]
        del dump["step_001/data"], dump["step_002"]

    shorter = Path(shutil.copytree(case, case.parent / "shorter"))
    edit(case, drop_repeated_input)
    edit(shorter, drop_repeated_input)
    edit(shorter, lambda dump: dump.__delitem__("step_001/input/x"))
    for folder in (case, shorter):  # recorded by ourselves: this is about which inputs are used
        with h5py.File(folder / "dump.h5", "r+") as dump:
            dump["step_001/data/h"] = dump["step_000/data/h"][()]
    with_input, kept_input = (compare_case(folder).blobs[0] for folder in (case, shorter))
    assert with_input.max_abs == kept_input.max_abs > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda dump: dump.attrs.__setitem__("format", 2), "format = 1, found 2"),
        (lambda dump: dump.attrs.__delitem__("format"), "format = 1, found none"),
        (lambda dump: dump.attrs.__setitem__("phase", "DEPLOY"), "found 'DEPLOY'"),
        (lambda dump: [dump.__delitem__(step) for step in list(dump)], "step_000, step_001, ..., found none"),
        (lambda dump: [dump.__delitem__(f"{step}/data") for step in list(dump)], "no recorded blob"),
        (lambda dump: dump.__setitem__("step_001/data/g", np.float32([1])), "blob 'g' is not computed"),
        (lambda dump: dump.__setitem__("step_001/input/y", np.float32([1])), "step_001: input y .*: x, cont"),
        (lambda dump: dump.__setitem__("step_001/data/cont_", np.float64([1])), "float32, found float64"),
        (lambda dump: dump.move("step_000/data/h", "elsewhere") or dump.__setitem__("step_000/data/h", np.float32([1])),
         r"blob h is \(1,\) in the dump, \(4, 3, 16\)"),
    ],
)  # fmt: skip
def test_faults_of_a_dump_are_named(case, change, message):
    edit(case, change)
    with pytest.raises(Error, match=message):
        compare_case(case)


@pytest.mark.parametrize("name", ["net.prototxt", "weights.caffemodel", "dump.h5"])
def test_a_missing_file_is_named(case, name):
    (case / name).unlink()
    with pytest.raises(Error, match=f"no {name} there"):
        compare_case(case)


def test_a_dump_that_is_not_hdf5(case):
    (case / "dump.h5").write_bytes(b"nothing of the kind")
    with pytest.raises(Error, match="expected an HDF5 file"):
        compare_case(case)


def run(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True)


def test_command_line(case, data):
    good = data / "recorded" / "glue"
    result = run(good, case)
    assert (result.returncode, result.stderr) == (0, "")
    assert "a_input_0_split_0" in result.stdout
    assert "param_diff/sc/0" in result.stdout
    assert "2 of 2 cases within the limits" in result.stdout

    edit(case, lambda dump: dump["step_000/data/h"].write_direct(np.zeros((4, 3, 16), np.float32)))
    result = run(good, case, "--json")
    assert result.returncode == 1
    cases = json.loads(result.stdout)
    assert [found["within"] for found in cases] == [True, False]
    assert cases[1]["blobs"][0]["name"] == "h"

    (case / "dump.h5").unlink()
    result = run(case)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.stderr
