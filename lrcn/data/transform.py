"""Crop, mirror, mean and scale: what `transform_param` asks for, with the bits of Caffe's DataTransformer."""

from typing import NamedTuple

import numpy as np

from prototxt_import import Message, read_mean

from ..errors import Error
from .generators import MersenneTwister, process_draw


class Draws(NamedTuple):
    """The random numbers of one image, 32 bits each; those that its transform does not need are 0."""

    mirror: int
    top: int
    left: int


class Transform:
    """One image (channels, height, width) of numbers 0..255 -> the same in float32, transformed.

    value = (pixel - mean) * scale, both steps in float32; the mean is one number, one per channel, or an image of the
    size that the images have before cropping. In phase TRAIN the crop is random, in TEST central; `mirror` tosses a
    coin in both.

    Args:
        definition (Message): the TransformationParameter.
        phase (str): "TRAIN" or "TEST".

    Raises:
        Error: both a mean file and mean values.
        FormatError, OSError: a mean file that cannot be read.
    """

    def __init__(self, definition: Message, phase: str):
        if definition.has("mean_file") and definition.mean_value:
            raise Error("transform_param: mean_file or mean_value, not both")
        if definition.force_color and definition.force_gray:
            raise Error("transform_param: force_color or force_gray, not both")
        self.definition = definition
        self.crops_randomly = phase == "TRAIN" and definition.crop_size > 0
        self.mean = self._mean()
        self.seed()

    def _mean(self) -> np.ndarray | None:
        definition = self.definition
        if definition.has("mean_file"):
            return read_mean(definition.mean_file).astype(np.float32)
        if definition.mean_value:
            return np.array(definition.mean_value, np.float32)[:, None, None]
        return None

    def seed(self) -> None:
        """Take a seed from the process's generator if any draw will be made; Caffe's prefetching layers do it twice."""
        if self.definition.mirror or self.crops_randomly:
            self._generator = MersenneTwister(process_draw())

    def draw(self) -> Draws:
        """What chance decides for the next image, in the order of Caffe's draws."""
        mirror = self._generator.draw() if self.definition.mirror else 0
        top, left = (self._generator.draw(), self._generator.draw()) if self.crops_randomly else (0, 0)
        return Draws(mirror, top, left)

    def shape(self, channels: int, height: int, width: int) -> tuple[int, int, int]:
        """The shape of a transformed image. Raises `Error` for one smaller than the crop."""
        size = self.definition.crop_size
        if size > min(height, width):
            raise Error(f"crop_size {size} is larger than an image of {width}x{height} pixels")
        return (channels, size or height, size or width)

    def apply(self, image: np.ndarray, draws: Draws, flow: bool = False) -> np.ndarray:
        """Transform one image (channels, height, width); float32.

        Args:
            image: the image, of any numeric type.
            draws: what `draw` returned for it.
            flow: whether a mirrored image has its last channel (the horizontal flow) turned round: 255 - value.

        Raises:
            Error: an image that the crop or the mean does not fit.
        """
        channels, height, width = image.shape
        _, rows, columns = self.shape(channels, height, width)
        if self.crops_randomly:
            top, left = draws.top % (height - rows + 1), draws.left % (width - columns + 1)
        else:
            top, left = (height - rows) // 2, (width - columns) // 2
        mirrored = draws.mirror % 2 == 1
        window = np.s_[:, top : top + rows, left : left + columns]
        values = image[window].astype(np.float32)
        if flow and mirrored:
            values[2:3] = np.float32(255) - values[2:3]
        if self.mean is not None:
            values -= self._mean_in(window, image)
        values *= np.float32(self.definition.scale)
        return values[:, :, ::-1] if mirrored else values

    def _mean_in(self, window: tuple, image: np.ndarray) -> np.ndarray:
        """The part of the mean that belongs to a window of the image."""
        if not self.definition.has("mean_file"):
            if len(self.mean) not in (1, image.shape[0]):
                raise Error(
                    f"one mean_value or one for each of {image.shape[0]} channels was expected, "
                    f"{len(self.mean)} were found"
                )
            return self.mean
        if self.mean.shape != image.shape:
            raise Error(
                f"mean file {self.definition.mean_file}: a mean of shape {image.shape} (channels, height, width) "
                f"was expected, that of the image, one of shape {self.mean.shape} was found"
            )
        return self.mean[window]
