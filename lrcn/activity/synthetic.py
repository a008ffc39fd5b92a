"""Small synthetic action clips, named and listed like UCF101, for the demo and for tests.

A textured disc with a lit front moves over a textured background at constant speed, along the sides of a triangle that
stands on its base (a pyramid) or on its tip (a funnel), big or small. One frame shows by the light which way the disc
goes, and one flow image shows it too: of the six ways, three belong to pyramids and three to funnels. How long it goes
that way, and with it whether the triangle is big or small, is left to chance; sixteen frames in a row tell all. Clips
of all classes share their scenes, and a mirrored clip shows the same action.
"""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ..errors import Error
from ..flow import Brox, write_flow_images
from ..video import extract_frames, read_video

WIDTH, HEIGHT = 320, 240
FRAMES_PER_SECOND = 30.0
FRAMES = 32
SPEED = (5.6, 6.4)  # pixels per frame
DIAMETER = (48.0, 64.0)  # pixels
REGION = ((105.0, 215.0), (50.0, 190.0))  # x and y that the object's centre keeps to: seen by all of the ten crops
# Tints of one luminance and little apart, so that optical flow hardly sees the light turn: inside the disc it is then
# 0.15 pixels off instead of 0.07. With tints two and a half times as far apart it is lost at turns, and one flow image
# would show that there is a turn, as there often is in small triangles and seldom in big ones.
FRONT, REAR = (1.18, 0.75, 0.26), (0.76, 0.95, 0.33)

# Direction of a side of the triangle, degrees from the horizontal (upwards), and frames that a side takes.
MOTIONS = {
    "BigFunnel": (-90.0, 7),
    "BigPyramid": (90.0, 7),
    "SmallFunnel": (-90.0, 2),
    "SmallPyramid": (90.0, 2),
}
WOBBLE = 8.0  # degrees by which the triangle of a clip is tilted, at most
ACTIONS = tuple(sorted(MOTIONS))
TEST_GROUPS = range(1, 8)
TRAIN_GROUPS = range(8, 83)

# Of the flow images: the paper's method with its levels far apart, in less than a third of the default's time. Motions
# of 6 pixels need no more: inside the disc it is 0.10 pixels off on the average, with the default's levels 0.08.
FLOW_METHOD = Brox(eta=0.7)

DEMO_FOLDER = Path(__file__).resolve().parent / "demo"
_SEED = 2015


@dataclass(frozen=True)
class Clip:
    """One clip by its place in the data set; label counts from 0 in alphabetical order of the actions."""

    action: str
    group: int
    number: int = 1

    @property
    def label(self) -> int:
        """Number of the action."""
        return ACTIONS.index(self.action)

    @property
    def name(self) -> str:
        """As UCF101 names its clips."""
        return f"v_{self.action}_g{self.group:02d}_c{self.number:02d}"


def clips(groups: Iterable[int], per_group: int = 1) -> list[Clip]:
    """All clips of these groups, action by action."""
    groups = list(groups)
    return [Clip(action, group, n) for action in ACTIONS for group in groups for n in range(1, per_group + 1)]


def trajectory(clip: Clip) -> np.ndarray:
    """Centre of the object in every frame, (FRAMES + 1, 2) float64, x then y, in pixels; one more than there are."""
    rng = np.random.default_rng([_SEED, clip.label, clip.group, clip.number])
    degrees, interval = MOTIONS[clip.action]
    side = (np.arange(FRAMES) + rng.integers(3 * interval)) // interval
    heading = np.deg2rad(degrees + rng.uniform(-WOBBLE, WOBBLE) + rng.choice([-120, 120]) * side)
    moves = rng.uniform(*SPEED) * np.stack([np.cos(heading), -np.sin(heading)], axis=1)
    path = np.concatenate([[[0.0, 0.0]], np.cumsum(moves, axis=0)])
    for axis, (low, high) in enumerate(REGION):
        room = high - low - np.ptp(path[:, axis])
        middle = (low + high) / 2 + rng.uniform(-room / 2, room / 2)
        path[:, axis] += middle - (path[:, axis].min() + path[:, axis].max()) / 2
    return path


def directions(clip: Clip) -> np.ndarray:
    """Which of six ways the object goes in every frame, (FRAMES,) of 0..5: 30 degrees from the horizontal, 90, ..."""
    x, y = np.diff(trajectory(clip), axis=0).T
    return np.round((np.rad2deg(np.arctan2(-y, x)) - 30) / 60).astype(int) % 6


