"""Class probabilities of all videos -> the paper's table, per-class numbers, pictures and one page that shows them."""

import base64
import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from prototxt_import import replacing

from .lists import UCF101_CLASSES, Video

KINDS = {"single": "Single frame", "lrcn": "LRCN"}
INPUTS = {"rgb": "RGB", "flow": "flow", "fusion_0.5": "1/2, 1/2", "fusion_0.33": "1/3, 2/3"}
FUSIONS = {"fusion_0.5": 0.5, "fusion_0.33": 0.33}
"""Weight of the RGB stream; the authors' "1/3" is 0.33."""

PAPER = (
    ("single", "arXiv v4, mean of 3 splits", {"rgb": 67.37, "flow": 74.37, "fusion_0.5": 75.46, "fusion_0.33": 78.94}),
    ("lrcn", "arXiv v4, mean of 3 splits", {"rgb": 68.20, "flow": 77.28, "fusion_0.5": 80.90, "fusion_0.33": 82.34}),
    ("lrcn", "CVPR 2015, split 1", {"rgb": 71, "fusion_0.33": 82.9}),
)
"""Published accuracy on UCF101 in percent: the model, the source, the numbers by input. The 71 is "about 71"."""

_GOOD, _BAD, _INK = "#2f7d5b", "#c2553d", "#1f2933"


def result_names() -> list[str]:
    """The names of all results there can be: "rgb_single", ..., "lrcn_fusion_0.33"."""
    return [result_name(kind, source) for kind in KINDS for source in INPUTS]


def result_name(kind: str, source: str) -> str:
    """The name of the result of `KINDS` and `INPUTS`: "rgb_lrcn", "lrcn_fusion_0.5"."""
    return f"{kind}_{source}" if source in FUSIONS else f"{source}_{kind}"


def result_title(name: str) -> str:
    """How a result is called in print: "LRCN, flow"."""
    titles = {result_name(kind, source): f"{KINDS[kind]}, {INPUTS[source]}" for kind in KINDS for source in INPUTS}
    return titles[name]


def with_fusions(means: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, dict[str, np.ndarray]]:
    """The models' class probabilities (by model and video) and those of the fusions that they allow.

    Fusion is p * RGB + (1 - p) * flow for p 0.5 and 0.33, of the videos that have both.
    """
    results = {}
    for kind in KINDS:
        rgb, flow = means.get(f"rgb_{kind}", {}), means.get(f"flow_{kind}", {})
        results |= {f"rgb_{kind}": dict(rgb), f"flow_{kind}": dict(flow)}
        for source, p in FUSIONS.items():
            results[result_name(kind, source)] = {
                video: p * rgb[video] + (1 - p) * flow[video] for video in rgb if video in flow
            }
    return {name: results[name] for name in result_names() if results[name]}


def summarize(
    videos: Sequence[Video],
    classes: Sequence[str],
    means: Mapping[str, Mapping[str, np.ndarray]],
    failures: Mapping[str, Mapping[str, str]],
    settings: Mapping,
) -> dict:
    """Everything that the report says, as plain values (this is report.json).

    classes: names of the classes; means: class probabilities (classes,) by model and video; failures: messages by
    video and model. `videos` of the summary are sorted by how wrong they are: by the probability of the true class in
    the result named `sorted_by`, least first; without labels by the probability of the winning class.
    """
    results = with_fusions(means)
    sorted_by = next((name for name in reversed(result_names()) if name in results), None)
    entries = []
    for video in videos:
        outcomes = {
            name: _outcome(results[name][video.name], video.label) for name in results if video.name in results[name]
        }
        if outcomes:
            truth = None if video.label is None else classes[video.label]
            entries.append({"name": video.name, "label": video.label, "class": truth, "results": outcomes})
    entries.sort(key=lambda entry: _confidence(entry, sorted_by))
    paper_applies = set(classes) == set(UCF101_CLASSES)
    return {
        "settings": dict(settings),
        "videos_listed": len(videos),
        "is_ucf101": paper_applies,
        "classes": list(classes),
        "results": {name: _score(name, entries, len(classes)) for name in results},
        "paper": [{"kind": kind, "source": source, "accuracy": dict(numbers)} for kind, source, numbers in PAPER],
        "failures": {video: dict(messages) for video, messages in failures.items()},
        "sorted_by": sorted_by,
        "videos": entries,
    }


