"""Scores of captions against reference sentences, by pycocoevalcap: BLEU-1..4, METEOR, ROUGE-L, CIDEr.

pycocoevalcap splits sentences with the Penn Treebank tokenizer of Stanford, and METEOR is a program of its own; both
need Java. Without Java METEOR is left out and sentences are split by `treebank_words`.
"""

import contextlib
import html
import io
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from prototxt_import import replacing

from ..errors import Error
from .annotations import AnnotatedImage, ImagesByFile, printable

METRICS = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "METEOR", "ROUGE-L", "CIDEr")

Key = int | str


@dataclass(frozen=True)
class Evaluation:
    """The scores of a set of captions.

    Attributes:
        scores (dict[str, float]): by metric, of the whole set.
        per_image (dict[Key, dict[str, float]]): by image and metric.
        notes (tuple[str, ...]): what was left out or done otherwise, and why.
    """

    scores: dict[str, float]
    per_image: dict[Key, dict[str, float]]
    notes: tuple[str, ...]

    def lines(self) -> list[str]:
        """The scores of the whole set and the notes, to be printed."""
        scores = [f"{name:11} {value:.4f}" for name, value in self.scores.items()]
        return scores + [f"note: {note}" for note in self.notes]


def evaluate(captions: Mapping[Key, str], references: Mapping[Key, Sequence[str]]) -> Evaluation:
    """Score one caption per image.

    Args:
        captions: by image.
        references: the sentences that people wrote about each of these images, and perhaps about others.

    Raises:
        Error: an image without references, no caption, pycocoevalcap is not installed, or Java breaks down.
    """
    if not captions:
        raise Error("there are no captions to score")
    missing = [image for image in captions if not references.get(image)]
    if missing:
        raise Error(f"image {missing[0]!r} has a caption and no reference sentence; score it against the right file")
    try:
        from pycocoevalcap.bleu.bleu import Bleu
        from pycocoevalcap.cider.cider import Cider
        from pycocoevalcap.meteor.meteor import Meteor
        from pycocoevalcap.rouge.rouge import Rouge
    except ImportError:
        raise Error("scores need pycocoevalcap; install it, or this project as lrcn[caption]") from None
    java = has_java()
    split = _split_with_java if java else _split_without_java
    found = split({image: [caption] for image, caption in captions.items()})
    expected = split({image: references[image] for image in captions})
    scores: dict[str, float] = {}
    per_image: dict[Key, dict[str, float]] = {image: {} for image in captions}
    scorers = [(METRICS[:4], Bleu(4)), (METRICS[5:6], Rouge()), (METRICS[6:], Cider())]
    if java:
        scorers.insert(1, (METRICS[4:5], Meteor()))
    for names, scorer in scorers:
        with contextlib.redirect_stdout(io.StringIO()):
            try:
                total, each = scorer.compute_score(expected, found)
            except (OSError, ValueError) as error:
                raise Error(f"{names[0]}: pycocoevalcap broke down: {error}") from error
        if len(names) == 1:
            total, each = [total], [each]
        for name, score, values in zip(names, total, each, strict=True):
            scores[name] = float(score)
            for image, value in zip(captions, values, strict=True):
                per_image[image][name] = float(value)
    notes = () if java else (
        "METEOR is left out: it needs Java, which is not installed",
        "sentences were split without Java, by nltk's Treebank rules: the other scores may differ in the third digit",
    )  # fmt: skip
    return Evaluation(scores, per_image, notes)


def has_java() -> bool:
    """Whether a Java that runs is on the path."""
    java = shutil.which("java")
    return java is not None and subprocess.run([java, "-version"], capture_output=True, check=False).returncode == 0


