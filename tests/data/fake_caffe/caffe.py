"""As much of pycaffe as dump_caffe.py uses, with one network: data -> fc (InnerProduct, no bias) -> ReLU in place.

Stands in for a Caffe build, which the tests cannot have. Weights and inputs of the tests are small integers, so that
every order of the sums gives the same bits. Runs under Python 2.7 too.
"""

from collections import OrderedDict

import numpy as np

TRAIN, TEST = 0, 1
__version__ = "fake"


def set_mode_cpu():
    pass


class Blob:
    def __init__(self, *shape):
        self.reshape(*shape)

    def reshape(self, *shape):
        self.data = np.zeros(shape, np.float32)
        self.diff = np.zeros(shape, np.float32)


class Net:
    def __init__(self, path, phase):
        assert phase == TEST
        self.inputs = ["data"]
        self.blobs = OrderedDict([("data", Blob(2, 3)), ("fc", Blob(2, 4))])
        self.params = OrderedDict([("fc", [Blob(4, 3)])])
        self.params["fc"][0].data[...] = np.arange(12).reshape(4, 3) - 6
        self.file = b""

    def copy_from(self, path):
        with open(path, "rb") as file:
            self.file = file.read()

    def save(self, path):
        with open(path, "wb") as file:
            file.write(self.file)

    def forward(self):
        data, weight = self.blobs["data"].data, self.params["fc"][0].data
        self.blobs["fc"].reshape(len(data), 4)
        self.blobs["fc"].data[...] = np.maximum(data.dot(weight.T), 0)

    def backward(self):
        self.blobs["fc"].diff[self.blobs["fc"].data <= 0] = 0
        self.params["fc"][0].diff[...] += self.blobs["fc"].diff.T.dot(self.blobs["data"].data)
        self.blobs["data"].diff[...] = self.blobs["fc"].diff.dot(self.params["fc"][0].data)
