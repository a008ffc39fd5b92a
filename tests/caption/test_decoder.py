"""The word net, step by step and sentence by sentence."""

import numpy as np
import pytest
from caption_material import VARIANTS, descriptors, word_net, word_net_text

from lrcn import Net
from lrcn.caption.decoder import Decoder
from lrcn.errors import Error
from prototxt_import import parse_net

CAPTIONS = [[3, 4, 0], [5, 0], [2, 2, 7, 1, 9, 0], [0], [11, 10]]


def begun(decoder, words, descriptor):
    """The probabilities of the word after these, the sentence being run alone from its beginning."""
    next_word = decoder.begin(descriptor[None])
    for word in words:
        next_word = decoder.extend([0], [word])
    return next_word.probabilities[0].numpy()


@pytest.mark.parametrize("variant", VARIANTS)
def test_sentences_may_be_reordered_repeated_and_left_out(variant):
    decoder = Decoder(word_net(variant))
    images = descriptors(5, decoder.descriptor_size)
    decoder.begin(images)
    decoder.extend([4, 2, 2, 0, 1], [3, 4, 5, 6, 7])
    found = decoder.extend([1, 1, 4, 0], [8, 9, 1, 2]).probabilities.numpy()
    expected = [([4, 8], 2), ([4, 9], 2), ([7, 1], 1), ([3, 2], 4)]
    for row, (words, image) in zip(found, expected, strict=True):
        assert np.array_equal(row, begun(decoder, words, images[image]))


def test_exact_numerics_has_the_bits_of_one_sentence_alone_for_any_number():
    """OpenBLAS computes one to three rows alike, of all sizes of a matrix."""
    decoder = Decoder(word_net(words=61, hidden=37))
    images = descriptors(7)
    together = decoder.begin(images).probabilities.numpy()
    assert np.array_equal(together, np.concatenate([decoder.begin(image[None]).probabilities for image in images]))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("numerics", ["exact", "fast"])
def test_scores_are_those_of_the_words_one_after_the_other(variant, numerics):
    net = word_net(variant)
    decoder = Decoder(Net(net.definition, numerics=numerics))
    decoder.net.load_state_dict(net.state_dict())
    images = descriptors(len(CAPTIONS), decoder.descriptor_size)
    for caption, image, logs in zip(CAPTIONS, images, decoder.word_log_probabilities(CAPTIONS, images), strict=True):
        assert logs.dtype == np.float64
        expected = [np.log(begun(decoder, caption[:k], image)[word]) for k, word in enumerate(caption)]
        assert np.allclose(logs, expected, atol=1e-5)


def test_scores_of_many_captions_do_not_depend_on_their_order():
    decoder = Decoder(word_net())
    rng = np.random.default_rng(0)
    captions = [rng.integers(0, 12, rng.integers(1, 9)).tolist() for _ in range(30)]
    images = descriptors(30)
    order = rng.permutation(30)
    straight = decoder.word_log_probabilities(captions, images)
    shuffled = decoder.word_log_probabilities([captions[k] for k in order], images[order])
    for k, logs in zip(order, shuffled, strict=True):
        assert np.allclose(logs, straight[k], atol=1e-6)


def test_a_probability_of_nothing_counts_as_very_little():
    decoder = Decoder(word_net())
    decoder.net.params["predict"][1].data[4] = -1000
    (logs,) = decoder.word_log_probabilities([[4]], descriptors(1))
    assert logs[0] == pytest.approx(np.log(1e-12))


@pytest.mark.parametrize(
    ("captions", "images", "message"),
    [
        ([[3, 0], []], (2, 5), "caption 1 has no words"),
        ([[3, 12, 0]], (1, 5), "caption 0 has words from 0 to 12; the word net knows 0 to 11"),
        ([[-1, 0]], (1, 5), "caption 0 has words from -1 to 0"),
        ([[3, 0]], (2, 5), "1 captions need as many descriptors, 2 were found"),
        ([[3, 0]], (1, 4), r"descriptors of shape \(images, 5\) were expected by the word net, \(1, 4\) was found"),
    ],
)
def test_captions_that_cannot_be_scored(captions, images, message):
    with pytest.raises(Error, match=message):
        Decoder(word_net()).word_log_probabilities(captions, descriptors(*images))


def test_no_captions():
    assert Decoder(word_net()).word_log_probabilities([], descriptors(0)) == []


def test_a_net_that_is_no_word_net():
    text = word_net_text("factored", 12, 6, 5).replace('"probs"', '"probabilities"')
    with pytest.raises(Error, match="this is not a word net: it has no blob 'probs'"):
        Decoder(Net(parse_net(text)))
