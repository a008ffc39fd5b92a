"""Our own network files of the paper's activity networks at full size.

`lrcn.prototxt` and `single_frame.prototxt` compute class probabilities; `lrcn_train.prototxt` and
`single_frame_train.prototxt` train them, with the settings of `{lrcn,single_frame}_{rgb,flow}_solver.prototxt`.
"""

from pathlib import Path

from ..errors import Error

_FOLDER = Path(__file__).resolve().parent


def path(name: str) -> Path:
    """The file of the network called `name` (for example "lrcn.prototxt"); Error if there is none."""
    file = _FOLDER / name
    if file.suffix != ".prototxt" or not file.is_file():
        known = ", ".join(sorted(found.name for found in _FOLDER.glob("*.prototxt")))
        raise Error(f"no network file called {name!r} comes with lrcn; there are: {known}")
    return file
