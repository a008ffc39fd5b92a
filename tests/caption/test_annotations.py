import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrcn import Error
from lrcn.caption.annotations import AnnotatedImage, ImagesByFile, choose, find_files, read_all, read_annotations

COCO = {
    "info": {"year": 2014},
    "images": [{"id": 7, "file_name": "seven.jpg"}, {"id": 3, "file_name": "three.jpg"}],
    "annotations": [
        {"id": 1, "image_id": 3, "caption": "A dog."},
        {"id": 2, "image_id": 7, "caption": "A cat."},
        {"id": 3, "image_id": 3, "caption": "One dog"},
    ],
}
SEVEN, THREE = AnnotatedImage(7, "seven.jpg", ("A cat.",)), AnnotatedImage(3, "three.jpg", ("A dog.", "One dog"))


@pytest.fixture
def write(tmp_path):
    def call(content, name="captions"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return call


def coco(**changes) -> str:
    pytest.importorskip("pycocotools")
    return json.dumps(COCO | changes)


def test_coco(write):
    assert read_annotations(write(coco())) == [SEVEN, THREE]


def test_a_mark_of_the_byte_order_and_blanks_before_json(write):
    assert read_annotations(write(b"\xef\xbb\xbf\n " + coco(categories=[]).encode())) == [SEVEN, THREE]
    assert read_annotations(write(b"\xef\xbb\xbfA dog.\n"))[0].sentences == ("A dog.",)


def test_half_a_character(write):
    found = read_annotations(write(coco(annotations=[{"image_id": 3, "caption": "A \ud83d dog"}]), "half"))
    assert found[0].sentences == ("A ? dog",)


def test_images_of_several_files_have_the_sentences_of_all(write):
    tokens = write("three.jpg#0\tOne more dog\nfour.jpg#0\tA cow\n", "tokens")
    assert read_all([write(coco()), tokens]) == [
        SEVEN,
        AnnotatedImage(3, "three.jpg", (*THREE.sentences, "One more dog")),
        AnnotatedImage("four.jpg", "four.jpg", ("A cow",)),
    ]
    plain = [write("A dog.\nA cat.\n", "first"), write("One dog.\n", "second")]
    assert [image.sentences for image in read_all(plain)] == [("A dog.",), ("A cat.",), ("One dog.",)]
    other = write(coco(images=[{"id": 7, "file_name": "other.jpg"}], annotations=COCO["annotations"][1:2]), "other")
    with pytest.raises(Error, match=r"image 7 is other.jpg here, seven.jpg before"):
        read_all([write(coco()), other])


def test_images_by_file():
    images = [AnnotatedImage(k, name, ("A.",)) for k, name in enumerate(["a/x.png", "b/x.png", "y.png", ""])]
    by_file = ImagesByFile(images)
    assert by_file.find("some/b/x.png") is images[1]
    assert by_file.find("elsewhere/y.png") is images[2]
    assert by_file.find("z.png") is None
    with pytest.raises(Error, match=r"c/x.png: may be a/x.png or b/x.png; name it with its folder"):
        by_file.find("c/x.png")


@pytest.mark.parametrize("content", ["[" * 100_000, "[" + "9" * 5000 + "]"], ids=["deep", "long"])
def test_json_that_python_does_not_take(write, content):
    with pytest.raises(Error, match="not JSON"):
        read_annotations(write(content))


def test_a_damaged_archive(write):
    damaged = bytearray(gzip.compress(b"A dog.\n" * 1000))
    damaged[12:20] = b"\xff" * 8
    with pytest.raises(Error, match="it cannot be read"):
        read_annotations(write(bytes(damaged), "damaged.gz"))


def test_tokens(write):
    path = write("b.jpg#0\tA dog.\na.jpg#0\tA cat .\nb.jpg#1\tOne dog #2\n")
    assert read_annotations(path) == [
        AnnotatedImage("b.jpg", "b.jpg", ("A dog.", "One dog #2")),
        AnnotatedImage("a.jpg", "a.jpg", ("A cat .",)),
    ]


def test_plain_lines_compressed(write):
    path = write(gzip.compress("Two caf\u00e9s.\nA dog.\n".encode()), "plain.gz")
    assert [image.sentences for image in read_annotations(path)] == [("Two caf\u00e9s.",), ("A dog.",)]


@pytest.mark.filterwarnings("ignore:.*left out")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"annotations": None}, "'annotations': a list was expected, nothing was found"),
        ({"images": {}}, "'images': a list was expected, {} was found"),
        ({"images": [{"id": 3}]}, r"images\[0\]: field 'file_name': a string was expected, nothing"),
        ({"annotations": [{"image_id": 3}]}, r"annotations\[0\]: field 'caption': a string was expected, nothing"),
        ({"annotations": [{"caption": "A"}]}, r"annotations\[0\]: field 'image_id': a whole number or a string was"),
        ({"annotations": [{"image_id": 3, "caption": 5}]}, "field 'caption': a string was expected, 5 was found"),
        ({"annotations": [7]}, r"annotations\[0\]: an object was expected, 7 was found"),
        ({"annotations": [{"image_id": 9, "caption": "A"}]}, "image_id 9 is not among the ids"),
        ({"annotations": []}, "no sentence"),
    ],
)
def test_coco_with_something_missing(write, changes, message):
    with pytest.raises(Error, match=message):
        read_annotations(write(coco(**changes)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe\x00", "UTF-8"),
        (b"", "no sentence"),
        (b'{"images": [', "captions:1:13: not JSON"),
        (b"a.jpg#0\tA dog.\nA cat.\n", "captions:2: expected 'name.jpg#0<TAB>sentence', found 'A cat.'"),
    ],
)
def test_other_files(write, content, message):
    with pytest.raises(Error, match=message):
        read_annotations(write(content))


