"""The four models of the paper's activity recognition: one network on one stream, frames -> class probabilities.

What is computed once and what once per clip is decided by the bits. Convolutions work image by image, so what they
make of a frame serves every clip that the frame is in. A product with the images of a whole batch does not: its last
rows go through another kernel of the BLAS library, so that the bits of a row depend on how many rows the batch has.
A network is therefore cut at its first InnerProduct layer: the part before it runs once per frame, the rest runs on
batches of the size that the authors' scripts use.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from ..errors import Error
from ..net import Net
from .clips import clip_starts
from .lists import VideoError
from .preprocess import STREAMS, Stream, active_quirks, center_crop, ten_crops

MODELS = ("rgb_lrcn", "flow_lrcn", "rgb_single", "flow_single")
PROTOCOLS = ("oversample", "center")

CROPS = 10
SINGLE_FRAME_BATCH = 16  # frames per batch of the single-frame model in protocol oversample
# Frames per batch of the convolutional network in protocol center. The authors' script has 400, of which a video's last
# batch is what is left of it; the recorded run of their code that this is tested against had 16, with less memory.
CENTER_BATCH = 16
CENTER_STREAMS = 500  # clips side by side in the LSTM in protocol center; zeros where there are fewer


class Model:
    """A network, its stream, and how the authors' scripts run it over a video.

    net: its only input with three channels takes the images, a Softmax layer ends it.
    quirks: names of the quirks in force (see `preprocess.QUIRKS`).
    """

    def __init__(self, net: Net, stream: Stream, quirks: frozenset[str]):
        """Raises `Error` where the network is not of the expected kind."""
        self.net = net
        self.stream = stream
        self.quirks = quirks
        images = [name for name, shape in net.inputs.items() if len(shape) == 4 and shape[1] == 3]
        if len(images) != 1:
            raise Error(f"expected one input blob of images (N, 3, size, size), the network has {net.inputs}")
        self.image_blob = images[0]
        self.crop_size = net.inputs[self.image_blob][2]
        self._layers = list(net.definition.layer)
        softmax = self._last("Softmax")
        self.probability_blob = softmax.top[0]
        self.classes = self._last("InnerProduct").inner_product_param.num_output
        self._product = next(layer for layer in self._layers if layer.type == "InnerProduct")
        before = self._layers.index(self._product) - 1
        self._image_part = {"end": self._layers[before].name, "blobs": [self._product.bottom[0]]}

    def predict(self, frames: Sequence[np.ndarray], protocol: str) -> np.ndarray:
        """Class probabilities (rows, classes) float64 of a video's frames, each (rows, columns, RGB) uint8.

        The video's probabilities are the mean of the rows. Raises `VideoError` where they are not finite or the frames
        do not do.
        """
        with torch.inference_mode():
            rows = {"oversample": self.oversample, "center": self.center}[protocol](frames)
        if not np.isfinite(rows).all():
            raise VideoError("the network's class probabilities are not finite (overflow)")
        return rows

    def over_time(self, rows: np.ndarray, frames: int) -> np.ndarray:
        """Rows of `predict` -> class probabilities of each of the video's `frames`, the mean of those about it."""
        about = np.array(self._row_frames(frames))
        return np.stack([rows[about == frame].mean(axis=0) for frame in range(frames)])

    def oversample(self, frames: Sequence[np.ndarray]) -> np.ndarray:
        """The rows of protocol oversample (`classify_video.py`): ten crops of every frame."""
        raise NotImplementedError

    def center(self, frames: Sequence[np.ndarray]) -> np.ndarray:
        """The rows of protocol center (`evaluate_lstm.py`): the centre of every frame."""
        raise NotImplementedError

    def _row_frames(self, frames: int) -> Sequence[int]:
        """The frame that each row is about, in a video of so many `frames`."""
        raise NotImplementedError

    def _last(self, layer_type: str):
        layers = [layer for layer in self._layers if layer.type == layer_type]
        if not layers:
            raise Error(
                f"the network has no {layer_type} layer; expected a classifier that ends in class probabilities"
            )
        return layers[-1]

    def _maps(self, crops: np.ndarray) -> torch.Tensor:
        """The crops of one frame (10, 3, size, size) -> (10, ...), what enters the first InnerProduct layer.

        One frame at a time, because what the layers hand on then stays in the processor's caches.
        """
        return self.net(**{self.image_blob: crops}, **self._image_part)[self._product.bottom[0]]

    def _from_product(self, maps: torch.Tensor, blob: str, end: str) -> torch.Tensor:
        """What enters the first InnerProduct layer -> `blob`, as it is after layer `end`."""
        inputs = {self._product.bottom[0]: maps}
        return self.net(start=self._product.name, end=end, blobs=[blob], **inputs)[blob]

    def _center_batches(self, frames: Sequence[np.ndarray], blob: str, end: str) -> torch.Tensor:
        """`blob` after layer `end`, of the centre of every frame."""
        parts = []
        for batch in _batches(frames, CENTER_BATCH):
            crops = np.stack([center_crop(frame, self.stream, self.crop_size) for frame in batch])
            parts.append(self.net(**{self.image_blob: crops}, end=end, blobs=[blob])[blob])
        return torch.cat(parts)


