"""Make the synthetic scenes that the demo's captioning model is trained and tested on.

The commands that made the weights in lrcn/caption/demo, in the repository's folder:

    python scripts/make_scenes.py scenes
    for split in train test; do
        python scripts/prepare_captions.py scenes/$split.token --images scenes/$split --name $split -o scenes \\
            --vocabulary lrcn/caption/demo/vocabulary.txt --max-words 12 --streams 50
    done
    python scripts/train.py --solver lrcn/caption/demo/solver.prototxt --numerics fast
    cp scenes/demo_iter_4800.caffemodel lrcn/caption/demo/scenes.caffemodel
"""

import argparse
from pathlib import Path

from lrcn.caption.synthetic import SPLITS, write_scenes
from lrcn.cli import run


def main(argv: list[str] | None = None) -> int:
    """Make the pictures and their sentences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="receives SPLIT/*.png and SPLIT.token of each split")
    options = parser.parse_args(argv)
    for split in SPLITS:
        pictures = write_scenes(split, options.folder)
        print(f"{options.folder / split}: {len(pictures)} scenes")
    return 0


if __name__ == "__main__":
    run(main)
