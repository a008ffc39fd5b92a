"""Descriptors and scores against what the authors' code computed."""

import numpy as np
import pytest

from lrcn.caption.images import load_image, prepare


def test_images_are_prepared_with_the_authors_bits(recorded):
    assert np.array_equal(prepare(load_image(recorded.images[0]), (227, 227)), recorded.preprocessed0)


@pytest.mark.parametrize(("numerics", "tolerance"), [("exact", 0), ("fast", 1e-4)])
def test_descriptors(recorded, numerics, tolerance):
    found = recorded.captioner(numerics).descriptors(recorded.images)
    assert found.dtype == np.float32
    assert np.abs(found - recorded.descriptors).max() <= tolerance


@pytest.mark.parametrize(("numerics", "tolerance"), [("exact", 0), ("fast", 1e-4)])
def test_scores_of_captions(recorded, numerics, tolerance):
    captioner = recorded.captioner(numerics)
    captions = [caption["words"] for caption in recorded.values["captions"]]
    for descriptor, expected in zip(recorded.descriptors, recorded.caption_log_p, strict=True):
        scores = captioner.decoder.word_log_probabilities(captions, np.tile(descriptor, (len(captions), 1)))
        assert [len(words) for words in scores] == [len(words) for words in captions]
        assert np.abs([sum(words) for words in scores] - expected).max() <= tolerance
