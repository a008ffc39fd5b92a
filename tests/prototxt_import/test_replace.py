import os
from pathlib import Path

import pytest

from prototxt_import import check_destinations, replacing


def write(path, text="new"):
    with replacing(path) as temporary:
        temporary.write_text(text)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file"
    write(path, "old")
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    write(path)
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["file"]


def test_of_a_link_what_it_leads_to_is_replaced(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "file").read_text() == "new"


@pytest.mark.parametrize("path", [".", "", "/", "folder", os.devnull])
def test_folders_and_devices_are_not_replaced(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="this is a folder or a device") as caught:
        write(path)
    assert caught.value.filename == path
    assert os.listdir(tmp_path) == ["folder"] and not os.path.isfile(os.devnull)


@pytest.mark.parametrize("path", ["absent/file", "file/below"])
def test_errors_name_the_file_and_not_the_temporary_one(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with pytest.raises(OSError) as caught:
        write(path)
    assert caught.value.filename == path


def test_destinations_are_checked_and_left_as_they_are(tmp_path):
    (tmp_path / "old").write_text("old")
    check_destinations(tmp_path / "old", None, tmp_path / "new")
    assert os.listdir(tmp_path) == ["old"] and (tmp_path / "old").read_text() == "old"
    with pytest.raises(OSError, match="absent/file"):
        check_destinations(tmp_path / "old", tmp_path / "absent/file")
