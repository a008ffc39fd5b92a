"""Searches against the recorded ones, and against a plain search that runs one image and one sentence at a time."""

import math

import numpy as np
import pytest
from caption_material import VARIANTS, descriptors, word_net

from lrcn.caption import generate
from lrcn.caption.decoder import Decoder
from lrcn.caption.generate import Beam, Caption, Sampling, beam_search, best, sample
from lrcn.errors import Error


def plain_search(net, descriptor, beam_size, max_words):
    """Beam search as the paper's authors do it: every word of every sentence is run again for every further word."""

    def probabilities(words):
        for word, cont in zip([0, *words], [0] + [1] * len(words), strict=True):
            inputs = {"image_features": descriptor[None]} if "image_features" in net.inputs else {}
            found = net(cont_sentence=np.array([[cont]]), input_sentence=np.array([[word]]), **inputs)["probs"]
        return found[0, 0].detach().numpy()

    def is_over(words):
        return bool(words) and (words[-1] == 0 or len(words) >= max_words)

    sentences = [((), (), 0.0)]
    while not all(is_over(words) for words, _, _ in sentences):
        longer = []
        for words, word_p, log_p in sentences:
            if is_over(words):
                longer.append((words, word_p, log_p))
                continue
            p = probabilities(words)
            for word in p.argsort()[-beam_size:]:
                longer.append(((*words, int(word)), (*word_p, float(p[word])), log_p + math.log(p[word])))
        longer.sort(key=lambda sentence: -sentence[2])
        sentences = longer[:beam_size]
    return sentences


