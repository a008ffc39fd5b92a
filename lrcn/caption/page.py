"""The page that shows images with their captions."""

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
from jinja2 import Environment, PackageLoader

from prototxt_import import replacing

from .generate import Caption
from .images import load_image
from .vocabulary import Vocabulary

THUMBNAIL_HEIGHT, THUMBNAIL_WIDTH = 240, 1200
_JPEG_QUALITY = 85


@dataclass(frozen=True)
class CaptionedImage:
    """An image file and what was written about it, best first or in the order drawn."""

    path: Path
    captions: Sequence[Caption]

    def as_json(self, vocabulary: Vocabulary) -> dict:
        """The image and its captions as plain values."""
        captions = [
            {
                "sentence": vocabulary.sentence(caption.words),
                "words": list(caption.words),
                "log_p": caption.log_p,
                "word_p": list(caption.word_p),
            }
            for caption in self.captions
        ]
        return {"image": str(self.path), "captions": captions}


def write_page(
    path: str | os.PathLike, images: Sequence[CaptionedImage], vocabulary: Vocabulary, note: str = ""
) -> None:
    """Write one HTML file that needs no other: small images, their captions, and the probability of every word.

    Args:
        path: the file.
        images: what to show, in this order.
        vocabulary: the words.
        note: a line below the heading, for instance how the captions were made.

    Raises:
        OSError: the file cannot be written.
    """
    environment = Environment(
        loader=PackageLoader("lrcn.caption"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    shown = [
        {
            "name": os.fsencode(image.path).decode("utf-8", "replace"),
            "picture": base64.b64encode(_thumbnail(image.path)).decode(),
            "captions": [
                {
                    "sentence": vocabulary.sentence(caption.words),
                    "log_p": caption.log_p,
                    "words": [
                        (vocabulary.words[word], p) for word, p in zip(caption.words, caption.word_p, strict=True)
                    ],
                }
                for caption in image.captions
            ],
        }
        for image in images
    ]
    content = environment.get_template("captions.html").render(images=shown, note=note)
    with replacing(path) as temporary:
        temporary.write_text(content, encoding="utf-8")


def _thumbnail(path: Path) -> bytes:
    """The image as a small JPEG file."""
    image = load_image(path)
    scale = min(1.0, THUMBNAIL_HEIGHT / image.shape[0], THUMBNAIL_WIDTH / image.shape[1])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", small[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes()
