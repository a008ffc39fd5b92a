"""Small synthetic scenes of two coloured shapes, with sentences about how they lie, for the demo and for tests.

What a scene shows (two things and a relation between them) and how it is drawn follow from its number alone. Nothing
that a test scene shows is shown by a training scene: colours, shapes and relations are all known from training, their
combination is new.
"""

import os
from dataclasses import dataclass
from functools import cache
from itertools import permutations, product
from pathlib import Path

import cv2
import numpy as np

from prototxt_import import replacing

SIZE = 144  # rows and columns, pixels
COLOURS = {  # red, green, blue
    "red": (205, 45, 40),
    "green": (50, 150, 60),
    "blue": (45, 85, 190),
    "yellow": (235, 205, 50),
    "purple": (135, 60, 160),
    "white": (240, 240, 240),
}
SHAPES = ("circle", "cross", "square", "triangle")
OPPOSITES = {"left of": "right of", "above": "below", "inside": "around"}
SPLITS = {"train": 800, "test": 100}

DEMO_FOLDER = Path(__file__).resolve().parent / "demo"
_SEED = 2015
_SMOOTH = 4  # shapes are drawn so many times as large, then made smaller


@dataclass(frozen=True)
class Thing:
    """A shape of one colour."""

    colour: str
    shape: str

    def __str__(self) -> str:
        return f"a {self.colour} {self.shape}"


@dataclass(frozen=True)
class Scene:
    """What a picture shows: `first` lies left of, above or inside `second`."""

    first: Thing
    relation: str
    second: Thing

    @property
    def sentences(self) -> tuple[str, str]:
        """The scene told from each of the two things."""
        opposite = OPPOSITES[self.relation]
        return f"{self.first} is {self.relation} {self.second}.", f"{self.second} is {opposite} {self.first}."


@cache
def scenes(split: str) -> tuple[Scene, ...]:
    """The scenes of split "train" or "test"."""
    things = [Thing(*parts) for parts in product(COLOURS, SHAPES)]
    pairs = [(a, b) for a, b in permutations(things, 2) if a.colour != b.colour]
    every = [Scene(first, relation, second) for (first, second), relation in product(pairs, OPPOSITES)]
    order = np.random.default_rng(_SEED).permutation(len(every))
    first = {"train": 0, "test": SPLITS["train"]}[split]
    return tuple(every[index] for index in order[first : first + SPLITS[split]])


def render(split: str, number: int) -> np.ndarray:
    """Picture `number` of the split, (SIZE, SIZE, RGB) uint8."""
    scene = scenes(split)[number]
    rng = np.random.default_rng([_SEED, list(SPLITS).index(split), number])
    picture = _background(rng)
    if scene.relation == "inside":
        radius = rng.uniform(38, 46)
        middle = SIZE / 2 + rng.uniform(-12, 12, 2)
        _draw(picture, scene.second, middle, radius, rng)
        _draw(picture, scene.first, middle + _sink(scene.second, radius), radius * rng.uniform(0.3, 0.36), rng)
        return picture.round().astype(np.uint8)
    distance, aside = rng.uniform(26, 34, 2), rng.uniform(-12, 12, 2)
    centres = SIZE / 2 + np.stack([[-distance[0], distance[1]], aside], axis=1)  # x and y of both
    if scene.relation == "above":
        centres = centres[:, ::-1]
    for thing, centre in zip((scene.first, scene.second), centres, strict=True):
        _draw(picture, thing, centre, rng.uniform(16, 22), rng)
    return picture.round().astype(np.uint8)


def write_scenes(split: str, folder: str | os.PathLike) -> list[Path]:
    """Write FOLDER/SPLIT/*.png and FOLDER/SPLIT.token, their sentences in Flickr30k's form; returns the pictures."""
    folder = Path(folder)
    (folder / split).mkdir(parents=True, exist_ok=True)
    pictures, lines = [], []
    for number, scene in enumerate(scenes(split)):
        pictures.append(folder / split / f"scene_{number:04d}.png")
        with replacing(pictures[-1]) as temporary:
            temporary.write_bytes(cv2.imencode(".png", render(split, number)[:, :, ::-1])[1].tobytes())
        lines += [f"{pictures[-1].name}#{index}\t{sentence}\n" for index, sentence in enumerate(scene.sentences)]
    with replacing(folder / f"{split}.token") as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")
    return pictures


@dataclass(frozen=True)
class DemoPaths:
    """What captioning the demo's scenes needs, by the names of the options."""

    images: tuple[Path, ...]
    references: Path
    weights: str = str(DEMO_FOLDER / "scenes.caffemodel")
    vocab: Path = DEMO_FOLDER / "vocabulary.txt"
    image_net: Path = DEMO_FOLDER / "image_net.prototxt"
    word_net: Path = DEMO_FOLDER / "word_net.prototxt"


def prepare_demo(folder: str | os.PathLike) -> DemoPaths:
    """Make the demo's test scenes and their sentences in `folder`."""
    return DemoPaths(tuple(write_scenes("test", folder)), Path(folder) / "test.token")


def _background(rng: np.random.Generator) -> np.ndarray:
    """Dark smooth noise, (SIZE, SIZE, 3) float64."""
    coarse = rng.normal(0, 1, (9, 9, 3)).astype(np.float32)
    smooth = cv2.resize(coarse, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    return (60 + 12 * smooth + rng.normal(0, 4, (SIZE, SIZE, 1))).clip(0, 255)


def _sink(thing: Thing, radius: float) -> np.ndarray:
    """How far below its centre a thing has the most room inside, x and y."""
    return np.array([0.0, 0.18 * radius if thing.shape == "triangle" else 0.0])


def _draw(picture: np.ndarray, thing: Thing, centre: np.ndarray, radius: float, rng: np.random.Generator) -> None:
    """Put a thing into the picture, its colour a little brighter or darker."""
    y, x = ((np.arange(SIZE * _SMOOTH) + 0.5) / _SMOOTH - centre[axis] for axis in (1, 0))
    y, x = y[:, None] / radius, x[None, :] / radius
    inside = {
        "circle": lambda: x**2 + y**2 < 1,
        "square": lambda: (abs(x) < 0.85) & (abs(y) < 0.85),
        "triangle": lambda: (y < 0.75) & (y > 1.75 * abs(x) - 1),
        "cross": lambda: (np.minimum(abs(x), abs(y)) < 0.38) & (np.maximum(abs(x), abs(y)) < 1),
    }[thing.shape]()
    opacity = inside.reshape(SIZE, _SMOOTH, SIZE, _SMOOTH).mean(axis=(1, 3))[:, :, None]
    colour = np.clip(np.array(COLOURS[thing.colour]) * rng.uniform(0.88, 1.05), 0, 255)
    picture += opacity * (colour - picture)
