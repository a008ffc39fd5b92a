"""The four models of the paper's activity recognition: one network on one stream, frames -> class probabilities.

What is computed once and what once per clip is decided, in exact numerics, by the bits. Convolutions work image by
image, so what they make of a frame serves every clip that the frame is in. A product with the images of a whole batch
does not: its last rows go through another kernel of the BLAS library, so that the bits of a row depend on how many rows
the batch has. A network is therefore cut at its first InnerProduct layer: the part before it runs once per frame, the
rest runs on batches of the size that the authors' scripts use. Fast numerics is free of that: LRCN is cut where the
clips begin, and many clips run side by side.
"""

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from prototxt_import import Message

from ..devices import use_precision
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
CLIPS_AT_ONCE = 50  # of ten crops, side by side in the LSTM in protocol oversample in fast numerics
FRAMES_AT_ONCE = 16  # of ten crops, in the convolutions on a GPU


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
        self._cut_before(next(layer for layer in self._layers if layer.type == "InnerProduct"))

    def _cut_before(self, layer: Message) -> None:
        """Let the layers before this one run once per frame; its first bottom is what they hand on."""
        self._shared_blob = layer.bottom[0]
        self._shared_end = self._layers[self._layers.index(layer) - 1].name
        self._first_of_batch = layer.name

    def predict(self, frames: Sequence[np.ndarray], protocol: str) -> np.ndarray:
        """Class probabilities (rows, classes) float64 of a video's frames, each (rows, columns, RGB) uint8.

        The video's probabilities are the mean of the rows. Raises `VideoError` where they are not finite or the frames
        do not do.
        """
        with torch.inference_mode():
            frames = self._on_device(frames)
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

    def _on_device(self, frames: Sequence[np.ndarray]) -> Sequence[np.ndarray] | torch.Tensor:
        """The frames where the network is: on a GPU as bytes, which are copied while the processor goes on."""
        if self.net.device.type == "cpu":
            return frames
        return torch.from_numpy(np.stack(frames)).pin_memory().to(self.net.device, non_blocking=True)

    def _shared(self, crops: Iterable[torch.Tensor]) -> list[torch.Tensor]:
        """The crops of frames, (10, 3, size, size) each -> what the layers before the cut make of them, (10, ...) each.

        On the CPU one frame at a time, because what the layers hand on then stays in the processor's caches.
        """
        crops, found = iter(crops), []
        size = 1 if self.net.device.type == "cpu" else FRAMES_AT_ONCE
        while batch := list(islice(crops, size)):
            images = batch[0] if len(batch) == 1 else torch.cat(batch)
            out = self.net(**{self.image_blob: images}, end=self._shared_end, blobs=[self._shared_blob])
            found += out[self._shared_blob].split(CROPS)
        return found

    def _center_batches(self, frames: Sequence[np.ndarray], blob: str, end: str) -> torch.Tensor:
        """`blob` after layer `end`, of the centre of every frame."""
        parts = []
        for batch in _batches(frames, CENTER_BATCH):
            crops = torch.stack([center_crop(frame, self.stream, self.crop_size) for frame in batch])
            parts.append(self.net(**{self.image_blob: crops}, end=end, blobs=[blob])[blob])
        return torch.cat(parts)


class SingleFrame(Model):
    """The single-frame model: every frame by itself."""

    def oversample(self, frames: Sequence[np.ndarray]) -> np.ndarray:
        """One row per frame of the video."""
        rows = []
        for batch in _batches(frames, SINGLE_FRAME_BATCH):
            shared = self._shared(
                ten_crops(frame, self.stream, self.crop_size, self._negated_from(index))
                for index, frame in enumerate(batch)
            )
            inputs = {self._shared_blob: torch.cat(shared)}
            probabilities = _numpy(self.net(start=self._first_of_batch, **inputs)[self.probability_blob])
            if "single_frame_rows_mix_frames" in self.quirks:
                mean = probabilities.reshape(CROPS, len(batch), self.classes).mean(axis=0)
            else:
                mean = probabilities.reshape(len(batch), CROPS, self.classes).mean(axis=1)
            rows.append(mean.astype(np.float64))
        return np.concatenate(rows)

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
        self._clips_at_once = 1
        if net.numerics == "fast":
            self._clips_at_once = CLIPS_AT_ONCE
            self._cut_before(reshape)

    def oversample(self, frames: Sequence[np.ndarray]) -> np.ndarray:
        """One row per frame of every clip, clip by clip: the mean over the ten crops."""
        rows = []
        shared: dict[int, torch.Tensor] = {}
        for starts in _batches(self.starts(len(frames)), self._clips_at_once):
            clips = [range(start, start + self.clip_length) for start in starts]
            wanted = dict.fromkeys(index for clip in clips for index in clip)
            new = [index for index in wanted if index not in shared]
            shared = {index: shared[index] for index in wanted if index in shared}
            shared |= zip(new, self._shared(self.crops(frames[index]) for index in new), strict=True)
            streams = torch.cat([self._features([shared[index] for index in clip]) for clip in clips], dim=1)
            probabilities = self._sequences(streams).reshape(self.clip_length, len(clips), CROPS, self.classes)
            rows.append(probabilities.mean(axis=2).transpose(1, 0, 2).reshape(-1, self.classes).astype(np.float64))
        return np.concatenate(rows)

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

    def crops(self, frame: np.ndarray | torch.Tensor) -> torch.Tensor:
        """The ten crops of a frame as this model wants them: (10, 3, size, size) float32."""
        is_negated = self.stream.name == "flow" and "lrcn_mirrored_flow_keeps_x" not in self.quirks
        return ten_crops(frame, self.stream, self.crop_size, CROPS // 2 if is_negated else CROPS)

    def _row_frames(self, frames: int) -> Sequence[int]:
        return [start + step for start in self.starts(frames) for step in range(self.clip_length)]

    def _features(self, shared: Sequence[torch.Tensor]) -> torch.Tensor:
        """What the layers before the cut made of the frames of a clip -> features (steps, crops, ...)."""
        if self._shared_blob == self._feature_blob:
            return torch.stack(shared)
        inputs = {self._shared_blob: torch.cat(shared)}
        blob = self._feature_blob
        features = self.net(start=self._first_of_batch, end=self._feature_end, blobs=[blob], **inputs)[blob]
        return features.reshape(self.clip_length, CROPS, -1)

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
            model.image_blob: torch.cat([model.crops(frame) for frame in clip]),
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

    network: its prototxt; precision: of `lrcn.devices.PRECISIONS`, in exact numerics "float32".
    Raises `Error` where the weights do not fit the network, or the network is not of the kind that the name says.
    """
    stream, kind = name.split("_")
    net = Net(network, weights=weights, numerics=numerics)
    net.to(device, use_precision(precision))
    try:
        return {"lrcn": LRCN, "single": SingleFrame}[kind](net, STREAMS[stream], active_quirks(quirks))
    except Error as error:
        raise Error(f"{network}: {error}") from error


def _batches(items: Sequence, size: int) -> list[Sequence]:
    return [items[first : first + size] for first in range(0, len(items), size)]


def _numpy(blob: torch.Tensor) -> np.ndarray:
    return blob.float().cpu().numpy()
