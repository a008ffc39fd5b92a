"""Make the files that captioning networks and language models train on: HDF5 streams, image lists, a vocabulary.

    python scripts/prepare_captions.py captions_train2014.json --images train2014 --name train -o h5_data
    python scripts/prepare_captions.py captions_val2014.json --images val2014 --name val \\
        --vocabulary h5_data/vocabulary.txt -o h5_data

writes h5_data/vocabulary.txt, and for each name the folders NAME_aligned_20_batches and NAME_unaligned_batches.
"""

import argparse
from pathlib import Path
from random import Random

from lrcn.caption.annotations import choose, find_files, read_all
from lrcn.caption.sentences import MIN_COUNT, build_vocabulary, split_sentence
from lrcn.caption.streams import MAX_WORDS, STREAMS, Example, fill_up, write_streams
from lrcn.caption.vocabulary import Vocabulary
from lrcn.cli import run
from lrcn.errors import Error


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """The options; defaults are the authors'."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = parser.add_argument_group("data")
    data.add_argument(
        "captions", nargs="+", type=Path, metavar="CAPTIONS",
        help="COCO's JSON, Flickr's tokens (name.jpg#0<TAB>sentence) or one sentence per line; .gz or not",
    )  # fmt: skip
    data.add_argument("--images", type=Path, metavar="DIR", help="their folder; without it no image lists are made")
    data.add_argument("--split", type=Path, metavar="LIST", help="only these images: one id or file name per line")
    data.add_argument("--vocabulary", type=Path, metavar="V", help="a vocabulary to use instead of making one")
    output = parser.add_argument_group("output")
    output.add_argument("--name", required=True, help="of the split: train, val, ...")
    output.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="the folder to write to")
    output.add_argument("--min-count", type=int, default=MIN_COUNT, help="rarer words become <unk> (default 5)")
    output.add_argument(
        "--max-words", type=int, default=MAX_WORDS, help="rows of an aligned caption, longer ones are cut (default 20)"
    )
    output.add_argument("--streams", type=int, default=STREAMS, help="captions side by side (default 100)")
    output.add_argument("--seed", type=int, default=3, help="of the order of the captions (default 3)")
    options = parser.parse_args(argv)
    for name in ("min_count", "max_words", "streams"):
        if getattr(options, name) < 1:
            raise Error(f"--{name.replace('_', '-')} must be 1 or more, {getattr(options, name)} was found")
    if not options.name or Path(options.name).name != options.name:
        raise Error(f"--name: the name of a split was expected, without folders, {options.name!r} was found")
    return options


def main(argv: list[str] | None = None) -> int:
    """Read, number the words, write."""
    options = parse_arguments(argv)
    images = read_all(options.captions)
    if options.split:
        images = choose(images, options.split)
    if options.images:
        pairs = [(path, text) for path, image in find_files(images, options.images).items() for text in image.sentences]
    else:
        pairs = [("", text) for image in images for text in image.sentences]
    sentences = [split_sentence(text) for _, text in pairs]
    options.output.mkdir(parents=True, exist_ok=True)
    vocabulary = Vocabulary.load(options.vocabulary) if options.vocabulary else None
    if vocabulary is None:
        vocabulary = build_vocabulary(sentences, options.min_count)
        vocabulary.save(options.output / "vocabulary.txt")
        print(f"{options.output / 'vocabulary.txt'}: {len(vocabulary)} words with <EOS>")
    examples = [Example(vocabulary.indices(words), path) for (path, _), words in zip(pairs, sentences, strict=True)]
    write(options, examples, vocabulary)
    return 0


def write(options: argparse.Namespace, examples: list[Example], vocabulary: Vocabulary) -> None:
    """Both forms, in one random order each, and how many words were lost on the way."""
    random = Random(options.seed)
    words = sum(len(example.words) for example in examples)
    unknown = sum(word == vocabulary.unknown for example in examples for word in example.words)
    cut = sum(len(example.words) >= options.max_words for example in examples)
    print(f"{len(examples)} captions, {words} words, of which {unknown} are not in the vocabulary")
    aligned, unaligned = fill_up(examples, options.streams, random), list(examples)
    for kind, chosen, length in (
        (f"aligned_{options.max_words}", aligned, options.max_words),
        ("unaligned", unaligned, None),
    ):
        random.shuffle(chosen)
        folder = options.output / f"{options.name}_{kind}_batches"
        write_streams(folder, chosen, streams=options.streams, length=length)
        note = f", {cut} cut to {options.max_words} words and signs" if length and cut else ""
        print(f"{folder}: {len(chosen)} captions on {options.streams} streams{note}")


if __name__ == "__main__":
    run(main)