def treebank_words(sentence: str) -> str:
    """A sentence split nearly as pycocoevalcap's Java program splits it: words in lower case, one blank between them.

    nltk's rules of the Penn Treebank, and what they lack: `&amp;` is `&`, a sentence may end inside the text. Signs
    that pycocoevalcap drops are dropped. Of 150,070 captions of Flickr30k 159 come out otherwise, most because of
    abbreviations, which lose their full stop, and of signs without a blank beside them.
    """
    try:
        from nltk.tokenize import NLTKWordTokenizer
        from pycocoevalcap.tokenizer.ptbtokenizer import PUNCTUATIONS
    except ImportError:
        raise Error("scores without Java need nltk; install it, or this project as lrcn[caption]") from None
    text = re.sub(r"([.?!]+)(?=\s)", r" \1 ", html.unescape(sentence))
    words = (word.lower() for word in NLTKWordTokenizer().tokenize(text, convert_parentheses=True))
    return " ".join(word for word in words if word not in PUNCTUATIONS)


def _split_without_java(sentences: Mapping[Key, Sequence[str]]) -> dict[Key, list[str]]:
    return {image: [treebank_words(sentence) for sentence in each] for image, each in sentences.items()}


def _split_with_java(sentences: Mapping[Key, Sequence[str]]) -> dict[Key, list[str]]:
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    entries = {image: [{"caption": sentence} for sentence in each] for image, each in sentences.items()}
    try:
        split = PTBTokenizer().tokenize(entries)
    except OSError as error:  # it writes a file into its own folder
        raise Error(f"pycocoevalcap's tokenizer broke down: {error}") from error
    if {image: len(each) for image, each in split.items()} != {image: len(each) for image, each in sentences.items()}:
        raise Error("pycocoevalcap's tokenizer returned other than one line for each sentence; does `java` run?")
    return split


def read_captions(path: str | os.PathLike, images: Sequence[AnnotatedImage]) -> dict[Key, str]:
    """One caption per image from a JSON file, by the id of the annotated image.

    Args:
        path: what caption_image.py writes, of which each image's first caption counts and images are known by the names
            of their files; or results in COCO's form, `[{"image_id", "caption"}]`.
        images: the annotated ones.

    Raises:
        Error: another form, a field that is missing, an image that is not annotated or has two captions.
        OSError: the file cannot be read.
    """
    try:
        entries = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise Error(f"{path}: not JSON: {error}") from None
    if not isinstance(entries, list) or not entries:
        raise Error(f"{path}: a list of captions was expected, as caption_image.py writes it or in COCO's form")
    by_file, ids = ImagesByFile(images), {image.id for image in images}
    captions: dict[Key, str] = {}
    for number, entry in enumerate(entries):
        place = f"{path}: entry {number}"
        try:
            if "image_id" in entry:
                image, caption = entry["image_id"], entry["caption"]
            else:
                found = by_file.find(entry["image"])
                image, caption = found and found.id, entry["captions"][0]["sentence"]
        except (KeyError, IndexError, TypeError):
            raise Error(
                f'{place}: expected {{"image", "captions": [{{"sentence"}}]}} or {{"image_id", "caption"}}, '
                f"found {json.dumps(entry)[:80]}"
            ) from None
        is_key = isinstance(image, int | str) and not isinstance(image, bool)
        if not isinstance(caption, str) or not is_key or image not in ids:
            what = "the image is not annotated" if isinstance(caption, str) else "the caption is no string"
            raise Error(f"{place}: {what}: {json.dumps(entry)[:80]}")
        if image in captions:
            raise Error(f"{place}: image {image!r} has a caption already; one per image is scored")
        captions[image] = printable(caption)
    return captions


def perplexity(log_probabilities: Sequence[np.ndarray]) -> float:
    """Per word, `<EOS>` counting as one: exp of the mean of minus these natural logarithms, one array per sentence."""
    return float(np.exp(-np.concatenate(log_probabilities).mean()))


def write_results(path: str | os.PathLike, captions: Mapping[Key, str]) -> None:
    """Write captions as COCO's results, `[{"image_id", "caption"}]`, whole or not at all."""
    with replacing(path) as temporary:
        results = [{"image_id": image, "caption": caption} for image, caption in captions.items()]
        temporary.write_text(json.dumps(results, indent=1), encoding="utf-8")