class SingleFrame(Model):
    """The single-frame model: every frame by itself."""

    def oversample(self, frames: Sequence[np.ndarray]) -> np.ndarray:
        """One row per frame of the video."""
        rows = np.empty((len(frames), self.classes))
        for first, batch in zip(
            range(0, len(frames), SINGLE_FRAME_BATCH), _batches(frames, SINGLE_FRAME_BATCH), strict=True
        ):
            maps = [
                self._maps(ten_crops(frame, self.stream, self.crop_size, self._negated_from(index)))
                for index, frame in enumerate(batch)
            ]
            probabilities = _numpy(self._from_product(torch.cat(maps), self.probability_blob, self._layers[-1].name))
            if "single_frame_rows_mix_frames" in self.quirks:
                mean = probabilities.reshape(CROPS, len(batch), self.classes).mean(axis=0)
            else:
                mean = probabilities.reshape(len(batch), CROPS, self.classes).mean(axis=1)
            rows[first : first + len(batch)] = mean
        return rows

    def center(self, frames: Sequence[np.ndarray]) -> np.ndarray:
        """One row per frame of the video. The authors' script stops at fc6; this is what its network goes on to."""
        return _numpy(self._center_batches(frames, self.probability_blob, self._layers[-1].name)).astype(np.float64)

    def _row_frames(self, frames: int) -> Sequence[int]:
        return range(frames)

    def _negated_from(self, index: int) -> int:
        """First of the ten crops of frame `index` of a batch whose horizontal flow is negated."""
        if self.stream.name != "flow":
            return CROPS
        return 0 if index > 0 and "single_frame_negates_whole_batch" in self.quirks else CROPS // 2


