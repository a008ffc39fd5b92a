"""Results on disk, one video after the other, such that an interruption loses at most the video in work.

Each finished video is one small file, written under a temporary name and renamed, in the folder `OUT.h5.unfinished`
beside the results file. At the end they are gathered in the results file (again renamed into place) and the folder is
removed. Several processes may add to one folder.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np

from prototxt_import import replacing

from ..errors import Error
from .lists import Video

_SETTINGS = "settings.json"


class Store:
    """The results of one evaluation: rows of class probabilities by model and video.

    path: the HDF5 file to make, datasets `MODEL/VIDEO` of (rows, classes) float64.
    keep_rows: keep every row, or only their mean (one row), which is all that a report needs.
    settings: what the results depend on, as plain values; `models` in it holds those of each model by its name.
    resume: go on from what an earlier run with the same settings left, finished or not; otherwise replace it.

    Raises `Error` for a folder.
    """

    def __init__(self, path: str | Path, settings: Mapping, *, keep_rows: bool, resume: bool):
        self.path = Path(path)
        if self.path.is_dir():
            raise Error(f"{self.path}: a folder; name the file to write")
        self.settings = {**settings, "rows": "all" if keep_rows else "mean"}
        self._resume = resume
        self._keep_rows = keep_rows
        self._folder = self.path.with_name(self.path.name + ".unfinished")
        self._finished: set[tuple[str, str]] = set()

    def open(self) -> None:
        """Make the folder of unfinished results. For one process, before the others call `join`.

        Raises `Error` where another run was interrupted and this one does not resume it, and where the results to go on
        from were made with other settings.
        """
        if self._folder.exists() and not self._resume:
            raise Error(
                f"{self._folder}: results of an interrupted run; go on with --resume, or delete the folder first"
            )
        earlier = self._read_settings_of_file() if self._resume else None
        unfinished = self._read_settings_of_folder()
        self._check_settings(earlier, self.path)
        self._check_settings(unfinished, self._folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        models = {}
        for settings in (earlier, unfinished, self.settings):
            models |= settings["models"] if settings else {}
        with replacing(self._folder / _SETTINGS) as temporary:
            temporary.write_text(json.dumps({**self.settings, "models": models}, indent=2))
        for model in self.settings["models"]:
            (self._folder / model).mkdir(exist_ok=True)
            for failure in self._folder.glob(f"{model}/*.error"):
                failure.unlink()

    def join(self) -> None:
        """Look up what is finished, after `open` (by whichever process)."""
        if self._resume and self.path.exists():
            with h5py.File(self.path) as file:
                self._finished = {(model, video) for model in file for video in file[model]}

    def has(self, model: str, video: Video) -> bool:
        """Whether this result is there, from this run or an earlier one."""
        return (model, video.name) in self._finished or self._place(model, video, "npy").exists()

    def add(self, model: str, video: Video, rows: np.ndarray) -> None:
        """Keep a result: rows (rows, classes) float64."""
        with replacing(self._place(model, video, "npy")) as temporary, temporary.open("wb") as file:
            np.save(file, rows if self._keep_rows else rows.mean(axis=0, keepdims=True))

    def fail(self, model: str, video: Video, message: str) -> None:
        """Note that this video cannot be evaluated. The next run tries again."""
        with replacing(self._place(model, video, "error")) as temporary:
            temporary.write_text(message)

    def failures(self, models: Sequence[str], videos: Sequence[Video]) -> dict[str, dict[str, str]]:
        """The messages of this run's failures: by video, by model."""
        failures: dict[str, dict[str, str]] = {}
        for video in videos:
            for model in models:
                place = self._place(model, video, "error")
                if place.exists():
                    failures.setdefault(video.name, {})[model] = place.read_text()
        return failures

    def gather(self, videos: Sequence[Video]) -> dict[str, dict[str, np.ndarray]]:
        """Make the results file out of everything there is, and remove the folder.

        Returns the class probabilities (classes,) of each of `videos`, by model and name. Attributes of a dataset: the
        settings of its model, and `label` where the list has one. What an earlier run kept of other videos stays.
        """
        labels = {video.name: video.label for video in videos}
        settings = self._read_settings_of_folder()
        means: dict[str, dict[str, np.ndarray]] = {model: {} for model in self.settings["models"]}
        with replacing(self.path) as temporary, h5py.File(temporary, "w") as file:
            file.attrs["settings"] = json.dumps(settings)
            if self._resume and self.path.exists():
                with h5py.File(self.path) as earlier:
                    for model in earlier:
                        earlier.copy(model, file)
            for place in sorted(self._folder.glob("*/*.npy")):
                model, name = place.parent.name, place.name.removesuffix(".npy")
                group = file.require_group(model)
                if name in group:
                    del group[name]
                dataset = group.create_dataset(name, data=np.load(place, allow_pickle=False))
                common = {key: value for key, value in settings.items() if key != "models"}
                dataset.attrs.update({**common, **settings["models"][model]})
                if labels.get(name) is not None:
                    dataset.attrs["label"] = labels[name]
            for model in means:
                for name in labels:
                    if name in file.get(model, ()):
                        means[model][name] = file[model][name][()].mean(axis=0)
        shutil.rmtree(self._folder)
        return means

    def _place(self, model: str, video: Video, suffix: str) -> Path:
        return self._folder / model / f"{video.name}.{suffix}"

    def _read_settings_of_folder(self) -> dict | None:
        place = self._folder / _SETTINGS
        return json.loads(place.read_text()) if place.exists() else None

    def _read_settings_of_file(self) -> dict | None:
        if not self.path.exists():
            return None
        try:
            with h5py.File(self.path) as file:
                settings = json.loads(file.attrs["settings"])
                return settings | {"models": dict(settings["models"])}
        except (OSError, KeyError, ValueError, TypeError) as error:
            raise Error(f"{self.path}: not a results file of an evaluation ({error}); name another file") from None

    def _check_settings(self, earlier: dict | None, place: Path) -> None:
        """Raise `Error` where results at `place` were made with other settings; other models may be there as well."""
        if earlier is None:
            return
        ours, theirs = dict(self.settings), dict(earlier)
        our_models, their_models = ours.pop("models"), theirs.pop("models")
        pairs = [("", ours, theirs)]
        pairs += [(f"{name}: ", our_models[name], their_models[name]) for name in our_models if name in their_models]
        for prefix, new, old in pairs:
            for key in sorted({*new, *old}):
                if new.get(key) != old.get(key):
                    raise Error(
                        f"{place}: cannot resume, its results were made with {prefix}{key} = {old.get(key)}, "
                        f"this run has {new.get(key)}; use the same settings, or delete it"
                    )
