#!/usr/bin/env python3
"""Convert trained weights between Caffe's files and PyTorch's, or list what a file holds."""

import argparse
from collections.abc import Sequence

from lrcn import cli
from lrcn.convert import describe, load_weights, restrict_to_net, save_weights
from prototxt_import import DIALECTS, read_net


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", metavar="IN", help=".caffemodel, .h5, .safetensors or .pt; the content decides")
    task = parser.add_argument_group("what to do, one or both")
    task.add_argument("--list", action="store_true", help="show layers, shapes, format and dialect")
    task.add_argument("-o", "--output", metavar="OUT", help=".safetensors, .h5, .pt, .caffemodel or .prototxt")
    options = parser.add_argument_group("options")
    options.add_argument("--net", metavar="PROTOTXT", help="write only the layers of this network, in its order")
    options.add_argument("--dialect", choices=DIALECTS, help="numbering of IN; by default, what its layers show")
    options.add_argument("--output-dialect", choices=DIALECTS, default="bvlc", help="numbering of OUT (%(default)s)")
    arguments = parser.parse_args(argv)
    if not arguments.list and not arguments.output:
        parser.error("nothing to do: give --list, -o OUT or both")

    weights = load_weights(arguments.weights, arguments.dialect)
    if arguments.net:
        weights, unused = restrict_to_net(weights, read_net(arguments.net))
        for name in unused:
            print(f"left out, not in {arguments.net}: {name}")
    if arguments.list:
        print(describe(weights))
    if arguments.output:
        for what, count in save_weights(arguments.output, weights, arguments.output_dialect).items():
            print(f"left out, not in dialect {arguments.output_dialect}: {what} ({count} times)")
        print(f"wrote {arguments.output}: {len(weights.layers)} layers, {len(list(weights.blobs()))} blobs")
    return 0


if __name__ == "__main__":
    cli.run(main)
