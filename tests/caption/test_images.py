"""Image files of all kinds, and how they are cut and resized."""

import cv2
import numpy as np
import pytest

from lrcn.caption.images import MEAN, find_images, load_image, prepare
from lrcn.errors import Error


@pytest.fixture
def picture():
    """(rows, columns, RGB) uint8."""
    return np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)


def written(path, image):
    """The image file of what OpenCV writes: (rows, columns) or with blue, green, red, alpha."""
    assert cv2.imwrite(str(path), image)
    return path


def test_colour(tmp_path, picture):
    assert np.array_equal(load_image(written(tmp_path / "a.png", picture[:, :, ::-1])), picture)


def test_grey(tmp_path, picture):
    found = load_image(written(tmp_path / "a.png", picture[:, :, 0]))
    assert np.array_equal(found, np.repeat(picture[:, :, :1], 3, axis=2))
    assert prepare(found, (32, 32)).shape == (3, 32, 32)


def test_transparent_images_lie_on_white(tmp_path, picture):
    alpha = np.zeros((40, 50, 1), np.uint8)
    alpha[:, :20], alpha[:, 20:30] = 255, 128
    found = load_image(written(tmp_path / "a.png", np.concatenate([picture[:, :, ::-1], alpha], axis=2)))
    assert np.array_equal(found[:, :20], picture[:, :20])
    assert np.abs(found[:, 20:30] - (picture[:, 20:30] * (128 / 255) + 127)).max() <= 0.5
    assert (found[:, 30:] == 255).all()


def test_sixteen_bits_become_eight(tmp_path, picture):
    sixteen = picture.astype(np.uint16) * 257
    assert np.array_equal(load_image(written(tmp_path / "a.png", sixteen[:, :, ::-1])), picture)
    assert np.array_equal(load_image(written(tmp_path / "b.png", sixteen[:, :, 0]))[:, :, 1], picture[:, :, 0])


def test_what_is_no_image(tmp_path, picture):
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "empty.jpg").touch()
    written(tmp_path / "cut.jpg", picture)
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:-100])
    for name in ("text.jpg", "empty.jpg", "cut.jpg"):
        with pytest.raises(Error, match=rf"{name}: not a readable image"):
            load_image(tmp_path / name)
    with pytest.raises(Error, match=r"missing.jpg: No such file or directory; an image was expected"):
        load_image(tmp_path / "missing.jpg")
    floats = written(tmp_path / "a.tiff", picture.astype(np.float32) / 255)
    with pytest.raises(Error, match="an image of 8 or 16 bits per channel was expected, float32 was found"):
        load_image(floats)


def test_folders_are_searched_by_name(tmp_path, picture):
    for name in ("b.PNG", "a.jpg", "c.jpeg"):
        cv2.imwrite(str(tmp_path / name), picture)
    (tmp_path / "notes.txt").touch()
    (tmp_path / "empty").mkdir()
    assert [path.name for path in find_images([tmp_path / "c.jpeg", tmp_path])] == [
        "c.jpeg",
        "a.jpg",
        "b.PNG",
        "c.jpeg",
    ]
    with pytest.raises(Error, match="the folder has no images"):
        find_images([tmp_path / "empty"])
    with pytest.raises(Error, match="no such file or folder"):
        find_images([tmp_path / "gone"])


@pytest.mark.parametrize(
    ("rows", "columns", "top", "left"),
    [(256, 512, 15, 29), (240, 320, 14, 18), (8, 8, 0, 0), (9, 1000, 1, 57)],  # 9 * 29 / 512 = 0.51
)
def test_edges_are_cut_off_by_their_ratio(rows, columns, top, left):
    image = np.random.default_rng(1).integers(0, 256, (rows, columns, 3), np.uint8)
    size = (rows - 2 * top, columns - 2 * left)
    centre = image[top : top + size[0], left : left + size[1]].astype(np.float32)
    expected = centre.transpose(2, 0, 1)[::-1] - np.array(MEAN, np.float32)[:, None, None]
    assert np.array_equal(prepare(image, size), expected)  # nothing to resize


def test_images_of_one_colour_and_of_one_pixel():
    one = np.full((1, 1, 3), 7, np.uint8)
    for image in (one, np.full((300, 200, 3), 7, np.uint8)):
        assert np.array_equal(prepare(image, (227, 227)).transpose(1, 2, 0), np.full((227, 227, 3), 7.0) - MEAN)
