"""Small networks of the activity models' shape, weights for them, and footage of random pictures."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from lrcn import Net
from lrcn.activity.models import MODELS, Model, load_model
from prototxt_import import LayerWeights, Weights, write_weights

CLASSES = 7
CROP = 64
FRAMES = {"v_Bow_g01_c01": 29, "v_Bow_g01_c02": 16, "v_Hop_g01_c01": 24, "v_Hop_g02_c01": 45}

IMAGE_PART = """
    layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
            convolution_param { num_output: 8 kernel_size: 9 stride: 6 } }
    layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
    layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
            pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
    layer { name: "fc6" type: "InnerProduct" bottom: "pool1" top: "fc6" inner_product_param { num_output: 40 } }
    layer { name: "relu6" type: "ReLU" bottom: "fc6" top: "fc6" }
"""
NETWORKS = {
    "single": f"""
    input: "data" input_shape {{ dim: 1 dim: 3 dim: {CROP} dim: {CROP} }}
    {IMAGE_PART}
    layer {{ name: "fc8-ucf" type: "InnerProduct" bottom: "fc6" top: "fc8-ucf"
             inner_product_param {{ num_output: {CLASSES} }} }}
    layer {{ name: "probs" type: "Softmax" bottom: "fc8-ucf" top: "probs" }}
    """,
    "lrcn": f"""
    input: "data" input_shape {{ dim: 160 dim: 3 dim: {CROP} dim: {CROP} }}
    input: "clip_markers" input_shape {{ dim: 160 dim: 1 dim: 1 dim: 1 }}
    {IMAGE_PART}
    layer {{ name: "reshape-data" type: "Reshape" bottom: "fc6" top: "fc6-reshape"
             reshape_param {{ shape {{ dim: 16 dim: 10 dim: 40 }} }} }}
    layer {{ name: "reshape-cm" type: "Reshape" bottom: "clip_markers" top: "reshape-cm"
             reshape_param {{ shape {{ dim: 16 dim: 10 }} }} }}
    layer {{ name: "lstm1" type: "LSTM" bottom: "fc6-reshape" bottom: "reshape-cm" top: "lstm1"
             recurrent_param {{ num_output: 12 }} }}
    layer {{ name: "fc8-final" type: "InnerProduct" bottom: "lstm1" top: "fc8-final"
             inner_product_param {{ num_output: {CLASSES} axis: 2 }} }}
    layer {{ name: "probs" type: "Softmax" bottom: "fc8-final" top: "probs" softmax_param {{ axis: 2 }} }}
    """,
}


def random_weights(network: Path, seed: int) -> Weights:
    """Weights that make class probabilities differ visibly from frame to frame."""
    rng = np.random.default_rng(seed)
    layers = []
    for name, blobs in Net(network).params.items():
        arrays = []
        for blob in blobs:
            scale = 0.05 if blob.ndim == 1 else (0.02 if name == "conv1" else 1.5) / np.sqrt(np.prod(blob.shape[1:]))
            arrays.append((rng.standard_normal(blob.shape) * scale).astype(np.float32))
        layers.append(LayerWeights(name, "", arrays))
    return Weights("small", layers)


@dataclass
class Material:
    """Where the small networks, their weights and the footage are."""

    folder: Path

    def network(self, kind: str) -> Path:
        return self.folder / f"{kind}.prototxt"

    def weights(self, name: str) -> Path:
        return self.folder / f"{name}.caffemodel"

    def load(self, name: str, **options) -> Model:
        return load_model(name, self.weights(name), network=self.network(name.split("_")[1]), **options)

    def arguments(self, *names: str) -> list[str]:
        """The options of the activity scripts that name these models, all four by default."""
        arguments = ["--lrcn-net", str(self.network("lrcn")), "--single-net", str(self.network("single"))]
        for name in names or MODELS:
            arguments += ["--" + name.replace("_", "-"), str(self.weights(name))]
        return arguments

    def data(self) -> list[str]:
        return ["--frames", f"{self.folder / 'frames'}", "--flow", f"{self.folder / 'flow'}", "--list", f"{self.list}"]

    @property
    def list(self) -> Path:
        return self.folder / "list.txt"


def picture(rng: np.random.Generator, rows: int = 240, columns: int = 320) -> np.ndarray:
    """A random picture of soft blobs: (rows, columns, RGB) uint8."""
    coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return cv2.resize(coarse, (columns, rows), interpolation=cv2.INTER_CUBIC)


def write_frames(folder: Path, count: int, seed: int, first: int = 1) -> None:
    """FOLDER/NAME.0001.jpg and on."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for number in range(first, first + count):
        assert cv2.imwrite(str(folder / f"{folder.name}.{number:04d}.jpg"), picture(rng))


def make_material(folder: Path) -> Material:
    """Networks, weights, and four short videos with their list, in `folder`."""
    material = Material(folder)
    for kind, text in NETWORKS.items():
        material.network(kind).write_text(text)
    for seed, name in enumerate(MODELS):
        write_weights(material.weights(name), random_weights(material.network(name.split("_")[1]), seed))
    lines = []
    for seed, (name, count) in enumerate(FRAMES.items()):
        write_frames(material.folder / "frames" / name, count, seed)
        write_frames(material.folder / "flow" / name, count, 100 + seed, first=2)
        action = name.split("_")[1]
        lines.append(f"{action}/{name} {['Bow', 'Hop'].index(action)}\n")
    material.list.write_text("".join(lines))
    return material