class LRCN(Model):
    """Convolutions and a recurrent layer over clips (the paper's LRCN-fc6)."""

    def __init__(self, net: Net, stream: Stream, quirks: frozenset[str]):
        """Raises `Error` where the network is not of the expected kind."""
        super().__init__(net, stream, quirks)
        recurrent = next((layer for layer in self._layers if layer.type in ("LSTM", "RNN")), None)
        if recurrent is None:
            raise Error("the network has no LSTM or RNN layer; is this the network of the single-frame model?")
        self._recurrent = recurrent
        reshape = self._producer(recurrent.bottom[0])
        if reshape.type != "Reshape":
            raise Error(f"expected a Reshape layer (to steps, streams, features) before {recurrent.name}")
        self.clip_length = reshape.reshape_param.shape.dim[0]
        if self.clip_length < 2:
            raise Error(f"layer {reshape.name}: expected the number of steps first, found {self.clip_length}")
        self._feature_blob = reshape.bottom[0]
        self._feature_end = self._producer(self._feature_blob).name
        markers = [name for name in net.inputs if name != self.image_blob]
        if len(markers) != 1:
            raise Error(f"expected two input blobs, images and clip markers, the network has {net.inputs}")
        self.marker_blob = markers[0]

    def oversample(self, frames: Sequence[np.ndarray]) -> np.ndarray:
        """One row per frame of every clip, clip by clip: the mean over the ten crops."""
        starts = self.starts(len(frames))
        rows = np.empty((len(starts), self.clip_length, self.classes))
        maps: dict[int, torch.Tensor] = {}
        for clip, start in enumerate(starts):
            wanted = range(start, start + self.clip_length)
            maps = {index: maps[index] if index in maps else self._maps(self.crops(frames[index])) for index in wanted}
            features = self._from_product(torch.cat(list(maps.values())), self._feature_blob, self._feature_end)
            rows[clip] = self._sequences(features.reshape(self.clip_length, CROPS, -1)).mean(axis=1)
        return rows.reshape(-1, self.classes)

    def center(self, frames: Sequence[np.ndarray]) -> np.ndarray:
        """One row per frame of every clip, clip by clip. The clips go through the LSTM side by side."""
        all_starts = self.starts(len(frames))
        features = self._center_batches(frames, self._feature_blob, self._feature_end)
        rows = []
        for starts in _batches(all_starts, CENTER_STREAMS):
            streams = features.new_zeros(self.clip_length, CENTER_STREAMS, *features.shape[1:])
            for stream, start in enumerate(starts):
                streams[:, stream] = features[start : start + self.clip_length]
            probabilities = self._sequences(streams)[:, : len(starts)]
            rows.append(probabilities.transpose(1, 0, 2).reshape(-1, self.classes).astype(np.float64))
        return np.concatenate(rows)

    def starts(self, frames: int) -> list[int]:
        """The first frame of each clip of a video of so many `frames`."""
        return clip_starts(frames, self.clip_length, last_clip_repeated="last_clip_repeated" in self.quirks)

    def crops(self, frame: np.ndarray) -> np.ndarray:
        """The ten crops of a frame as this model wants them: (10, 3, size, size) float32."""
        is_negated = self.stream.name == "flow" and "lrcn_mirrored_flow_keeps_x" not in self.quirks
        return ten_crops(frame, self.stream, self.crop_size, CROPS // 2 if is_negated else CROPS)

    def _row_frames(self, frames: int) -> Sequence[int]:
        return [start + step for start in self.starts(frames) for step in range(self.clip_length)]

    def _sequences(self, features: torch.Tensor) -> np.ndarray:
        """Features (steps, streams, ...) -> class probabilities (steps, streams, classes), from a fresh state."""
        inputs = dict(zip(self._recurrent.bottom, (features, clip_markers(*features.shape[:2])), strict=True))
        return _numpy(self.net(start=self._recurrent.name, **inputs)[self.probability_blob])

    def _producer(self, blob: str):
        """The last layer that writes `blob`."""
        return [layer for layer in self._layers if blob in layer.top][-1]


def separate_clips(model: LRCN, frames: Sequence[np.ndarray]) -> np.ndarray:
    """The plain twin of `LRCN.oversample`, as the authors wrote it: the whole network on every clip, nothing shared."""
    rows = []
    marker_shape = (-1, *model.net.inputs[model.marker_blob][1:])
    for start in model.starts(len(frames)):
        clip = frames[start : start + model.clip_length]
        inputs = {
            model.image_blob: np.concatenate([model.crops(frame) for frame in clip]),
            model.marker_blob: clip_markers(model.clip_length, CROPS).reshape(marker_shape),
        }
        with torch.inference_mode():
            probabilities = _numpy(model.net(**inputs)[model.probability_blob])
        rows.append(probabilities.mean(axis=1).astype(np.float64))
    return np.concatenate(rows)


def clip_markers(steps: int, streams: int) -> np.ndarray:
    """`cont` (steps, streams) float32: 0 on the first step of a clip, where the state starts afresh, then 1."""
    markers = np.ones((steps, streams), np.float32)
    markers[0] = 0
    return markers


def load_model(
    name: str,
    weights: str | Path,
    *,
    network: str | Path,
    numerics: str = "exact",
    precision: str = "float32",
    device: str = "cpu",
    quirks: str = "released",
) -> Model:
    """One of `MODELS` by its name, with weights from a `.caffemodel`.

    network: its prototxt; precision: "float32" or, in fast numerics, "bfloat16".
    Raises `Error` where the weights do not fit the network, or the network is not of the kind that the name says.
    """
    stream, kind = name.split("_")
    net = Net(network, weights=weights, numerics=numerics)
    if device != "cpu":
        net.to(device)
    if precision == "bfloat16":
        net.to(torch.bfloat16)
    try:
        return {"lrcn": LRCN, "single": SingleFrame}[kind](net, STREAMS[stream], active_quirks(quirks))
    except Error as error:
        raise Error(f"{network}: {error}") from error


def _batches(items: Sequence, size: int) -> list[Sequence]:
    return [items[first : first + size] for first in range(0, len(items), size)]


def _numpy(blob: torch.Tensor) -> np.ndarray:
    return blob.float().cpu().numpy()
