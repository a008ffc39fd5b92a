"""The command line that makes training data."""

import h5py
import pytest

TOKENS = "".join(
    f"{name}.jpg#{number}\t{sentence}\n"
    for number, sentence in enumerate(["A dog runs.", "A dog sleeps.", "The dog , a big one , runs ."])
    for name in "abc"
)


@pytest.fixture
def material(tmp_path):
    (tmp_path / "captions.token").write_text(TOKENS)
    (tmp_path / "images").mkdir()
    for name in "ab":
        (tmp_path / "images" / f"{name}.jpg").touch()
    return tmp_path


def test_all_files(command, material):
    arguments = [
        material / "captions.token",
        "--images",
        material / "images",
        "-o",
        material / "out",
        "--name",
        "train",
    ]
    status, out, err = command("prepare_captions.py", *arguments, "--streams", 4, "--max-words", 6, "--min-count", 4)
    assert status == 0, err
    assert "left out 1 images that are not there: c.jpg" in err
    assert err.startswith("warning: ")
    assert "6 captions" in out
    assert "2 cut to 6 words" in out
    words = (material / "out" / "vocabulary.txt").read_text().split()
    assert words == ["<unk>", "a", "dog", ",", "runs"]
    with h5py.File(material / "out" / "train_aligned_6_batches" / "batch_0.h5") as file:
        assert file["input_sentence"].shape == (12, 4)
        assert file["input_sentence"][:].max() == 5
    aligned = (material / "out" / "train_aligned_6_batches" / "image_list.txt").read_text().splitlines()
    assert len(aligned) == 8
    assert set(aligned) == {str(material / "images" / f"{name}.jpg") for name in "ab"}
    with h5py.File(material / "out" / "train_unaligned_batches" / "batch_0.h5") as file:
        assert (file["target_sentence"][:] == 0).sum() == 6

    command("prepare_captions.py", *arguments[:-1], "val", "--vocabulary", material / "out" / "vocabulary.txt")
    assert (material / "out" / "val_unaligned_batches" / "hdf5_chunk_list.txt").exists()


def test_the_same_twice(command, material):
    contents = []
    for name in ("one", "two"):
        command(
            "prepare_captions.py", material / "captions.token", "-o", material / name, "--name", "t", "--streams", 2
        )
        with h5py.File(material / name / "t_aligned_20_batches" / "batch_0.h5") as file:
            contents.append(file["input_sentence"][:].tolist())
    assert contents[0] == contents[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--streams", "0"], "--streams must be 1 or more"),
        (["--images", "nowhere"], "none of the 3 annotated images is there"),
        (["--vocabulary", "nowhere.txt"], "No such file"),
        (["--split", "nowhere.txt"], "No such file"),
        (["--name", "../t"], "the name of a split was expected"),
        (["--name", ""], "the name of a split was expected"),
    ],
)
def test_problems_end_with_a_message(command, material, arguments, message):
    status, _, err = command(
        "prepare_captions.py", material / "captions.token", "-o", material / "out", "--name", "t", *arguments
    )
    assert status == 2
    assert err.startswith("error: ")
    assert message in err
    assert not (material / "out" / "t_unaligned_batches").exists()


def test_words_outside_a_vocabulary_without_unk(command, material):
    (material / "v.txt").write_text("a\ndog\n")
    status, _, err = command(
        "prepare_captions.py", material / "captions.token", "-o", material / "out", "--name", "t",
        "--vocabulary", material / "v.txt",
    )  # fmt: skip
    assert status == 2
    assert "'runs' is not among the 3 words of the vocabulary" in err
