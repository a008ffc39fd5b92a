import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrcn import Error
from lrcn.activity.lists import UCF101_CLASSES, Video, check_labels, class_names, read_list


def listed(tmp_path, text):
    path = tmp_path / "list.txt"
    path.write_text(text)
    return read_list(path)


def test_authors_format_counts_labels_from_0(tmp_path):
    assert listed(tmp_path, "Skiing/v_Skiing_g05_c03 80\n\nTaiChi/v_TaiChi_g01_c01 90") == [
        Video("v_Skiing_g05_c03", "Skiing", 80),
        Video("v_TaiChi_g01_c01", "TaiChi", 90),
    ]


def test_train_list_of_ucf101_counts_labels_from_1(tmp_path):
    assert listed(tmp_path, "Skiing/v_Skiing_g05_c03.avi 81\r\n") == [Video("v_Skiing_g05_c03", "Skiing", 80)]


def test_test_list_of_ucf101_takes_the_label_from_the_action(tmp_path):
    assert listed(tmp_path, "HandstandPushups/v_HandStandPushups_g01_c01.avi\n") == [
        Video("v_HandStandPushups_g01_c01", "HandstandPushups", 36)
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "Skiing/v_a_g01_c01 80\nno slash 3\n",
            r"line 2: expected 'Action/v_Action_g01_c01 LABEL'.*found 'no slash 3'",
        ),
        ("Skiing/v_a_g01_c01 eighty\n", "line 1: the label must be a whole number, found 'eighty'"),
        ("Skiing/a 80\nSkiing/b 81\n", "line 2: action Skiing has the label 81 here and 80 before"),
        ("Skiing/a 80\nSkiing/a 80\n", "line 2: a is in the list twice"),
        ("Juggling/v_a_g01_c01.avi\n", "line 1: no label, and Juggling is not a class of UCF101"),
        ("\n\n", "names no video"),
    ],
)
def test_wrong_lines_are_named(tmp_path, text, message):
    with pytest.raises(Error, match=message):
        listed(tmp_path, text)


def test_binary_file_is_no_list(tmp_path):
    path = tmp_path / "list.txt"
    path.write_bytes(b"\xff\xfe\x00\x80" * 10)
    with pytest.raises(Error, match="a list of videos is a text file"):
        read_list(path)


@given(st.text())
def test_any_text_is_a_list_or_an_error(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("list") / "list.txt"
    path.write_text(text, encoding="utf-8", errors="replace")
    with contextlib.suppress(Error):
        assert read_list(path)


def test_labels_out_of_range_are_named():
    check_labels([Video("a", "A", 6), Video("b")], 7)
    for label in (7, -1):
        with pytest.raises(Error, match=rf"v_a: label {label} is out of range, the networks have 7 classes \(0..6\)"):
            check_labels([Video("v_a", "A", label)], 7)


def test_class_names_come_from_the_list_then_from_ucf101():
    assert class_names([Video("v", "Skating", 1)], 3) == ["class 0", "Skating", "class 2"]
    assert class_names([], 101) == list(UCF101_CLASSES)


def test_lists_of_ucf101(shared):
    test = read_list(shared / "ucf101" / "testlist01.txt")
    train = read_list(shared / "ucf101" / "trainlist01.txt")
    assert (len(test), len(train)) == (3783, 9537)
    assert {video.label for video in test} == set(range(101))
    assert {(video.action, video.label) for video in test} == {(video.action, video.label) for video in train}
    official = (shared / "ucf101" / "classInd.txt").read_text().split()
    assert list(UCF101_CLASSES) == official[1::2]
