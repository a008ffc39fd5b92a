import json
import random

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import lrcn
from lrcn.caption.decoder import Decoder
from lrcn.caption.pairs import OneByOne, PairScorer, levels
from lrcn.caption.retrieval import RECALL_AT, ScoreTable, normalized, ranks, recall, retrieve, score_pairs
from prototxt_import import parse_net

VARIANTS = {  # LSTM layers, and those of them that see the image
    "language model": (1, ()),
    "single layer": (1, (1,)),
    "unfactored": (2, (1,)),
    "factored": (2, (2,)),
    "factored, three layers": (3, (2,)),
    "image twice": (3, (1, 3)),
}
WORDS, SIZE = 23, 5


def word_net(variant: str, numerics: str) -> lrcn.Net:
    """A small word net of a variant, with random weights."""
    layers, seeing = VARIANTS[variant]
    text = """
        input: "cont_sentence" input_shape { dim: 1 dim: 4 }
        input: "input_sentence" input_shape { dim: 1 dim: 4 }
        layer { name: "embedding" type: "Embed" bottom: "input_sentence" top: "lstm0"
                embed_param { input_dim: 23 num_output: 6 } }"""
    if seeing:
        text += f'input: "image_features" input_shape {{ dim: 4 dim: {SIZE} }}'
    for number in range(1, layers + 1):
        image = 'bottom: "image_features"' if number in seeing else ""
        text += f"""
        layer {{ name: "lstm{number}" type: "LSTM" bottom: "lstm{number - 1}" bottom: "cont_sentence" {image}
                 top: "lstm{number}" recurrent_param {{ num_output: {6 + number} }} }}"""
    text += f"""
        layer {{ name: "predict" type: "InnerProduct" bottom: "lstm{layers}" top: "predict"
                 inner_product_param {{ num_output: {WORDS} axis: 2 transpose: {str(layers == 3).lower()} }} }}
        layer {{ name: "probs" type: "Softmax" bottom: "predict" top: "probs" softmax_param {{ axis: 2 }} }}"""
    net = lrcn.Net(parse_net(text), numerics=numerics)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return net


def test_recorded(recorded):
    """The figures of the authors' retrieval code, to the last digit, and its scores within rounding."""
    captions = [caption["words"] for caption in recorded.values["captions"]]
    names = recorded.values["images"]
    image_of = [names.index(caption["image"]) for caption in recorded.values["captions"]]
    for numerics, scorer, tolerance in (("exact", OneByOne, 1e-6), ("fast", PairScorer, 1e-4)):
        captioner = recorded.captioner(numerics)
        table = ScoreTable((len(names), len(captions)))
        score_pairs(scorer(captioner.decoder), captions, captioner.descriptors(recorded.images), table)
        np.testing.assert_allclose(table.log_p, recorded.caption_log_p, rtol=0, atol=tolerance)
        for direction, found in retrieve(table.log_p, image_of).items():
            figures, expected = recall(found), recorded.values[direction]
            assert figures["median rank"] == expected["median (1-indexed)"]
            assert figures["mean rank"] == pytest.approx(expected["mean (1-indexed)"], abs=1e-12)
            for k in (1, 5, 10):
                assert figures[f"R@{k}"] == expected[f"R@{k}"]


@pytest.mark.parametrize("variant", VARIANTS)
@settings(max_examples=20, deadline=None)
@given(
    captions=st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=6), min_size=1, max_size=12),
    images=st.integers(1, 4),
)
def test_large_batches_give_what_one_by_one_gives(variant, captions, images):
    decoder = Decoder(word_net(variant, "fast"))
    descriptors = np.random.default_rng(0).normal(size=(images, decoder.descriptor_size)).astype(np.float32)
    found = []
    for scorer in (OneByOne(decoder), PairScorer(decoder)):
        scorer.captions_at_a_time, scorer.images_at_a_time = 5, min(scorer.images_at_a_time, 3)
        table = ScoreTable((images, len(captions)))
        score_pairs(scorer, captions, descriptors, table)
        found.append(table.log_p)
    # Sums of up to six logarithms, each from float32 products in another order.
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5, atol=1e-5)


def test_words_of_a_tree_are_taken_once():
    tree = levels([[1, 2, 0], [1, 2, 5, 0], [1, 3], [4]])
    assert [level.word.tolist() for level in tree] == [[0], [1], [2], [5]]
    assert [level.parent.tolist() for level in tree] == [[0], [0], [0], [0]]
    assert [level.caption.tolist() for level in tree] == [[0, 1, 2, 3], [0, 1, 2], [0, 1], [1]]
    assert [level.target.tolist() for level in tree] == [[1, 1, 1, 4], [2, 2, 3], [0, 5], [0]]
    assert [level.node.tolist() for level in tree] == [[0, 0, 0, 0], [0, 0, 0], [0, 0], [0]]