def _outcome(probabilities: np.ndarray, label: int | None) -> dict:
    best = int(np.argmax(probabilities))
    outcome = {"label": best, "probability": float(probabilities[best])}
    if label is not None:
        of_truth = float(probabilities[label])
        outcome["true_class_probability"] = of_truth
        outcome["true_class_log_probability"] = math.log(of_truth) if of_truth > 0 else None
    return outcome


def _confidence(entry: dict, sorted_by: str) -> tuple[bool, float]:
    outcome = entry["results"].get(sorted_by)
    if outcome is None:
        return True, 0.0
    return False, outcome.get("true_class_probability", outcome["probability"])


def _score(name: str, entries: Sequence[dict], classes: int) -> dict:
    """Accuracy in percent over the labelled videos with this result, and the confusion counts [true][predicted]."""
    confusion = np.zeros((classes, classes), int)
    for entry in entries:
        if entry["label"] is not None and name in entry["results"]:
            confusion[entry["label"], entry["results"][name]["label"]] += 1
    labelled, correct = int(confusion.sum()), int(confusion.trace())
    per_class = [_percent(row[label], row.sum()) for label, row in enumerate(confusion)]
    return {
        "title": result_title(name),
        "videos": sum(name in entry["results"] for entry in entries),
        "labelled": labelled,
        "correct": correct,
        "accuracy": _percent(correct, labelled),
        "accuracy_per_class": per_class,
        "confusion": confusion.tolist(),
    }


def _percent(part: int, whole: int) -> float | None:
    return 100 * int(part) / int(whole) if whole else None


def table(summary: Mapping) -> str:
    """The accuracy of every result in the form of the paper's table, its numbers beside ours, as text."""
    lines = [["", *INPUTS.values(), ""]]
    for kind, title in KINDS.items():
        names = [result_name(kind, source) for source in INPUTS]
        if not any(name in summary["results"] for name in names):
            continue
        accuracies = [summary["results"].get(name, {}).get("accuracy") for name in names]
        lines.append([title, *(_number(value) for value in accuracies), ""])
        for row in summary["paper"]:
            if row["kind"] == kind:
                published = (_number(row["accuracy"].get(source)) for source in INPUTS)
                lines.append(["  published", *published, row["source"]])
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]) - 1)]
    rows = ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:-1], widths[1:]), line[-1]]) for line in lines]
    text = "\n".join(row.rstrip() for row in rows)
    if not summary["is_ucf101"]:
        text += "\nThe published numbers are of UCF101; these classes are others."
    return text


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def top_classes(probabilities: np.ndarray, classes: Sequence[str], count: int = 5) -> list[tuple[str, float]]:
    """The `count` most probable classes, most probable first: (name, probability)."""
    order = np.argsort(-probabilities, kind="stable")[:count]
    return [(classes[label], float(probabilities[label])) for label in order]


