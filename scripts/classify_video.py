"""Classify one video: the five most probable classes of every model and fusion, and a picture of them over time."""

import argparse
import json
import sys
from pathlib import Path

from lrcn.activity.lists import Video, VideoError, class_names, read_list
from lrcn.activity.options import add_model_options, load_models, unused_layers
from lrcn.activity.report import result_title, top_classes, with_fusions, write_strip
from lrcn.activity.sources import Source, read_frames
from lrcn.cli import run
from lrcn.errors import Error


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", help="a video file, a folder of frames, or the name of one under --frames and --flow")
    parser.add_argument("--frames", type=Path, metavar="DIR", help="folders of RGB frames, or video files, by name")
    parser.add_argument("--flow", type=Path, metavar="DIR", help="folders of flow images by the video's name")
    parser.add_argument(
        "--list", type=Path, metavar="LIST", help="a list of videos that names the classes, if not UCF101's"
    )
    add_model_options(parser)
    output = parser.add_argument_group("output")
    output.add_argument("--picture", type=Path, metavar="OUT.png", help="default: the video's name, here")
    output.add_argument("--json", action="store_true", help="print JSON instead of text")
    return parser.parse_args(argv)


def read_streams(options: argparse.Namespace, streams: set[str]) -> tuple[str, dict[str, list]]:
    """The video's name and its frames by stream."""
    path = Path(options.video)
    name = path.name if path.is_dir() else path.stem if path.is_file() else options.video
    frames = {}
    for stream, folder in (("rgb", options.frames), ("flow", options.flow)):
        if stream not in streams:
            continue
        if stream == "rgb" and path.exists():
            frames[stream] = read_frames(path)
        elif folder is None:
            option = "--frames" if stream == "rgb" else "--flow"
            raise Error(
                f"{options.video}: no such file or folder; a model of the {stream} stream needs one or {option}"
            )
        else:
            try:
                frames[stream] = Source(folder).read(Video(name))
            except VideoError as error:
                raise Error(f"{name}: {error}") from error
    return name, frames


def main(argv: list[str] | None = None) -> int:
    """Classify and print."""
    options = parse_arguments(argv)
    models = load_models(options)
    for line in unused_layers(models):
        print(line, file=sys.stderr)
    name, frames = read_streams(options, {model.stream.name for model in models.values()})
    count = next(iter(models.values())).classes
    classes = class_names(read_list(options.list) if options.list else [], count)

    rows = {key: model.predict(frames[model.stream.name], options.protocol) for key, model in models.items()}
    results = with_fusions({key: {name: value.mean(axis=0)} for key, value in rows.items()})
    top = {key: top_classes(result[name], classes) for key, result in results.items()}
    curves = {
        result_title(key): model.over_time(rows[key], len(frames[model.stream.name])) for key, model in models.items()
    }
    picture = options.picture or Path(f"{name}.png")
    write_strip(picture, frames.get("rgb") or frames["flow"], curves, classes)

    if options.json:
        listed = {key: [{"class": label, "probability": p} for label, p in best] for key, best in top.items()}
        print(json.dumps({"video": name, "picture": str(picture), "top": listed}, indent=2))
        return 0
    for key, best in top.items():
        print(result_title(key))
        for label, probability in best:
            print(f"  {probability:7.4f}  {label}")
    print(f"picture: {picture}")
    return 0


if __name__ == "__main__":
    run(main)