def test_truncated_gzip(write):
    with pytest.raises(Error, match="cannot be read"):
        read_annotations(write(gzip.compress(b"A dog.\n" * 99)[:-9], "plain.gz"))


@pytest.mark.filterwarnings("ignore:.*left out")
@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_content_is_read_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "captions"
    path.write_bytes(content)
    try:
        assert all(image.sentences for image in read_annotations(path))
    except Error as error:
        assert str(path) in str(error)


def test_empty_captions_are_left_out_with_a_warning(write):
    path = write("a.jpg#0\tA dog.\na.jpg#1\t .\nb.jpg#0\t\n")
    with pytest.warns(UserWarning, match="left out 2 sentences without words, of: a.jpg, b.jpg"):
        assert read_annotations(path) == [AnnotatedImage("a.jpg", "a.jpg", ("A dog.",))]


def test_images_without_captions_are_left_out_with_a_warning(write):
    with pytest.warns(UserWarning, match="left out 1 images without sentences: 7"):
        assert read_annotations(write(coco(annotations=COCO["annotations"][:1]))) == [
            AnnotatedImage(3, "three.jpg", ("A dog.",))
        ]


def test_choose(write):
    assert choose([SEVEN, THREE], write("3\n\nseven.jpg\n", "split")) == [THREE, SEVEN]
    with pytest.raises(Error, match="split:2: image '5' is not among the annotated ones"):
        choose([SEVEN, THREE], write("3\n5\n", "split"))
    with pytest.raises(Error, match="list of images is empty"):
        choose([SEVEN, THREE], write("\n", "split"))
    with pytest.raises(Error, match="a list of images is a text file"):
        choose([SEVEN, THREE], write(b"\xff3\n", "split"))


def test_find_files(tmp_path):
    (tmp_path / "three.jpg").touch()
    with pytest.warns(UserWarning, match=r"left out 1 images that are not there: seven.jpg"):
        assert find_files([SEVEN, THREE], tmp_path) == {str(tmp_path / "three.jpg"): THREE}
    with pytest.raises(Error, match="none of the 1 annotated images is there"):
        find_files([SEVEN], tmp_path)
    with pytest.raises(Error, match="of no images"):
        find_files([AnnotatedImage(0, "", ("A dog",))], tmp_path)
