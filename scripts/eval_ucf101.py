"""Evaluate activity recognition on UCF101: frames, lists and weights in, the paper's table out.

Without arguments: a demonstration with synthetic clips and small networks, written to ./demo_output.
With several processes: torchrun --nproc-per-node K scripts/eval_ucf101.py ...
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from lrcn.activity.cache import Cache
from lrcn.activity.evaluate import evaluate
from lrcn.activity.lists import Video, check_labels, class_names, read_list
from lrcn.activity.options import add_model_options, load_models, settings, unused_layers
from lrcn.activity.report import summarize, table, write_report
from lrcn.activity.sources import Source
from lrcn.activity.store import Store
from lrcn.activity.synthetic import prepare_demo
from lrcn.cli import EXIT_FAILURE, run
from lrcn.errors import Error
from lrcn.flow import METHODS
from lrcn.processes import Processes


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """The options; with no argument at all those of the demonstration, whose data is made here."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = parser.add_argument_group("data")
    data.add_argument("--frames", type=Path, metavar="DIR", help="folders of RGB frames, or video files, one per video")
    data.add_argument("--flow", type=Path, metavar="DIR", help="the same of flow images")
    data.add_argument(
        "--videos", type=Path, metavar="DIR", help="video files instead; frames and flow images are made in --cache"
    )
    data.add_argument(
        "--cache", type=Path, metavar="DIR", default=Path("ucf101_cache"), help="keeps them (default: %(default)s)"
    )
    data.add_argument(
        "--flow-method", choices=METHODS, default="brox", help="of the flow images made from --videos (default: brox)"
    )
    data.add_argument(
        "--list", type=Path, metavar="LIST", help="the videos and labels; by default all there are, without labels"
    )
    add_model_options(parser)
    output = parser.add_argument_group("output")
    output.add_argument("--predictions", type=Path, metavar="OUT.h5", help="rows of class probabilities, MODEL/VIDEO")
    output.add_argument("--report", type=Path, metavar="DIR", help="report.json, per_class.csv, pictures, index.html")
    output.add_argument("--resume", action="store_true", help="go on after an interruption")
    arguments = sys.argv[1:] if argv is None else argv
    options = parser.parse_args(arguments)
    if not arguments:
        folder = Path("demo_output")
        vars(options).update(vars(prepare_demo(folder)), report=folder / "report")
        print(f"demonstration with synthetic clips and small networks, in {folder}")
    return options


def find_videos(options: argparse.Namespace, sources: dict[str, Source]) -> list[Video]:
    """The videos of the list, or all there are; raises `Error` where there are none."""
    if options.list is None:
        videos = {video.name: video for source in sources.values() for video in source.videos()}
        if not videos:
            raise Error(f"no video in {' or '.join(str(source.folder) for source in sources.values())}")
        return [videos[name] for name in sorted(videos)]
    videos = read_list(options.list)
    for source in sources.values():
        unknown = [video.name for video in videos if source.find(video) is None]
        if len(unknown) == len(videos):
            raise Error(f"none of the {len(videos)} videos of {options.list} is in {source.folder} (say {unknown[0]})")
        if unknown:
            examples = ", ".join(unknown[:3]) + (", ..." if len(unknown) > 3 else "")
            print(
                f"warning: {len(unknown)} of {len(videos)} videos are not in {source.folder}: {examples}",
                file=sys.stderr,
            )
    return videos


def make_images(options: argparse.Namespace, processes: Processes, with_flow: bool, device: str) -> list[Video]:
    """Make frames and flow images of --videos, which the options then name as --frames and --flow; returns the videos.

    device: of the flow, if its method knows others than the CPU. A video that cannot be read is told on stderr; the
    evaluation will miss its frames and count it as failed.
    """
    if options.frames or options.flow:
        raise Error("--videos makes frames and flow images itself; leave --frames and --flow out")
    source = Source(options.videos)
    videos = find_videos(options, {"videos": source})
    flow_device = device if with_flow and options.flow_method == "brox" else "cpu"
    cache = Cache(options.cache, options.flow_method, flow_device)
    share = videos[processes.rank :: processes.count]
    workers = max((os.cpu_count() or 1) // processes.count, 1)
    failures = cache.fill(share, source, with_flow, workers, progress=processes.rank == 0)
    for name, message in failures.items():
        print(f"failed: {name}: {message}", file=sys.stderr)
    processes.wait()
    options.frames, options.flow = cache.frames, cache.flow
    return videos


def main(argv: list[str] | None = None) -> int:
    """Run the evaluation; exit status 1 where some video could not be evaluated."""
    options = parse_arguments(argv)
    if options.resume and not (options.predictions or options.report):
        raise Error("--resume needs --predictions or --report, beside which unfinished results are kept")
    with Processes.join() as processes:
        return evaluate_together(options, processes)


def evaluate_together(options: argparse.Namespace, processes: Processes) -> int:
    """This process's part of the evaluation, and in the first process what follows; the exit status."""
    device = f"cuda:{processes.local_rank}" if options.device == "cuda" and processes.count > 1 else options.device
    models = load_models(options, device)
    for line in unused_layers(models) if processes.rank == 0 else ():
        print(line, file=sys.stderr)
    needed = {model.stream.name for model in models.values()}
    videos = make_images(options, processes, "flow" in needed, device) if options.videos else None
    streams = {"rgb": options.frames, "flow": options.flow}
    for stream, option in (("rgb", "--frames"), ("flow", "--flow")):
        if stream in needed and streams[stream] is None:
            raise Error(f"a model of the {stream} stream needs {option}, or --videos")
    sources = {stream: Source(streams[stream]) for stream in streams if stream in needed}
    videos = videos or find_videos(options, sources)
    classes = next(iter(models.values())).classes
    check_labels(videos, classes)

    with tempfile.TemporaryDirectory() as scratch:
        place = options.predictions or (options.report or Path(processes.first(lambda: scratch))) / "probabilities.h5"
        place.parent.mkdir(parents=True, exist_ok=True)
        store = Store(place, settings(options, models), keep_rows=bool(options.predictions), resume=options.resume)
        processes.first(store.open)
        store.join()
        evaluate(
            videos, models, sources, options.protocol, store,
            process=processes.rank, processes=processes.count, progress=processes.rank == 0,
        )  # fmt: skip
        processes.wait()
        failures = store.failures(list(models), videos)
        processes.first(lambda: finish(options, store, videos, class_names(videos, classes), failures))
    return EXIT_FAILURE if failures else 0


def finish(options: argparse.Namespace, store: Store, videos: list[Video], classes: list[str], failures: dict) -> None:
    """Gather the results, write the report, print the table and what failed."""
    means = store.gather(videos)
    summary = summarize(videos, classes, means, failures, store.settings)
    if any(score["labelled"] for score in summary["results"].values()):
        print(table(summary))
    else:
        for entry in summary["videos"]:
            outcome = entry["results"].get(summary["sorted_by"])
            if outcome:
                print(f"{entry['name']}: {classes[outcome['label']]} ({outcome['probability']:.3f})")
    if options.report:
        write_report(summary, options.report)
        print(f"report: {options.report / 'index.html'}")
    if options.predictions:
        print(f"predictions: {options.predictions}")
    for video, messages in failures.items():
        for message in dict.fromkeys(messages.values()):
            print(f"failed: {video}: {message}", file=sys.stderr)


if __name__ == "__main__":
    run(main)