@pytest.mark.parametrize("seed", range(200))
def test_many_images_at_a_time_give_what_each_gives_alone(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    max_words, beam_size = int(rng.integers(1, 9)), int(rng.integers(1, 7))
    monkeypatch.setattr(generate, "MAX_WORDS", max_words)
    monkeypatch.setattr(generate, "_SENTENCES", 8)  # so that images go into several blocks
    variant = VARIANTS[seed % len(VARIANTS)]
    size = 0 if variant == "language model" else int(rng.integers(1, 6))
    net = word_net(variant, words=int(rng.integers(2, 15)), hidden=int(rng.integers(1, 9)), descriptor=size, seed=seed)
    images = descriptors(int(rng.integers(1, 5)), size, seed)
    found = beam_search(Decoder(net), images, Beam(beam_size))
    for captions, descriptor in zip(found, images, strict=True):
        expected = plain_search(net, descriptor, beam_size, max_words)
        assert [(c.words, c.word_p, c.log_p) for c in captions] == expected


@pytest.mark.parametrize(("numerics", "tolerance"), [("exact", 0), ("fast", 1e-4)])
@pytest.mark.parametrize(("name", "size"), [("greedy", 1), ("beam3", 3), ("beam5", 5)])
def test_recorded_searches(recorded, name, size, numerics, tolerance):
    captioner = recorded.captioner(numerics)
    found = beam_search(captioner.decoder, recorded.descriptors, Beam(size))
    for captions, expected in zip(found, recorded.values[name], strict=True):
        assert [list(caption.words) for caption in captions] == [caption["words"] for caption in expected]
        assert [captioner.vocabulary.sentence(c.words) for c in captions] == [c["sentence"] for c in expected]
        for caption, wanted in zip(captions, expected, strict=True):
            assert abs(caption.log_p - wanted["log_p"]) <= tolerance


@pytest.mark.parametrize("numerics", ["exact", "fast"])
def test_recorded_samples(recorded, numerics):
    captioner = recorded.captioner(numerics)
    found = sample(captioner.decoder, recorded.descriptors, Sampling(count=3, temperature=1.5, seed=0))
    assert [[list(c.words) for c in captions] for captions in found] == recorded.values["sample_seed0"]


@pytest.fixture(scope="module")
def decoder():
    return Decoder(word_net(words=12, seed=5))


@pytest.mark.parametrize("temperature", [math.inf, 1e39])
def test_infinite_temperature_is_greedy_search(decoder, temperature):
    images = descriptors(6)
    samples = sample(decoder, images, Sampling(count=2, temperature=temperature))
    greedy = beam_search(decoder, images, Beam(1))
    for (first, second), (expected,) in zip(samples, greedy, strict=True):
        assert first.words == second.words == expected.words
        assert np.allclose(first.word_p, expected.word_p, rtol=1e-6)  # the softmax is another one


def test_samples_of_an_image_do_not_depend_on_the_others(decoder):
    images = descriptors(5)
    together = sample(decoder, images, Sampling(3, seed=7))
    assert together == [sample(decoder, image[None], Sampling(3, seed=7))[0] for image in images]
    assert together != sample(decoder, images, Sampling(3, seed=8))


def test_words_are_drawn_as_often_as_they_are_probable(decoder, monkeypatch):
    monkeypatch.setattr(generate, "MAX_WORDS", 1)
    image = descriptors(1)
    p = decoder.begin(image).probabilities[0].numpy()
    words = [caption.words[0] for caption in sample(decoder, image, Sampling(500))[0]]
    frequency = np.bincount(words, minlength=12) / 500
    assert np.abs(frequency - p).max() < 5 * math.sqrt(0.25 / 500)  # five standard deviations


def test_probabilities_are_those_of_the_word_net_whatever_the_search(decoder):
    image = descriptors(1)
    searches = [
        *sample(decoder, image, Sampling(5, temperature=0.7, top_k=6, top_p=0.9), forbidden=[1])[0],
        *beam_search(decoder, image, Beam(4, length_penalty=1.0, groups=2, diversity=0.5), forbidden=[1])[0],
    ]
    for caption in searches:
        (logs,) = decoder.word_log_probabilities([caption.words], image)
        assert np.allclose(logs, np.log(caption.word_p), atol=1e-5)
        assert caption.log_p == pytest.approx(logs.sum(), abs=1e-4)


@pytest.mark.parametrize(
    "search",
    [
        lambda *arguments: beam_search(*arguments[:2], Beam(5), *arguments[2:]),
        lambda *arguments: sample(*arguments[:2], Sampling(5), *arguments[2:]),
        lambda *arguments: sample(*arguments[:2], Sampling(1, temperature=math.inf), *arguments[2:]),
    ],
)
def test_forbidden_words_are_not_written(decoder, search):
    images = descriptors(4)
    written = {word for captions in search(decoder, images) for caption in captions for word in caption.words}
    word = max(written)
    assert not any(word in caption.words for captions in search(decoder, images, [word]) for caption in captions)


def test_top_k_and_top_p_draw_only_from_the_most_probable_words(decoder, monkeypatch):
    monkeypatch.setattr(generate, "MAX_WORDS", 1)
    image = descriptors(1)
    p = decoder.begin(image).probabilities[0].numpy()
    by_p = np.argsort(-p)

    def first_words(**settings):
        return {c.words[0] for c in sample(decoder, image, Sampling(200, **settings))[0]}

    assert first_words(top_k=3) == set(by_p[:3])
    assert first_words(top_k=1) == {by_p[0]}
    enough = int(np.searchsorted(np.cumsum(p[by_p]), 0.6)) + 1
    assert first_words(top_p=0.6) == set(by_p[:enough])
    assert first_words(top_p=1e-9) == {by_p[0]}


def test_a_length_penalty_compares_means_and_favours_longer_sentences(decoder):
    images = descriptors(20)
    plain, mean = (beam_search(decoder, images, Beam(3, length_penalty=a)) for a in (0.0, 1.0))
    lengths = [np.mean([len(captions[0].words) for captions in found]) for found in (plain, mean)]
    assert lengths[1] > lengths[0]
    for captions in mean:
        means = [c.log_p / len(c.words) for c in captions]
        assert means == sorted(means, reverse=True)


def test_diverse_groups_begin_with_different_words(decoder):
    images = descriptors(6)
    for captions in beam_search(decoder, images, Beam(4, groups=4, diversity=100.0)):
        assert len({caption.words[0] for caption in captions}) == 4
        assert [c.log_p for c in captions] == sorted((c.log_p for c in captions), reverse=True)
    # Without diversity, every group finds the same.
    for captions in beam_search(decoder, images, Beam(4, groups=4)):
        assert len({caption.words for caption in captions}) == 1


def test_best_of_many_samples_is_the_most_probable(decoder):
    samples = sample(decoder, descriptors(1), Sampling(20))[0]
    found = best(samples, 3)
    assert [c.log_p for c in found] == sorted((c.log_p for c in samples), reverse=True)[:3]
    twins = [Caption((2, 0), (0.5, 0.5)), Caption((3, 0), (0.5, 0.5))]
    assert best(twins, 1) == twins[:1]


def test_sentences_end_after_fifty_words(recorded):
    captioner = recorded.captioner()
    lengths = {len(c[0].words) for c in beam_search(captioner.decoder, recorded.descriptors, Beam(1))}
    assert max(lengths) == 50


def test_no_images(decoder):
    assert beam_search(decoder, np.empty((0, 5), np.float32), Beam(3)) == []
    assert sample(decoder, np.empty((0, 5), np.float32), Sampling(3)) == []


def test_a_beam_wider_than_the_vocabulary():
    decoder = Decoder(word_net(words=2))
    (captions,) = beam_search(decoder, descriptors(1), Beam(6))
    assert len(captions) == 6 and len({c.words for c in captions}) == 6


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (lambda: Beam(0), "a beam of 1 or more"),
        (lambda: Beam(5, groups=2), "cannot be divided into 2 equal groups"),
        (lambda: Beam(5, groups=0), "cannot be divided into 0"),
        (lambda: Beam(5, length_penalty=1000), "length penalty of at most 100"),
        (lambda: Beam(5, length_penalty=math.nan), "length penalty of at most 100"),
        (lambda: Beam(5, groups=5, diversity=math.inf), "a finite diversity"),
        (lambda: Sampling(0), "1 or more samples"),
        (lambda: Sampling(1, temperature=1e-50), "temperature above 0"),
        (lambda: Sampling(1, temperature=0), "temperature above 0"),
        (lambda: Sampling(1, temperature=math.nan), "temperature above 0"),
        (lambda: Sampling(1, top_k=0), "1 or more words"),
        (lambda: Sampling(1, top_p=0), "probability above 0"),
        (lambda: Sampling(1, top_p=1.5), "probability above 0"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(Error, match=message):
        settings()


def test_settings_are_told_in_words():
    assert str(Beam(5)) == "beam search, size 5"
    assert str(Sampling(3, temperature=1.5, top_p=0.9)) == "sampling, count 3, temperature 1.5, top p 0.9"