def write_report(summary: Mapping, folder: str | Path) -> None:
    """Write report.json, per_class.csv, two pictures per result (where there are labels) and index.html to `folder`.

    index.html holds its pictures, so that it can be sent by itself.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "report.json", json.dumps(summary).encode())
    _write(folder / "per_class.csv", _per_class_csv(summary).encode())
    pictures = {}
    for name, score in summary["results"].items():
        if score["labelled"]:
            pictures[name] = {
                "confusion": _confusion_picture(score, summary["classes"]),
                "per_class": _per_class_picture(score, summary["classes"]),
            }
            for kind, content in pictures[name].items():
                _write(folder / f"{kind}_{name}.png", content)
    page = _page(summary, pictures)
    _write(folder / "index.html", page.encode())


def _per_class_csv(summary: Mapping) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["label", "class", "videos", *summary["results"]])
    labels = [entry["label"] for entry in summary["videos"]]
    for label, name in enumerate(summary["classes"]):
        accuracies = [score["accuracy_per_class"][label] for score in summary["results"].values()]
        writer.writerow([label, name, labels.count(label), *("" if a is None else f"{a:.2f}" for a in accuracies)])
    return text.getvalue()


def _page(summary: Mapping, pictures: Mapping) -> str:
    environment = Environment(
        loader=PackageLoader("lrcn.activity"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    embedded = {
        name: {kind: base64.b64encode(content).decode() for kind, content in kinds.items()}
        for name, kinds in pictures.items()
    }
    names = {kind: {source: result_name(kind, source) for source in INPUTS} for kind in KINDS}
    return environment.get_template("report.html").render(
        summary=summary, pictures=embedded, kinds=KINDS, inputs=INPUTS, names=names
    )


def _confusion_picture(score: Mapping, classes: Sequence[str]) -> bytes:
    counts = np.array(score["confusion"], float)
    present = np.flatnonzero(counts.sum(axis=0) + counts.sum(axis=1))
    counts = counts[np.ix_(present, present)]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = float(np.clip(2.5 + 0.4 * len(present), 4.5, 13))
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="BuGn", vmin=0, vmax=1)
    font = float(np.clip(600 / max(len(present), 1), 6, 10))
    labels = [classes[label] for label in present]
    axes.set_xticks(range(len(present)), labels, rotation=90, fontsize=font)
    axes.set_yticks(range(len(present)), labels, fontsize=font)
    if len(present) <= 25:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                colour = "white" if shares[row, column] > 0.55 else _INK
                axes.text(column, row, f"{count:.0f}", ha="center", va="center", fontsize=9, color=colour)
    axes.set(xlabel="predicted", ylabel="true")
    axes.set_title(f"{score['title']}: {score['accuracy']:.2f} %", fontsize=11)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return _png(figure)


def _per_class_picture(score: Mapping, classes: Sequence[str]) -> bytes:
    bars = [
        (accuracy, name)
        for accuracy, name in zip(score["accuracy_per_class"], classes, strict=True)
        if accuracy is not None
    ]
    bars.sort(key=lambda bar: -bar[0])
    accuracies, names = zip(*bars, strict=True)
    figure = Figure(figsize=(float(np.clip(1.5 + 0.5 * len(bars), 5, 13)), 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.bar(range(len(bars)), accuracies, color=[_GOOD if a >= 50 else _BAD for a in accuracies], width=0.72)
    axes.axhline(score["accuracy"], color=_INK, linewidth=1, linestyle=":")
    axes.set_xticks(range(len(bars)), names, rotation=90, fontsize=float(np.clip(600 / len(bars), 6, 10)))
    axes.set(xlim=(-0.7, len(bars) - 0.3), ylim=(0, 100), ylabel="videos classified correctly, %")
    axes.set_title(f"{score['title']}: per class (dotted: all videos)", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="x", length=0)
    return _png(figure)


def write_strip(
    path: str | Path, frames: Sequence[np.ndarray], curves: Mapping[str, np.ndarray], classes: Sequence[str]
) -> None:
    """Write a PNG: eight frames side by side, and below them each model's five most probable classes over time.

    frames: (rows, columns, RGB) uint8; curves: class probabilities (frames, classes) by the title to give them.
    """
    figure = Figure(figsize=(12, 1.6 + 2.1 * len(curves)), layout="constrained")
    grid = figure.add_gridspec(1 + len(curves), 1, height_ratios=[1.3, *[2] * len(curves)])
    shown = np.unique(np.linspace(0, len(frames) - 1, 8).round().astype(int))
    strip = figure.add_subplot(grid[0])
    strip.imshow(np.concatenate([frames[index] for index in shown], axis=1))
    width = frames[0].shape[1]
    strip.set_xticks([width * (place + 0.5) for place in range(len(shown))], [f"frame {index + 1}" for index in shown])
    strip.set_yticks([])
    strip.tick_params(length=0, labelsize=8)
    strip.spines[:].set_visible(False)
    for row, (title, probabilities) in enumerate(curves.items(), start=1):
        axes = figure.add_subplot(grid[row])
        time = np.arange(1, len(probabilities) + 1)
        for name, _ in top_classes(probabilities.mean(axis=0), classes):
            axes.plot(time, probabilities[:, classes.index(name)], linewidth=1.8, label=name)
        axes.set(xlim=(1, max(len(probabilities), 2)), ylim=(0, 1), ylabel="probability")
        axes.set_title(title, fontsize=10, loc="left")
        axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.25)
    _write(Path(path), _png(figure))


def _png(figure: Figure) -> bytes:
    FigureCanvasAgg(figure)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    return content.getvalue()


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(content)
