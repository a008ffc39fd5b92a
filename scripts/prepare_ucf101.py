"""Make the lists that the recipes for activity recognition train on, in the authors' names and layout.

    python scripts/prepare_ucf101.py --train trainlist01.txt --test testlist01.txt --frames frames --flow flow_images

writes, for each part of the split, ucf101_split1_PARTVideos.txt, which LRCN reads, and for each stream
ucf101_singleFrame_STREAM_PART_split1.txt, which the single-frame networks read: every frame in random order.
"""

import argparse
from pathlib import Path
from random import Random

from lrcn.activity.lists import Video, VideoError, read_list
from lrcn.activity.sources import Source
from lrcn.cli import run
from lrcn.video import list_images
from prototxt_import import replacing


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for part in ("train", "test"):
        parser.add_argument(f"--{part}", type=Path, required=True, metavar="LIST", help=f"UCF101's {part}list0N.txt")
    parser.add_argument("--frames", type=Path, metavar="DIR", help="a folder of frames for each video")
    parser.add_argument("--flow", type=Path, metavar="DIR", help="a folder of flow images for each video")
    parser.add_argument("-o", "--output", type=Path, default=Path("."), metavar="DIR", help="(default: here)")
    parser.add_argument("--seed", type=int, default=0, help="of the order of the frames (default 0)")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Read the split, look up the frames, write."""
    options = parse_arguments(argv)
    streams = {name: Source(folder) for name, folder in (("RGB", options.frames), ("flow", options.flow)) if folder}
    lists: dict[str, list[str]] = {}
    for part in ("train", "test"):
        videos = read_list(getattr(options, part))
        lists[f"ucf101_split1_{part}Videos.txt"] = [f"{video.action}/{video.name} {video.label}" for video in videos]
        for name, source in streams.items():
            lists[f"ucf101_singleFrame_{name}_{part}_split1.txt"] = frame_lines(source, videos, options.seed)
    options.output.mkdir(parents=True, exist_ok=True)
    for name, lines in lists.items():
        with replacing(options.output / name) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        print(f"{options.output / name}: {len(lines)} lines")
    return 0


def frame_lines(source: Source, videos: list[Video], seed: int) -> list[str]:
    """A line "FOLDER/IMAGE LABEL" for every frame of the videos, in random order.

    Raises:
        VideoError: a video without frames.
    """
    lines = []
    for video in videos:
        folder = source.find(video)
        images = list_images(folder) if folder and folder.is_dir() else []
        if not images:
            raise VideoError(
                f"{source.folder}: a folder of images of {video.name} was expected; make it, or mend the list"
            )
        lines += [f"{image.relative_to(source.folder)} {video.label}" for image in images]
    Random(seed).shuffle(lines)
    return lines


if __name__ == "__main__":
    run(main)
