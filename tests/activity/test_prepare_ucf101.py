import cv2
import numpy as np
import pytest

from lrcn.activity.lists import read_list

TRAIN = "Archery/v_Archery_g08_c01.avi 3\nBowling/v_Bowling_g08_c01.avi 16\n"
TEST = "Archery/v_Archery_g01_c01.avi\n"


@pytest.fixture
def split(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trainlist01.txt").write_text(TRAIN)
    (tmp_path / "testlist01.txt").write_text(TEST)
    for name, count in (("Archery_g08", 3), ("Bowling_g08", 2), ("Archery_g01", 1)):
        folder = tmp_path / "frames" / f"v_{name}_c01"
        folder.mkdir(parents=True)
        for number in range(1, count + 1):
            cv2.imwrite(str(folder / f"v_{name}_c01.{number:04d}.jpg"), np.full((8, 8, 3), 10 * number, np.uint8))
    return ["--train", "trainlist01.txt", "--test", "testlist01.txt", "--frames", "frames"]


def lines(path):
    return path.read_text().splitlines()


def test_lists(command, split, tmp_path):
    status, out, err = command("prepare_ucf101.py", *split)
    assert status == 0, err
    for part in ("train", "test"):
        assert read_list(f"ucf101_split1_{part}Videos.txt") == read_list(f"{part}list01.txt")
    assert lines(tmp_path / "ucf101_split1_testVideos.txt") == ["Archery/v_Archery_g01_c01 2"]
    frames = lines(tmp_path / "ucf101_singleFrame_RGB_train_split1.txt")
    assert sorted(frames) == [
        *(f"v_Archery_g08_c01/v_Archery_g08_c01.000{number}.jpg 2" for number in (1, 2, 3)),
        *(f"v_Bowling_g08_c01/v_Bowling_g08_c01.000{number}.jpg 15" for number in (1, 2)),
    ]
    assert not (tmp_path / "ucf101_singleFrame_flow_train_split1.txt").exists()
    assert "ucf101_singleFrame_RGB_train_split1.txt: 5 lines" in out
    command("prepare_ucf101.py", *split, "-o", "again", "--seed", 1)
    assert sorted(lines(tmp_path / "again/ucf101_singleFrame_RGB_train_split1.txt")) == sorted(frames)


def test_a_video_without_frames(command, split, tmp_path):
    (tmp_path / "testlist01.txt").write_text("Archery/v_Archery_g02_c01.avi\n")
    status, _, err = command("prepare_ucf101.py", *split)
    assert status == 2
    assert err == "error: frames: a folder of images of v_Archery_g02_c01 was expected; make it, or mend the list\n"
    assert not list(tmp_path.glob("ucf101_*"))
