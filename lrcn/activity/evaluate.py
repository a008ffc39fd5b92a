"""All videos through all models; several processes may share the videos out."""

import time
from collections.abc import Callable, Mapping, Sequence

from tqdm import tqdm

from .lists import Video, VideoError
from .models import Model
from .sources import Source, read_ahead
from .store import Store


def evaluate(
    videos: Sequence[Video],
    models: Mapping[str, Model],
    sources: Mapping[str, Source],
    protocol: str,
    store: Store,
    *,
    process: int = 0,
    processes: int = 1,
    progress: bool = True,
) -> None:
    """Put the class probabilities of every video and model into `store`, but for those that are there.

    models: by name ("rgb_lrcn"); sources: by stream ("rgb", "flow"). A video that cannot be evaluated is noted in the
    store and the others go on. With several `processes`, number `process` takes every so-manieth video.
    The progress line says which share of the time passes in waiting for frames to be decoded: near 100 %, the networks
    are as fast as they need to be.
    """
    work = []
    for video in videos[process::processes]:
        for stream in sources:
            streamed = [name for name in models if models[name].stream.name == stream]
            if missing := [name for name in streamed if not store.has(name, video)]:
                work.append((video, stream, missing))
    label = f"process {process} of {processes}" if processes > 1 else "videos"
    began, waited = time.perf_counter(), 0.0
    with tqdm(total=len({video for video, _, _ in work}), desc=label, unit="video", disable=not progress) as bar:
        for number, ((video, _, missing), frames) in enumerate(read_ahead(_read(sources), work), start=1):
            for name in missing:
                try:
                    asked = time.perf_counter()
                    decoded = frames()
                    waited += time.perf_counter() - asked
                    store.add(name, video, models[name].predict(decoded, protocol))
                except VideoError as error:
                    store.fail(name, video, str(error))
            bar.set_postfix_str(f"{waited / (time.perf_counter() - began):.0%} waiting for frames", refresh=False)
            is_last_stream = number == len(work) or work[number][0] != video
            bar.update(is_last_stream)


def _read(sources: Mapping[str, Source]) -> Callable:
    return lambda task: sources[task[1]].read(task[0])