def render(clip: Clip) -> np.ndarray:
    """Frames of a clip, (FRAMES, 240, 320, 3) uint8 RGB; always the same ones for the same clip."""
    scene = np.random.default_rng([_SEED, clip.group, clip.number])
    background = _texture(scene, (HEIGHT, WIDTH), mean=90.0) * np.float32((0.45, 0.75, 1.0))
    size = int(DIAMETER[1]) + 8
    thing = _texture(scene, (size, size), mean=120.0)
    opacity = _outline(scene, size)[..., None]
    path = trajectory(clip)
    frames = []
    for (x, y), move in zip(path, np.diff(path, axis=0), strict=False):
        shift = np.float32([[1, 0, x - size / 2], [0, 1, y - size / 2]])
        lit = thing * opacity * _light(size, move)
        moved = cv2.warpAffine(lit, shift, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
        cover = cv2.warpAffine(opacity, shift, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)[..., None]
        frames.append(background * (1 - cover) + moved)
    return np.stack(frames).clip(0, 255).astype(np.uint8)


def write_clip(clip: Clip, folder: Path) -> Path:
    """Write FOLDER/Action/v_Action_gGG_cCC.avi (Motion JPEG) unless it is there; returns the path."""
    path = folder / clip.action / f"{clip.name}.avi"
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.partial.avi")
    writer = cv2.VideoWriter(
        str(partial), cv2.CAP_OPENCV_MJPEG, cv2.VideoWriter.fourcc(*"MJPG"), FRAMES_PER_SECOND, (WIDTH, HEIGHT)
    )
    if not writer.isOpened():
        raise Error(f"{partial}: the video could not be opened for writing; is there space and permission?")
    for frame in render(clip):
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()
    os.replace(partial, path)
    return path


def prepare_clips(clips: list[Clip], folder: Path) -> None:
    """Make FOLDER/videos, FOLDER/frames and FOLDER/flow of these clips; what is there already is kept."""

    def prepare(clip: Clip) -> None:
        video = write_clip(clip, folder / "videos")
        extract_frames(video, folder / "frames")
        write_flow_images(read_video(video), folder / "flow", clip.name, FLOW_METHOD)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(prepare, clips))


def write_lists(folder: Path) -> Path:
    """Write the lists that come with UCF101 (labels from 1), and those of the authors (labels from 0).

    The latter: `{train,test}_videos.txt`, the clips of all actions in turn, so that every batch has some of each, and
    `{rgb,flow}_{train,test}_images.txt`, the single images of them; `..._directions.txt` has the same images with what
    `directions` says of them. Returns the path of `test_videos.txt`.
    """
    test, train = clips(TEST_GROUPS), clips(TRAIN_GROUPS)
    lists = {
        "classInd.txt": [f"{number} {action}" for number, action in enumerate(ACTIONS, start=1)],
        "testlist01.txt": [f"{clip.action}/{clip.name}.avi" for clip in test],
        "trainlist01.txt": [f"{clip.action}/{clip.name}.avi {clip.label + 1}" for clip in train],
    }
    for part, chosen in (("test", test), ("train", train)):
        in_turn = sorted(chosen, key=lambda clip: (clip.group, clip.label))
        lists[f"{part}_videos.txt"] = [f"{clip.action}/{clip.name} {clip.label}" for clip in in_turn]
        for stream, prefix, first in (("rgb", "", 1), ("flow", "flow_image_", 2)):
            images = [
                (clip, f"{clip.name}/{prefix}{clip.name}.{number:04d}.jpg", number - first)
                for clip in in_turn
                for number in range(first, FRAMES + 1, 1 if part == "train" else 4)
            ]
            actions = [f"{path} {clip.label}" for clip, path, _ in images]
            ways = [f"{path} {directions(clip)[move]}" for clip, path, move in images]
            lists |= {f"{stream}_{part}_images.txt": actions, f"{stream}_{part}_directions.txt": ways}
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in lists.items():
        partial = folder / f".{name}.partial"
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
        os.replace(partial, folder / name)
    return folder / "test_videos.txt"


@dataclass(frozen=True)
class DemoPaths:
    """What evaluating the demo needs: folders of frames and of flow images, list, weights, network definitions."""

    frames: Path
    flow: Path
    list: Path
    rgb_lrcn: Path = DEMO_FOLDER / "rgb_lrcn.caffemodel"
    flow_lrcn: Path = DEMO_FOLDER / "flow_lrcn.caffemodel"
    rgb_single: Path = DEMO_FOLDER / "rgb_single.caffemodel"
    flow_single: Path = DEMO_FOLDER / "flow_single.caffemodel"
    lrcn_net: Path = DEMO_FOLDER / "lrcn.prototxt"
    single_net: Path = DEMO_FOLDER / "single_frame.prototxt"


def prepare_demo(folder: Path) -> DemoPaths:
    """Make the demo's test clips with their frames, flow images and lists in `folder`; goes on where it was stopped."""
    prepare_clips(clips(TEST_GROUPS), folder)
    return DemoPaths(folder / "frames", folder / "flow", write_lists(folder))


def _texture(rng: np.random.Generator, shape: tuple[int, int], mean: float) -> np.ndarray:
    """Smooth grey noise of several scales, (height, width, 1) float32 around `mean`."""
    grey = np.full(shape, mean, np.float32)
    for cell, contrast in ((4, 14), (9, 18), (24, 22)):
        coarse = rng.standard_normal((shape[0] // cell + 2, shape[1] // cell + 2)).astype(np.float32)
        grey += contrast * cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return grey.clip(0, 170)[..., None]


def _light(size: int, move: np.ndarray) -> np.ndarray:
    """Tint of an object that moves by `move` (x, y), (size, size, 3) float32: from its rear to its front."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    ahead = (x * move[0] + y * move[1]) / np.hypot(*move)
    share = (ahead / 8 + 0.5).clip(0, 1)[..., None]
    return np.float32(share * FRONT + (1 - share) * REAR)


def _outline(rng: np.random.Generator, size: int) -> np.ndarray:
    """Opacity of a random round shape, (size, size) float32: 1 inside, falling to 0 over two pixels at its rim."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    angle = np.arctan2(y, x)
    radius = rng.uniform(*DIAMETER) / 2
    for lobes in (2, 3, 5):
        radius = radius * (1 + rng.uniform(0, 0.12) * np.cos(lobes * angle + rng.uniform(0, 2 * np.pi)))
    return ((radius - np.hypot(x, y)) / 2 + 0.5).clip(0, 1).astype(np.float32)
