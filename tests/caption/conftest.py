import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest

from lrcn import Net
from lrcn.caption.captioner import Captioner
from lrcn.caption.vocabulary import Vocabulary
from lrcn.cli import run

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@dataclass
class Recorded:
    """What the authors' captioner and retrieval code computed for six images."""

    folder: Path
    images: list[Path]
    values: dict
    descriptors: np.ndarray
    preprocessed0: np.ndarray
    caption_log_p: np.ndarray

    def captioner(self, numerics: str = "exact") -> Captioner:
        return Captioner(
            Net(self.folder / "image_net.prototxt", self.folder / "image.caffemodel", numerics=numerics),
            Net(self.folder / "word_net.prototxt", self.folder / "words.caffemodel", numerics=numerics),
            Vocabulary.load(self.folder / "vocabulary.txt"),
        )


@pytest.fixture(scope="session")
def recorded(shared) -> Recorded:
    folder = shared / "goldens" / "caption"
    values = json.loads((folder / "expected.json").read_text())
    frames = shared / "goldens" / "activity" / "frames"
    with h5py.File(folder / "expected.h5") as file:
        arrays = {name: file[name][...] for name in ("descriptors", "preprocessed0", "caption_log_p")}
    return Recorded(folder, [frames / name.split(".")[0] / name for name in values["images"]], values, **arrays)


@pytest.fixture
def run_script(capsys):
    """Runs a script by its name in this process; returns its exit status and what it printed on both streams."""

    def call(name, *arguments):
        specification = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
        script = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(script)
        with pytest.raises(SystemExit) as left:
            run(lambda: script.main([str(argument) for argument in arguments]))
        printed = capsys.readouterr()
        return left.value.code, printed.out, printed.err

    return call
