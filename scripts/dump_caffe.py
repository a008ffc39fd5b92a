"""Record what a Caffe computes, as a case for compare_caffe.py. Runs under that Caffe: Python 2.7 or 3, pycaffe, h5py.

INPUTS is an .npz or .h5 file with one array per input blob of the network:
    BLOB                        one forward pass
    step_000/BLOB, ...          several passes, one after the other, recurrent state carrying over; an input that a
                                step does not list keeps its value
With --backward, entries [step_000/]top_diff/BLOB set the gradient of an output before the backward pass; without any
the pass starts from the losses of the network and their weights.
CASE becomes a folder with net.prototxt, weights.caffemodel (as this Caffe saves it) and dump.h5. OpenBLAS gives the
recorded bits on any machine only with OPENBLAS_NUM_THREADS=1 and a fixed OPENBLAS_CORETYPE (lrcn assumes Haswell).
"""

from __future__ import print_function

import argparse
import os
import re
import shutil
import sys
import zipfile

import h5py
import numpy as np

FORMAT = 1


class InputError(Exception):
    """A problem with what the user gave; its message says what to do."""


def read_inputs(path):
    """Read the .npz or .h5 file: {step name: {entry: float32 array}}, the entry being BLOB or top_diff/BLOB."""
    arrays = {}
    if path.endswith(".npz"):
        with np.load(path) as archive:
            arrays.update((name, archive[name]) for name in archive.files)
    elif path.endswith((".h5", ".hdf5")):
        with h5py.File(path, "r") as file:

            def take(name, item):
                if isinstance(item, h5py.Dataset):
                    arrays[name] = item[()]

            file.visititems(take)
    else:
        raise InputError("%s: expected a file ending in .npz, .h5 or .hdf5" % path)
    steps = {}
    for name, array in arrays.items():
        step, entry = re.match(r"(?:(step_\d+)/)?(.+)$", name).groups()
        steps.setdefault(step, {})[entry] = np.asarray(array, np.float32)
    if not steps:
        raise InputError("%s: expected an array per input blob, found none" % path)
    if None in steps:
        if len(steps) > 1:
            raise InputError("%s: %r is in no step, others are; put all into steps" % (path, sorted(steps[None])[0]))
        steps = {"step_000": steps[None]}
    return steps


def write_case(folder, net, net_path, steps, attributes, backward):
    """Run the passes of `steps` (see `read_inputs`) on `net` and write the case into `folder`, which must be new."""
    unfinished = "%s.%d.unfinished" % (folder.rstrip(os.sep), os.getpid())
    os.makedirs(unfinished)
    try:
        shutil.copy(net_path, os.path.join(unfinished, "net.prototxt"))
        net.save(os.path.join(unfinished, "weights.caffemodel"))
        with h5py.File(os.path.join(unfinished, "dump.h5"), "w") as dump:
            dump.attrs["format"] = FORMAT
            for name, value in attributes.items():
                dump.attrs[name] = value
            for index, step in enumerate(sorted(steps, key=lambda name: int(name[len("step_") :]))):
                record_pass(net, steps[step], dump.create_group("step_%03d" % index), backward)
        os.rename(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def record_pass(net, entries, group, backward):
    """Set the inputs of one step, run it and write its input/, data/ and, with `backward`, gradient groups."""
    top_diffs = {}
    for entry, array in sorted(entries.items()):
        if entry.startswith("top_diff/"):
            top_diffs[entry[len("top_diff/") :]] = array
            continue
        if entry not in net.inputs:
            raise InputError(
                "%s: %r is no input of the network; its inputs are: %s" % (group.name, entry, ", ".join(net.inputs))
            )
        net.blobs[entry].reshape(*array.shape)
        net.blobs[entry].data[...] = array
        group["input/" + entry] = array
    net.forward()
    for name, blob in net.blobs.items():
        if name not in net.inputs:
            group["data/" + name] = blob.data
    if backward:
        record_gradients(net, top_diffs, group)
    elif top_diffs:
        raise InputError("%s: has top_diff entries; they need --backward" % group.name)


def record_gradients(net, top_diffs, group):
    """Run the backward pass from `top_diffs` or the losses; write the gradients of all blobs and parameters."""
    for blobs in net.params.values():
        for blob in blobs:
            blob.diff[...] = 0
    for name, array in top_diffs.items():
        if name not in net.blobs or net.blobs[name].diff.shape != array.shape:
            raise InputError("%s: top_diff/%s: the network has no blob of that name and shape" % (group.name, name))
        net.blobs[name].diff[...] = array
        group["top_diff/" + name] = array
    net.backward()
    for name, blob in net.blobs.items():
        if name not in top_diffs:
            group["diff/" + name] = blob.diff
    for layer, blobs in net.params.items():
        for index, blob in enumerate(blobs):
            group["param_diff/%s/%d" % (layer, index)] = blob.diff


def import_caffe():
    """The caffe module, on the CPU and without its log of every layer, which would hide the result."""
    os.environ.setdefault("GLOG_minloglevel", "2")  # read when the module is imported
    try:
        import caffe
    except ImportError as error:
        raise InputError("cannot import caffe (%s); add its python folder to PYTHONPATH" % error)
    caffe.set_mode_cpu()
    return caffe


def main(argv=None):
    """Parse the command line, run Caffe on the CPU and write the case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", required=True, help="network definition (prototxt)")
    parser.add_argument("--weights", help="weights (.caffemodel); without them the network's fillers are used")
    parser.add_argument("--inputs", required=True, help="input blobs (.npz or .h5), see above")
    parser.add_argument("-o", "--output", required=True, metavar="CASE", help="folder to write; must not exist yet")
    parser.add_argument("--phase", choices=("TEST", "TRAIN"), default="TEST", help="default: %(default)s")
    parser.add_argument("--backward", action="store_true", help="also run and record the backward pass of each step")
    parser.add_argument("--engine", help="name of this Caffe in the record; default: its version")
    parser.add_argument("--note", default="", help="free text in the record")
    arguments = parser.parse_args(argv)
    try:
        for path in (arguments.net, arguments.weights, arguments.inputs):
            if path is not None and not os.path.isfile(path):
                raise InputError("%s: no such file" % path)
        if os.path.exists(arguments.output):
            raise InputError("%s: exists already; remove it or choose another name" % arguments.output)
        steps = read_inputs(arguments.inputs)
        caffe = import_caffe()
        net = caffe.Net(arguments.net, getattr(caffe, arguments.phase))
        if arguments.weights is not None:
            net.copy_from(arguments.weights)
        attributes = {
            "engine": arguments.engine or "caffe-%s" % getattr(caffe, "__version__", "unknown"),
            "phase": arguments.phase,
            "blas": ", ".join(
                "%s=%s" % (name, os.environ.get(name, "unset"))
                for name in ("OPENBLAS_CORETYPE", "OPENBLAS_NUM_THREADS")
            ),
            "note": arguments.note,
        }
        write_case(arguments.output, net, arguments.net, steps, attributes, arguments.backward)
    except (InputError, IOError, OSError, ValueError, zipfile.BadZipfile) as error:
        print("error: %s" % error, file=sys.stderr)
        return 2
    print("%s: %d step%s recorded" % (arguments.output, len(steps), "" if len(steps) == 1 else "s"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
