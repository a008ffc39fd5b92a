import json

import h5py
import numpy as np
import pytest

from lrcn import Error
from lrcn.activity.lists import Video
from lrcn.activity.store import Store

VIDEOS = [Video("v_a", "A", 0), Video("v_b", "B", 1), Video("v_c")]
SETTINGS = {
    "protocol": "center",
    "numerics": "exact",
    "quirks": "released",
    "models": {"rgb_lrcn": {"weights": "1234", "network": "5678"}},
}


def rows(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((20, 7))


def opened(path, settings=SETTINGS, keep_rows=True, resume=False) -> Store:
    store = Store(path, settings, keep_rows=keep_rows, resume=resume)
    store.open()
    store.join()
    return store


def test_results_are_gathered_with_attributes(tmp_path):
    store = opened(tmp_path / "out.h5")
    for seed, video in enumerate(VIDEOS):
        assert not store.has("rgb_lrcn", video)
        store.add("rgb_lrcn", video, rows(seed))
        assert store.has("rgb_lrcn", video)
    means = store.gather(VIDEOS)
    assert list(tmp_path.iterdir()) == [tmp_path / "out.h5"]
    with h5py.File(tmp_path / "out.h5") as file:
        for seed, video in enumerate(VIDEOS):
            dataset = file["rgb_lrcn"][video.name]
            assert dataset.dtype == np.float64
            assert np.array_equal(dataset, rows(seed))
            assert np.array_equal(means["rgb_lrcn"][video.name], rows(seed).mean(axis=0))
            assert (dataset.attrs["protocol"], dataset.attrs["numerics"], dataset.attrs["quirks"]) == (
                "center", "exact", "released",
            )  # fmt: skip
        assert [file["rgb_lrcn"][video.name].attrs.get("label") for video in VIDEOS] == [0, 1, None]


def test_mean_alone_is_kept_on_request_with_the_same_bits(tmp_path):
    store = opened(tmp_path / "out.h5", keep_rows=False)
    store.add("rgb_lrcn", VIDEOS[0], rows(0))
    assert np.array_equal(store.gather(VIDEOS)["rgb_lrcn"]["v_a"], rows(0).mean(axis=0))
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["rgb_lrcn/v_a"].shape == (1, 7)


def test_interrupted_run_goes_on(tmp_path):
    opened(tmp_path / "out.h5").add("rgb_lrcn", VIDEOS[0], rows(0))
    (tmp_path / "out.h5.unfinished" / "rgb_lrcn" / ".v_b.npy.1.tmp").write_bytes(b"half a resu")
    with pytest.raises(Error, match="results of an interrupted run; go on with --resume, or delete the folder first"):
        opened(tmp_path / "out.h5")
    store = opened(tmp_path / "out.h5", resume=True)
    assert [store.has("rgb_lrcn", video) for video in VIDEOS] == [True, False, False]
    store.add("rgb_lrcn", VIDEOS[1], rows(1))
    assert sorted(store.gather(VIDEOS)["rgb_lrcn"]) == ["v_a", "v_b"]


def test_finished_run_goes_on_with_more_videos_and_models(tmp_path):
    store = opened(tmp_path / "out.h5")
    store.add("rgb_lrcn", VIDEOS[0], rows(0))
    store.gather(VIDEOS[:1])
    more = {**SETTINGS, "models": {"rgb_lrcn": SETTINGS["models"]["rgb_lrcn"], "flow_lrcn": {"weights": "9"}}}
    store = opened(tmp_path / "out.h5", more, resume=True)
    assert store.has("rgb_lrcn", VIDEOS[0])
    assert not store.has("flow_lrcn", VIDEOS[0])
    store.add("rgb_lrcn", VIDEOS[1], rows(1))
    store.add("flow_lrcn", VIDEOS[0], rows(2))
    means = store.gather(VIDEOS[1:])
    assert sorted(means["rgb_lrcn"]) == ["v_b"]
    with h5py.File(tmp_path / "out.h5") as file:
        assert sorted(file["rgb_lrcn"]) == ["v_a", "v_b"]
        assert sorted(file["flow_lrcn"]) == ["v_a"]
        assert sorted(json.loads(file.attrs["settings"])["models"]) == ["flow_lrcn", "rgb_lrcn"]


def test_new_run_replaces_a_finished_one_at_its_end(tmp_path):
    for seed in (0, 1):
        store = opened(tmp_path / "out.h5")
        assert not store.has("rgb_lrcn", VIDEOS[0])
        store.add("rgb_lrcn", VIDEOS[seed], rows(seed))
        store.gather(VIDEOS)
    with h5py.File(tmp_path / "out.h5") as file:
        assert list(file["rgb_lrcn"]) == ["v_b"]


@pytest.mark.parametrize("finished", [False, True])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"protocol": "oversample"}, "made with protocol = center, this run has oversample"),
        ({"quirks": "none"}, "made with quirks = released, this run has none"),
        (
            {"models": {"rgb_lrcn": {"weights": "4321", "network": "5678"}}},
            "rgb_lrcn: weights = 1234, this run has 4321",
        ),
    ],
)
def test_other_settings_are_refused(tmp_path, change, message, finished):
    store = opened(tmp_path / "out.h5")
    store.add("rgb_lrcn", VIDEOS[0], rows(0))
    if finished:
        store.gather(VIDEOS)
    with pytest.raises(Error, match=message):
        opened(tmp_path / "out.h5", {**SETTINGS, **change}, resume=True)


def test_results_of_rows_do_not_go_on_as_means(tmp_path):
    opened(tmp_path / "out.h5")
    with pytest.raises(Error, match="rows = all, this run has mean"):
        opened(tmp_path / "out.h5", keep_rows=False, resume=True)


def test_failures_are_kept_for_this_run_only(tmp_path):
    store = opened(tmp_path / "out.h5")
    store.fail("rgb_lrcn", VIDEOS[1], "too short")
    assert store.failures(["rgb_lrcn"], VIDEOS) == {"v_b": {"rgb_lrcn": "too short"}}
    store = opened(tmp_path / "out.h5", resume=True)
    assert store.failures(["rgb_lrcn"], VIDEOS) == {}
    assert not store.has("rgb_lrcn", VIDEOS[1])


def test_folder_in_the_place_of_results(tmp_path):
    with pytest.raises(Error, match="a folder; name the file to write"):
        opened(tmp_path)


def test_other_file_in_the_place_of_results(tmp_path):
    (tmp_path / "out.h5").write_text("letters")
    with pytest.raises(Error, match=r"out\.h5: not a results file of an evaluation"):
        opened(tmp_path / "out.h5", resume=True)
    for settings in ("5", "[]", "{}", '{"models": 5}'):
        with h5py.File(tmp_path / "out.h5", "w") as file:
            file.attrs["settings"] = settings
        with pytest.raises(Error, match=r"out\.h5: not a results file of an evaluation"):
            opened(tmp_path / "out.h5", resume=True)
