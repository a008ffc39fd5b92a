"""The command-line options that name a captioning model and how it writes; shared by the captioning scripts."""

import argparse
from pathlib import Path

import numpy as np

from prototxt_import import Weights

from .. import cli, networks
from ..convert import load_weights
from ..devices import use_precision
from ..errors import Error
from ..net import Net
from .captioner import Captioner
from .decoder import Decoder
from .generate import Beam, Caption, Sampling, beam_search, best, sample
from .vocabulary import UNKNOWN_WORD, Vocabulary

_BEAM = 5
_BEAM_OPTIONS = ("length_penalty", "groups", "diversity")
_SAMPLING_OPTIONS = ("temperature", "seed", "top_k", "top_p")


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for weights, networks, words, and how they run."""
    model = parser.add_argument_group("model")
    model.add_argument("--weights", metavar="W[,W2]", help="lrcn_*.caffemodel; two files, if they are one for each net")
    model.add_argument("--vocab", type=Path, metavar="V", help="its vocabulary: a word on each line, without <EOS>")
    model.add_argument(
        "--image-net", type=Path, metavar="P", help="prototxt (default: CaffeNet or VGG-16, as the weights have it)"
    )
    model.add_argument(
        "--word-net", type=Path, metavar="P", help="prototxt (default: the paper's variant that the weights are of)"
    )
    how = parser.add_argument_group("how it is computed")
    cli.add_numerics_options(how, "1e-4")


def load_captioner(options: argparse.Namespace) -> Captioner:
    """The model that the options name. Raises `Error` for options that do not go together and unusable files."""
    weights, vocabulary = _weights_and_vocabulary(options)
    image_net = options.image_net or networks.path("vgg16.prototxt" if "conv1_1" in weights else "caffenet.prototxt")
    word_net = options.word_net or networks.path("caption_words.prototxt")
    return Captioner(
        _net(image_net, weights, options),
        _net(word_net, weights, options, variant(weights)),
        vocabulary,
    )


def load_language_model(options: argparse.Namespace) -> tuple[Decoder, Vocabulary]:
    """The word net and the words of a language model that the options name. Raises `Error` as `load_captioner` does."""
    weights, vocabulary = _weights_and_vocabulary(options)
    word_net = options.word_net or networks.path("language_model.prototxt")
    decoder = Decoder(_net(word_net, weights, options))
    decoder.check_vocabulary(vocabulary)
    return decoder, vocabulary


def _weights_and_vocabulary(options: argparse.Namespace) -> tuple[Weights, Vocabulary]:
    for name in ("weights", "vocab"):
        if not getattr(options, name):
            raise Error(f"--{name} is missing: a model is weights and the vocabulary that they were trained with")
    cli.check_numerics_options(options)
    return read_weights(options.weights), Vocabulary.load(options.vocab)


def _net(path: Path, weights: Weights, options: argparse.Namespace, stages: tuple[str, ...] = ()) -> Net:
    net = Net(path, weights, numerics=options.numerics, stages=stages)
    return net.to(options.device, use_precision(options.precision))


def read_weights(names: str) -> Weights:
    """The layers of one file, or of several with commas between them, of which the later ones win."""
    files = [load_weights(name) for part in names.split(",") if (name := part.strip())]
    if not files:
        raise Error(f"--weights {names!r}: the name of a .caffemodel was expected")
    layers = {layer.name: layer for file in files for layer in file.layers}
    return Weights(files[0].name, list(layers.values()), path=names, format=files[0].format, dialect=files[0].dialect)


def variant(weights: Weights) -> tuple[str, ...]:
    """The stages of `caption_words.prototxt` that choose the word net of these weights."""
    if "lstm2" not in weights:
        return ("unfactored",)
    # The image's weights are one blob more, in the layer that sees the image.
    sees_image = "lstm1" in weights and len(weights["lstm1"]) == 4
    return ("unfactored", "2-layer") if sees_image else ()


def add_search_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for how sentences are written."""
    search = parser.add_argument_group("search")
    kind = search.add_mutually_exclusive_group()
    kind.add_argument(
        "--beam", type=int, metavar="K", help=f"pursue the K best sentences (default {_BEAM}); 1: greedy search"
    )
    kind.add_argument("--sample", type=int, metavar="N", help="draw N sentences instead")
    search.add_argument(
        "--n-best", type=int, metavar="N", help="keep the N most probable (default: all that there are)"
    )
    search.add_argument("--no-unk", action="store_true", help=f"never write {UNKNOWN_WORD}")
    beam = parser.add_argument_group("search with --beam")
    beam.add_argument("--length-penalty", type=float, metavar="A", help="compare log_p / words^A (default 0)")
    beam.add_argument(
        "--groups", type=int, metavar="G", help="diverse search: G groups, one after the other (default 1)"
    )
    beam.add_argument(
        "--diversity", type=float, metavar="D", help="what words lose that earlier groups took (default 0)"
    )
    drawing = parser.add_argument_group("search with --sample")
    drawing.add_argument(
        "--temp",
        dest="temperature",
        type=float,
        metavar="T",
        help="multiplies the scores: above 1 likely words are likelier (default 1)",
    )
    drawing.add_argument("--seed", type=int, metavar="S", help="of Python's random, for each image (default 0)")
    drawing.add_argument("--top-k", type=int, metavar="K", help="draw from the K most probable words only")
    drawing.add_argument("--top-p", type=float, metavar="P", help="draw from the most probable P of all words only")


def search_settings(options: argparse.Namespace) -> Beam | Sampling:
    """How sentences are written. Raises `Error` for values out of range and options that do not go together."""
    sampled = options.sample is not None
    for name in _BEAM_OPTIONS if sampled else _SAMPLING_OPTIONS:
        if getattr(options, name) is not None:
            option = {"temperature": "--temp"}.get(name, f"--{name.replace('_', '-')}")
            raise Error(f"{option} goes with {'--beam' if sampled else '--sample'}")
    if options.n_best is not None and options.n_best < 1:
        raise Error(f"--n-best takes 1 or more, {options.n_best} was found")
    names = _SAMPLING_OPTIONS if sampled else _BEAM_OPTIONS
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    if sampled:
        return Sampling(options.sample, **given)
    return Beam(_BEAM if options.beam is None else options.beam, **given)


def write_captions(
    captioner: Captioner, descriptors: np.ndarray, settings: Beam | Sampling, options: argparse.Namespace
) -> list[list[Caption]]:
    """Captions for each descriptor (n, D), best first or, of samples without --n-best, in the order drawn.

    settings: of `search_settings`.
    """
    forbidden = [captioner.vocabulary.unknown] if options.no_unk and captioner.vocabulary.unknown is not None else []
    if isinstance(settings, Beam):
        return [found[: options.n_best] for found in beam_search(captioner.decoder, descriptors, settings, forbidden)]
    captions = sample(captioner.decoder, descriptors, settings, forbidden)
    return captions if options.n_best is None else [best(found, options.n_best) for found in captions]
