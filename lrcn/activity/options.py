"""The command-line options that name models, and the models they name; shared by the activity scripts."""

import argparse
import hashlib
from pathlib import Path

from .. import cli, networks
from ..errors import Error
from .models import MODELS, PROTOCOLS, Model, load_model

_TITLES = {
    "rgb_lrcn": "LRCN on RGB frames (RGB_lstm_model_iter_30000)",
    "flow_lrcn": "LRCN on flow images (flow_lstm_model_iter_50000)",
    "rgb_single": "single frame, RGB (single_frame_all_layers_hyb_RGB_iter_5000)",
    "flow_single": "single frame, flow (single_frame_all_layers_hyb_flow_iter_50000)",
}


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for weights, networks and how they run."""
    models = parser.add_argument_group("models (any of the four)")
    for name in MODELS:
        models.add_argument(_option(name), type=Path, metavar="WEIGHTS", help=f".caffemodel: {_TITLES[name]}")
    models.add_argument("--lrcn-net", type=Path, metavar="NET", help="another prototxt than the paper's LRCN")
    models.add_argument("--single-net", type=Path, metavar="NET", help="another prototxt than the paper's single frame")
    how = parser.add_argument_group("how it is computed")
    how.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        default="oversample",
        help="oversample: ten crops of every frame, as classify_video.py (default); "
        "center: the centre only, as evaluate_lstm.py",
    )
    cli.add_numerics_options(how, "1e-5")
    how.add_argument(
        "--quirks",
        choices=("released", "none"),
        default="released",
        help="keep what the released code does by mistake, as the published numbers have it (default), or mend it",
    )


def load_models(options: argparse.Namespace, device: str | None = None) -> dict[str, Model]:
    """The models that the options name. Raises `Error` for options that do not go together and unusable files."""
    named = [name for name in MODELS if getattr(options, name)]
    if not named:
        raise Error(f"name the weights of at least one model: {', '.join(map(_option, MODELS))}")
    cli.check_numerics_options(options)
    models = {
        name: load_model(
            name,
            getattr(options, name),
            network=_network(options, name),
            numerics=options.numerics,
            precision=options.precision,
            device=device or options.device,
            quirks=options.quirks,
        )
        for name in named
    }
    counts = {model.classes for model in models.values()}
    if len(counts) > 1:
        found = ", ".join(f"{name} {model.classes}" for name, model in models.items())
        raise Error(f"the models tell different numbers of classes apart: {found}")
    return models


def unused_layers(models: dict[str, Model]) -> list[str]:
    """A line for each model whose weights file has layers that its network lacks, which Caffe passes over as well."""
    return [
        f"note: the weights of {name} have layers that the network lacks: {', '.join(model.net.load_report.unused)}"
        for name, model in models.items()
        if model.net.load_report.unused
    ]


def settings(options: argparse.Namespace, models: dict[str, Model]) -> dict:
    """What the results depend on, as plain values; of files the SHA-256, so that they may move."""
    shared = {key: getattr(options, key) for key in ("protocol", "numerics", "precision", "quirks", "device")}
    files = {
        name: {"weights": _sha256(getattr(options, name)), "network": _sha256(_network(options, name))}
        for name in models
    }
    return {**shared, "models": files}


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _network(options: argparse.Namespace, name: str) -> Path:
    if name.endswith("_lrcn"):
        return options.lrcn_net or networks.path("lrcn.prototxt")
    return options.single_net or networks.path("single_frame.prototxt")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
