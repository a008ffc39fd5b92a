"""Find images by captions and captions by images: recall at 1, 5, 10, 50, median and mean rank, as in the paper.

    python scripts/eval_retrieval.py --captions captions_val2014.json --images val2014 --split ids.txt \\
        --weights lrcn_finetune.caffemodel --vocab vocabulary.txt --numerics fast --scores scores.h5 --json recall.json

Exact numerics scores one image at a time with the bits of the authors' code; fast is for thousands of images.
"""

import argparse
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from lrcn.caption.annotations import choose, find_files, read_all
from lrcn.caption.decoder import Decoder
from lrcn.caption.options import add_model_options, load_captioner
from lrcn.caption.pairs import OneByOne, PairScorer
from lrcn.caption.retrieval import ScoreTable, recall, retrieve, score_pairs
from lrcn.caption.sentences import split_sentence
from lrcn.cli import run
from lrcn.net import Net
from prototxt_import import check_destinations, format_net, replacing


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = parser.add_argument_group("data")
    data.add_argument(
        "--captions", nargs="+", type=Path, required=True, metavar="FILE",
        help="COCO's JSON, or Flickr's tokens (name.jpg#0<TAB>sentence)",
    )  # fmt: skip
    data.add_argument("--images", type=Path, required=True, metavar="DIR", help="the folder of the images")
    data.add_argument("--split", type=Path, metavar="LIST", help="only these images: one id or file name per line")
    add_model_options(parser)
    output = parser.add_argument_group("output")
    output.add_argument(
        "--scores", type=Path, metavar="X.h5", help="keep log p of all pairs here, and go on from what is there"
    )
    output.add_argument("--json", type=Path, metavar="OUT", help="the figures, and the rank of every caption and image")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Score all pairs, rank, print."""
    options = parse_arguments(argv)
    check_destinations(options.scores, options.json)
    images = read_all(options.captions)
    if options.split:
        images = choose(images, options.split)
    files = find_files(images, options.images)
    # The shortest first, as the authors have them: the order decides between equals.
    pairs = sorted(
        ((split_sentence(text), number) for number, image in enumerate(files.values()) for text in image.sentences),
        key=lambda pair: len(pair[0]),
    )
    print(f"{len(files)} images, {len(pairs)} captions")
    captioner = load_captioner(options)
    captions = [captioner.vocabulary.indices(words) for words, _ in pairs]
    descriptors = captioner.descriptors(tqdm(files, desc="images", disable=None))
    log_p = score(options, captioner.decoder, captions, descriptors)
    ranks = retrieve(log_p, [number for _, number in pairs])
    figures = {direction: recall(found) for direction, found in ranks.items()}
    for direction, values in figures.items():
        told = (f"{name} {value if 'rank' in name else 100 * value:.1f}" for name, value in values.items())
        print(f"{direction.replace('_', ' ')}:  {'  '.join(told)}")
    if options.json:
        with replacing(options.json) as temporary:
            temporary.write_text(json.dumps(figures | details(list(files), pairs, ranks), indent=1), encoding="utf-8")
    return 0


def score(
    options: argparse.Namespace, decoder: Decoder, captions: Sequence[Sequence[int]], descriptors: np.ndarray
) -> np.ndarray:
    """log p of every caption under every image, (images, captions) float64."""
    scorer = (OneByOne if options.numerics == "exact" else PairScorer)(decoder)
    shape = (len(descriptors), len(captions))
    with (
        ScoreTable(shape, options.scores, settings(options, captions, descriptors, decoder.net)) as table,
        tqdm(total=shape[0] * shape[1], desc="pairs", unit_scale=True, disable=None) as bar,
    ):
        score_pairs(scorer, captions, descriptors, table, bar.update)
    return table.log_p


def details(files: list[str], pairs: list[tuple[list[str], int]], ranks: dict[str, np.ndarray]) -> dict[str, list]:
    """The rank of each caption's image, and of each image's first caption, from 1."""
    to_image, to_caption = ((found + 1).tolist() for found in (ranks["caption_to_image"], ranks["image_to_caption"]))
    return {
        "captions": [
            {"image": files[number], "words": words, "rank": rank}
            for (words, number), rank in zip(pairs, to_image, strict=True)
        ],
        "images": [{"image": file, "rank": rank} for file, rank in zip(files, to_caption, strict=True)],
    }


def settings(
    options: argparse.Namespace, captions: Sequence[Sequence[int]], descriptors: np.ndarray, net: Net
) -> dict[str, str]:
    """What the scores depend on; of what is large, the SHA-256."""
    weights = hashlib.sha256()
    for parameter in net.parameters():
        weights.update(parameter.detach().float().cpu().numpy().tobytes())
    return {
        "numerics": options.numerics,
        "precision": options.precision,
        "captions": hashlib.sha256(json.dumps(captions).encode()).hexdigest(),
        "images": hashlib.sha256(descriptors.tobytes()).hexdigest(),
        "word net": hashlib.sha256(format_net(net.definition).encode()).hexdigest(),
        "weights": weights.hexdigest(),
    }


if __name__ == "__main__":
    run(main)
