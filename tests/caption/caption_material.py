"""Small captioning models of random weights, as nets and as files."""

from pathlib import Path

import numpy as np
import torch

from lrcn import Net
from lrcn.caption.vocabulary import Vocabulary
from prototxt_import import LayerWeights, Weights, parse_net, write_weights

VARIANTS = ("factored", "unfactored", "single layer", "language model")

IMAGE_NET = """
    input: "data" input_shape {{ dim: 2 dim: 3 dim: 32 dim: 32 }}
    layer {{ name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
             convolution_param {{ num_output: 4 kernel_size: 9 stride: 8 }} }}
    layer {{ name: "fc8" type: "InnerProduct" bottom: "conv1" top: "fc8"
             inner_product_param {{ num_output: {descriptor} }} }}
"""


def word_net_text(variant: str, words: int, hidden: int, descriptor: int) -> str:
    """The prototxt of a word net."""
    image = {"factored": "lstm2", "unfactored": "lstm1", "single layer": "lstm1"}.get(variant)
    layers = ["lstm1", "lstm2"] if variant in ("factored", "unfactored") else ["lstm1"]
    text = (
        'input: "cont_sentence" input_shape { dim: 1 dim: 2 } input: "input_sentence" input_shape { dim: 1 dim: 2 }\n'
    )
    if image:
        text += f'input: "image_features" input_shape {{ dim: 2 dim: {descriptor} }}\n'
    text += (
        'layer { name: "embedding" type: "Embed" bottom: "input_sentence" top: "embedded"\n'
        f"  embed_param {{ input_dim: {words} num_output: {hidden} bias_term: false }} }}\n"
    )
    for below, layer in zip(["embedded", *layers], layers, strict=False):
        sees_image = 'bottom: "image_features" ' if layer == image else ""
        text += (
            f'layer {{ name: "{layer}" type: "LSTM" bottom: "{below}" bottom: "cont_sentence" {sees_image}'
            f'top: "{layer}" recurrent_param {{ num_output: {hidden} }} }}\n'
        )
    return text + (
        f'layer {{ name: "predict" type: "InnerProduct" bottom: "{layers[-1]}" top: "predict"\n'
        f"  inner_product_param {{ num_output: {words} axis: 2 }} }}\n"
        'layer { name: "probs" type: "Softmax" bottom: "predict" top: "probs" softmax_param { axis: 2 } }\n'
    )


def randomize(net: Net, seed: int, spread: float = 1.0) -> Net:
    """The net with normally distributed weights."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread)
    return net


def word_net(variant: str = "factored", words: int = 12, hidden: int = 6, descriptor: int = 5, seed: int = 0) -> Net:
    """A word net with random weights, whose sentences are neither all alike nor endless."""
    return randomize(Net(parse_net(word_net_text(variant, words, hidden, descriptor))), seed)


def write_model(folder: Path, words: int = 12, descriptor: int = 5) -> dict[str, Path]:
    """The files of a small captioning model, by the names of the options that take them."""
    files = {
        name: folder / f"{name}{suffix}"
        for name, suffix in {
            "weights": ".caffemodel",
            "vocab": ".txt",
            "image-net": ".prototxt",
            "word-net": ".prototxt",
        }.items()
    }
    files["image-net"].write_text(IMAGE_NET.format(descriptor=descriptor))
    files["word-net"].write_text(word_net_text("factored", words, 6, descriptor))
    image_net = randomize(Net(files["image-net"]), 1, spread=0.002)
    layers = [
        LayerWeights(name, "", [blob.detach().numpy() for blob in blobs])
        for net in (image_net, randomize(Net(files["word-net"]), 2))
        for name, blobs in net.params.items()
    ]
    write_weights(files["weights"], Weights("small", layers))
    vocabulary(words).save(files["vocab"])
    return files


def vocabulary(words: int = 12) -> Vocabulary:
    """`<EOS>`, `<unk>` and as many more as make up `words`."""
    return Vocabulary(["<unk>", *(f"word{i}" for i in range(words - 2))])


def descriptors(count: int, size: int = 5, seed: int = 0) -> np.ndarray:
    """Random descriptors (count, size) float32."""
    return np.random.default_rng(seed).standard_normal((count, size)).astype(np.float32)
