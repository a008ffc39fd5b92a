"""Write captions for images.

Without arguments: a demonstration with synthetic scenes and a small model, written to ./caption_demo.
"""

import argparse
import json
import sys
from pathlib import Path

from lrcn.caption.annotations import ImagesByFile, read_annotations
from lrcn.caption.images import find_images
from lrcn.caption.metrics import evaluate
from lrcn.caption.options import (
    add_model_options,
    add_search_options,
    load_captioner,
    search_settings,
    write_captions,
)
from lrcn.caption.page import CaptionedImage, write_page
from lrcn.caption.synthetic import prepare_demo
from lrcn.caption.vocabulary import Vocabulary
from lrcn.cli import run
from lrcn.errors import Error
from prototxt_import import check_destinations, replacing


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """The options; with no argument at all those of the demonstration, whose images are made here."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="*", metavar="IMAGE|FOLDER", help="image files, and folders of them")
    add_model_options(parser)
    add_search_options(parser)
    output = parser.add_argument_group("output")
    output.add_argument("--json", type=Path, metavar="OUT", help="file for all captions with their probabilities")
    output.add_argument("--html", type=Path, metavar="OUT", help="page that shows the images with their captions")
    output.add_argument(
        "--references", type=Path, metavar="FILE", help="score each image's first caption, as eval_captions.py does"
    )
    arguments = sys.argv[1:] if argv is None else argv
    options = parser.parse_args(arguments)
    if not arguments:
        folder = Path("caption_demo")
        vars(options).update(vars(prepare_demo(folder)), json=folder / "captions.json", html=folder / "index.html")
        print(f"demonstration with synthetic scenes and a small model, in {folder}")
    if not options.images:
        raise Error("name images, or folders of them, to caption")
    return options


def main(argv: list[str] | None = None) -> int:
    """Caption, print, score."""
    options = parse_arguments(argv)
    settings = search_settings(options)
    check_destinations(options.json, options.html)
    paths = find_images(options.images)
    captioner = load_captioner(options)
    captions = write_captions(captioner, captioner.descriptors(paths), settings, options)
    images = [CaptionedImage(path, found) for path, found in zip(paths, captions, strict=True)]

    listed = [image.as_json(captioner.vocabulary) for image in images]
    if options.json:
        with replacing(options.json) as temporary:
            temporary.write_text(json.dumps(listed, indent=2), encoding="utf-8")
    if options.html:
        write_page(options.html, images, captioner.vocabulary, f"{settings}; {options.numerics} numerics")
    for image in listed:
        print(f"{image['image']}: {image['captions'][0]['sentence']}")
    if options.html:
        print(f"page: {options.html}")
    if options.references:
        score(images, captioner.vocabulary, options.references)
    return 0


def score(images: list[CaptionedImage], vocabulary: Vocabulary, references: Path) -> None:
    """Print how the first captions compare with what people wrote about the same images."""
    annotated = ImagesByFile(read_annotations(references))
    captions, sentences = {}, {}
    for image in images:
        found = annotated.find(image.path)
        captions[image.path] = vocabulary.sentence(image.captions[0].words)
        sentences[image.path] = found.sentences if found else ()
    print("\n".join(evaluate(captions, sentences).lines()))


if __name__ == "__main__":
    run(main)
