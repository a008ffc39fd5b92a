"""Score captions against reference sentences: BLEU-1..4, METEOR, ROUGE-L, CIDEr; and the perplexity of a model.

    python scripts/caption_image.py val2014 --weights W --vocab V --json captions.json
    python scripts/eval_captions.py --references captions_val2014.json --captions captions.json
    python scripts/eval_captions.py --references captions_val2014.json --images val2014 --weights W --vocab V

Without --images, the weights are those of a language model. --ngram sets an n-gram model beside it:

    python scripts/eval_captions.py --references val.txt --ngram train.txt --weights W --vocab V --word-net P
"""

import argparse
import json
from pathlib import Path

import numpy as np

from lrcn.caption.annotations import AnnotatedImage, choose, find_files, read_all
from lrcn.caption.metrics import Key, evaluate, perplexity, read_captions, write_results
from lrcn.caption.ngram import ORDER, NgramModel
from lrcn.caption.options import add_model_options, load_captioner, load_language_model
from lrcn.caption.sentences import split_sentence
from lrcn.caption.vocabulary import EOS, Vocabulary
from lrcn.cli import run
from lrcn.errors import Error
from prototxt_import import check_destinations, replacing


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = parser.add_argument_group("data")
    data.add_argument(
        "--references", nargs="+", type=Path, required=True, metavar="FILE",
        help="COCO's JSON, or Flickr's tokens (name.jpg#0<TAB>sentence); for a language model also plain sentences",
    )  # fmt: skip
    data.add_argument("--split", type=Path, metavar="LIST", help="only these images: one id or file name per line")
    data.add_argument(
        "--captions", type=Path, metavar="JSON", help="to score: of caption_image.py, or results in COCO's form"
    )
    data.add_argument("--images", type=Path, metavar="DIR", help="for the perplexity of a captioning model")
    data.add_argument(
        "--ngram", nargs="+", type=Path, metavar="FILE", help="sentences for an n-gram model with the same words"
    )
    add_model_options(parser)
    output = parser.add_argument_group("output")
    output.add_argument("--results", type=Path, metavar="OUT.json", help="the captions as results in COCO's form")
    output.add_argument("--json", type=Path, metavar="OUT.json", help="the scores, with those of each image")
    options = parser.parse_args(argv)
    if not (options.captions or options.weights or options.ngram):
        raise Error("there is nothing to do: name --captions to score, or --weights for a perplexity")
    if options.ngram and not options.vocab:
        raise Error("--ngram needs --vocab, the words to tell apart")
    if options.images and not options.weights:
        raise Error("--images needs --weights, of the model whose perplexity is asked for")
    if options.results and not options.captions:
        raise Error("--results needs --captions")
    return options


def main(argv: list[str] | None = None) -> int:
    """Score, print, write."""
    options = parse_arguments(argv)
    check_destinations(options.results, options.json)
    images = read_all(options.references)
    if options.split:
        images = choose(images, options.split)
    summary = {}
    if options.captions:
        summary |= score(options, images)
    if options.weights:
        summary["perplexity"] = measure_perplexity(options, images)
        print(f"perplexity  {summary['perplexity']:.3f} per word")
    if options.ngram:
        summary["n-gram perplexity"] = measure_ngram(options, images)
        print(f"perplexity  {summary['n-gram perplexity']:.3f} per word of nltk's Kneser-Ney {ORDER}-gram model")
    if options.json:
        with replacing(options.json) as temporary:
            temporary.write_text(json.dumps(summary, indent=1), encoding="utf-8")
    return 0


def score(options: argparse.Namespace, images: list[AnnotatedImage]) -> dict:
    """Scores of the captions; what they are and what was left out is printed."""
    captions = read_captions(options.captions, images)
    if options.results:
        write_results(options.results, captions)
    references: dict[Key, list[str]] = {}
    for image in images:  # sentences of no image have their line as the id, in one or several files
        references.setdefault(image.id, []).extend(image.sentences)
    evaluation = evaluate(captions, references)
    print(f"{len(captions)} captions, of {len(references)} annotated images")
    print("\n".join(evaluation.lines()))
    per_image = [{"image_id": image, **scores} for image, scores in evaluation.per_image.items()]
    return {"scores": evaluation.scores, "notes": evaluation.notes, "images": per_image}


def measure_perplexity(options: argparse.Namespace, images: list[AnnotatedImage]) -> float:
    """Of all reference sentences, each under its image if there are images."""
    if options.images:
        captioner = load_captioner(options)
        files = find_files(images, options.images)
        descriptors = captioner.descriptors(files).repeat([len(image.sentences) for image in files.values()], axis=0)
        decoder, vocabulary, images = captioner.decoder, captioner.vocabulary, list(files.values())
    else:
        decoder, vocabulary = load_language_model(options)
        descriptors = np.empty((sum(len(image.sentences) for image in images), 0), np.float32)
    sentences = [split_sentence(sentence) for image in images for sentence in image.sentences]
    captions = [[*vocabulary.indices(words), EOS] for words in sentences]
    return perplexity(decoder.word_log_probabilities(captions, descriptors))


def measure_ngram(options: argparse.Namespace, images: list[AnnotatedImage]) -> float:
    """Of all reference sentences, by a model of other sentences with the same vocabulary."""
    vocabulary = Vocabulary.load(options.vocab)

    def known_words(images: list[AnnotatedImage]) -> list[list[str]]:
        sentences = (split_sentence(text) for image in images for text in image.sentences)
        return [[vocabulary.words[index] for index in vocabulary.indices(words)] for words in sentences]

    return perplexity(NgramModel(known_words(read_all(options.ngram))).word_log_probabilities(known_words(images)))


if __name__ == "__main__":
    run(main)