def test_other_word_nets_are_refused():
    net = parse_net(
        """input: "cont_sentence" input_shape { dim: 1 dim: 4 } input: "input_sentence" input_shape { dim: 1 dim: 4 }
        layer { name: "e" type: "Embed" bottom: "input_sentence" top: "e" embed_param { input_dim: 5 num_output: 6 } }
        layer { name: "r" type: "RNN" bottom: "e" bottom: "cont_sentence" top: "r" recurrent_param { num_output: 6 } }
        layer { name: "predict" type: "InnerProduct" bottom: "r" top: "predict"
                inner_product_param { num_output: 5 axis: 2 } }
        layer { name: "probs" type: "Softmax" bottom: "predict" top: "probs" softmax_param { axis: 2 } }"""
    )
    with pytest.raises(
        lrcn.Error, match=r"this one has Embed, RNN, InnerProduct, Softmax; score it with exact numerics"
    ):
        PairScorer(Decoder(lrcn.Net(net, numerics="fast")))


def test_unusable_captions_and_descriptors():
    scorer = PairScorer(Decoder(word_net("factored", "fast")))
    with pytest.raises(lrcn.Error, match="caption 1 has no words"):
        scorer.read([[1], []])
    with pytest.raises(lrcn.Error, match="the word net knows 0 to 22"):
        scorer.read([[1, 23]])
    with pytest.raises(lrcn.Error, match=r"descriptors of shape \(images, 5\)"):
        scorer.log_p(scorer.read([[1]]), np.zeros((2, 4), np.float32))


def authors_ranks(scores: np.ndarray, correct: np.ndarray) -> list[int]:
    """Sort all candidates, the best first and equals in their order; count up to the first correct one."""
    found = []
    for row, right in zip(scores, correct, strict=True):
        order = sorted(range(len(row)), key=lambda k: -row[k])
        found.append(next(place for place, k in enumerate(order) if right[k]))
    return found


@given(
    arrays.arrays(np.float64, (4, 7), elements=st.sampled_from([-2.0, -1.0, 0.0, 3.0])),
    st.lists(st.integers(0, 3), min_size=3, max_size=3),
)
def test_ranks_with_equals(scores, others):
    correct = np.arange(4)[:, None] == np.array([*range(4), *others])
    assert ranks(scores, correct).tolist() == authors_ranks(scores, correct)
    assert ranks(scores.T, correct.T).tolist() == authors_ranks(scores.T, correct.T)


def test_recall():
    figures = recall(np.array([0, 4, 5, 49, 50]))
    assert [figures[f"R@{k}"] for k in RECALL_AT] == [0.2, 0.4, 0.6, 0.8]
    assert figures["median rank"] == 6
    assert figures["mean rank"] == pytest.approx(22.6)


def test_normalized_where_p_is_too_small_for_a_float():
    log_p = np.array([[-2000.0, -1.0], [-2001.0, -1.0]])
    np.testing.assert_allclose(normalized(log_p)[:, 0], [0.379885, -0.620115], atol=1e-6)
    np.testing.assert_allclose(normalized(log_p)[:, 1], 0)


class Interrupted(Exception):
    pass


def test_an_interrupted_run_goes_on(tmp_path):
    decoder = Decoder(word_net("factored", "fast"))
    generator = random.Random(0)
    captions = [[generator.randint(1, 22) for _ in range(4)] for _ in range(20)]
    descriptors = np.random.default_rng(0).normal(size=(7, SIZE)).astype(np.float32)

    class Counting(PairScorer):
        captions_at_a_time, images_at_a_time = 6, 3
        calls = 0
        stop_after = 5

        def log_p(self, *arguments):
            if self.calls == self.stop_after:
                raise Interrupted
            self.calls += 1
            return super().log_p(*arguments)

    first, second, done = Counting(decoder), Counting(decoder), []
    second.stop_after = 99
    path = tmp_path / "scores.h5"
    with pytest.raises(Interrupted), ScoreTable((7, 20), path, {"words": "a"}) as table:
        score_pairs(first, captions, descriptors, table)
    with ScoreTable((7, 20), path, {"words": "a"}) as table:
        score_pairs(second, captions, descriptors, table, done.append)
    assert second.calls == 4 * 3 - 5
    assert sum(done) == 7 * 20
    whole = ScoreTable((7, 20))
    score_pairs(PairScorer(decoder), captions, descriptors, whole)
    np.testing.assert_allclose(table.log_p, whole.log_p, rtol=1e-5)
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["log_p"][...], table.log_p)
        assert json.loads(file.attrs["settings"]) == {"words": "a"}
    assert [file.name for file in tmp_path.iterdir()] == ["scores.h5"]


def test_scores_of_other_settings_are_refused(tmp_path):
    path = tmp_path / "scores.h5"
    with ScoreTable((2, 3), path, {"words": "a"}):
        pass
    with pytest.raises(lrcn.Error, match="made with words = a, this run has b"):
        ScoreTable((2, 3), path, {"words": "b"})
    path.write_text("no")
    with pytest.raises(lrcn.Error, match="not a file of scores"):
        ScoreTable((2, 3), path, {"words": "a"})
    for kept in ("5", '["words"]'):
        with h5py.File(path, "w") as file:
            file["log_p"] = np.zeros((2, 3))
            file.attrs["settings"] = kept
        with pytest.raises(lrcn.Error, match="not a file of scores"):
            ScoreTable((2, 3), path, {"words": "a"})


def test_scores_that_are_no_numbers_rank_nothing():
    with pytest.raises(lrcn.Error, match="not a number; are the weights damaged"):
        retrieve(np.full((2, 3), np.nan), [0, 0, 1])
