"""Every layer type over random shapes and settings, both numerics against references written here in float64.

The references follow Caffe's definitions literally, in loops and numpy. The recorded cases hold the bits; these tests
hold the settings that no recorded case has.
"""

import itertools
from collections.abc import Iterable

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import lrcn
from prototxt_import import LayerWeights, Weights, parse_net

NUMERICS = ("exact", "fast")
FLOAT32_SUM = 2e-6  # relative to the magnitudes of the terms: some hundred of them, summed in any order

examples = settings(max_examples=25, deadline=None)  # the first call of a layer may be slow
seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 4)


def shapes(axes: int | tuple[int, int]) -> st.SearchStrategy:
    fewest, most = (axes, axes) if isinstance(axes, int) else axes
    return st.lists(sizes, min_size=fewest, max_size=most).map(tuple)


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def layer(type_name: str, bottom: Iterable[str] = ("x",), top: Iterable[str] = ("y",), **parameters: dict) -> str:
    """The prototxt of a layer, called as its type, with settings such as `pooling_param={"pool": "MAX"}`."""
    fields = [f'bottom: "{name}"' for name in bottom] + [f'top: "{name}"' for name in top]
    for message, settings_of_message in parameters.items():
        written = [
            f"{key}: {str(value).lower() if isinstance(value, bool) else value}"
            for key, values in settings_of_message.items()
            for value in (values if isinstance(values, list) else [values])
        ]
        fields.append(f"{message} {{ {' '.join(written)} }}")
    return f'layer {{ name: "{type_name}" type: "{type_name}" {" ".join(fields)} }}'


def make_net(layers: str, inputs: dict, blobs: list, numerics: str) -> lrcn.Net:
    """The network of these layers, with an input of the shape of each of `inputs`; with `blobs` in the first layer."""
    declared = "".join(
        f'input: "{name}" input_shape {{ {" ".join(f"dim: {size}" for size in value.shape)} }}\n'
        for name, value in inputs.items()
    )
    definition = parse_net(declared + layers)
    first = definition.layer[1]  # after the Input layer
    weights = Weights("random", [LayerWeights(first.name, first.type, blobs)] if blobs else [])
    return lrcn.Net(definition, weights, numerics=numerics)


def check(layers: str, inputs: dict, expected: dict, blobs: Iterable = (), tolerance=FLOAT32_SUM, terms=0):
    """Both numerics give `expected`, by name of the output blob, within `tolerance`.

    The tolerance is relative to the largest magnitude of the blob or, where values are sums whose terms may cancel,
    of `terms`, the sums of the magnitudes.
    """
    for numerics in NUMERICS:
        out = make_net(layers, inputs, list(blobs), numerics)(**inputs, blobs=list(expected))
        for name, reference in expected.items():
            found = out[name].detach().numpy()
            assert found.dtype == np.float32
            assert found.shape == np.shape(reference), (numerics, name)
            largest = max(np.max(np.abs(reference)), np.max(terms))
            np.testing.assert_allclose(
                found, reference, rtol=0, atol=tolerance * largest, err_msg=f"{numerics}, {name}: {layers}"
            )


def windows(length: int, kernel: int, stride: int, pad: int, dilation: int = 1) -> range:
    """Where the windows of a convolution begin along one axis, in the coordinates of the unpadded image."""
    return range(-pad, length + pad - (dilation * (kernel - 1) + 1) + 1, stride)


@examples
@given(seeds, st.data())
def test_convolution(seed, data):
    group = data.draw(st.integers(1, 3))
    images, inputs, outputs = data.draw(sizes), group * data.draw(sizes), group * data.draw(sizes)
    kernel, stride, pad, dilation = (
        data.draw(st.tuples(st.integers(low, high), st.integers(low, high)))
        for low, high in ((1, 4), (1, 3), (0, 3), (1, 2))
    )
    extent = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    rows, columns = (max(e - 2 * p, 1) + data.draw(st.integers(0, 5)) for e, p in zip(extent, pad, strict=True))
    bias = data.draw(st.booleans())
    x, weight = normal(seed, images, inputs, rows, columns), normal(seed + 1, outputs, inputs // group, *kernel)
    b = normal(seed + 2, outputs)

    tops = windows(rows, kernel[0], stride[0], pad[0], dilation[0])
    lefts = windows(columns, kernel[1], stride[1], pad[1], dilation[1])

    def convolved(x, weight, b):
        padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (pad[0],) * 2, (pad[1],) * 2))
        y = np.zeros((images, outputs, len(tops), len(lefts)))
        for o, (i, top), (j, left) in itertools.product(range(outputs), enumerate(tops), enumerate(lefts)):
            first = o // (outputs // group) * (inputs // group)
            window = padded[
                :,
                first : first + inputs // group,
                top + pad[0] : top + pad[0] + extent[0] : dilation[0],
                left + pad[1] : left + pad[1] + extent[1] : dilation[1],
            ]
            y[:, o, i, j] = (window * weight[o]).sum((1, 2, 3)) + bias * float(b[o])
        return y

    parameters = {
        **{"num_output": outputs, "group": group, "bias_term": bias, "dilation": list(dilation)},
        **{"kernel_h": kernel[0], "kernel_w": kernel[1], "stride_h": stride[0], "stride_w": stride[1]},
        **{"pad_h": pad[0], "pad_w": pad[1]},
    }
    blobs = [weight, b] if bias else [weight]
    expected, terms = convolved(x, weight, b), convolved(*map(np.abs, (x, weight, b)))
    check(layer("Convolution", convolution_param=parameters), {"x": x}, {"y": expected}, blobs, terms=terms)


def pooled_size(length: int, kernel: int, stride: int, pad: int, padded_axes: bool) -> int:
    size = -(-(length + 2 * pad - kernel) // stride) + 1
    return size - 1 if padded_axes and (size - 1) * stride >= length + pad else size


@examples
@given(seeds, st.sampled_from(["MAX", "AVE"]), st.data())
def test_pooling(seed, method, data):
    images, channels = data.draw(sizes), data.draw(sizes)
    kernel = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    stride = tuple(data.draw(st.integers(1, 4)) for _ in kernel)
    pad = tuple(data.draw(st.integers(0, size - 1)) for size in kernel)
    shape = tuple(max(k - 2 * p, 1) + data.draw(st.integers(0, 8)) for k, p in zip(kernel, pad, strict=True))
    x = normal(seed, images, channels, *shape)
    pooled = [pooled_size(*axis, any(pad)) for axis in zip(shape, kernel, stride, pad, strict=True)]
    # Without padding Caffe leaves windows beyond the image in place, and they hold nothing.
    assume(all((size - 1) * s < length + p for size, s, length, p in zip(pooled, stride, shape, pad, strict=True)))

    expected = np.zeros((images, channels, *pooled))
    for i, j in itertools.product(*map(range, pooled)):
        begin = [n * s - p for n, s, p in zip((i, j), stride, pad, strict=True)]
        end = [min(b + k, length + p) for b, k, length, p in zip(begin, kernel, shape, pad, strict=True)]
        inside = x[:, :, max(begin[0], 0) : end[0], max(begin[1], 0) : end[1]].astype(np.float64)
        if method == "MAX":
            expected[:, :, i, j] = inside.max((2, 3))
        else:
            expected[:, :, i, j] = inside.sum((2, 3)) / np.prod(np.subtract(end, begin))
    parameters = {
        **{"pool": method, "kernel_h": kernel[0], "kernel_w": kernel[1]},
        **{"stride_h": stride[0], "stride_w": stride[1], "pad_h": pad[0], "pad_w": pad[1]},
    }
    check(layer("Pooling", pooling_param=parameters), {"x": x}, {"y": expected}, terms=np.abs(x))


@examples
@given(seeds, shapes(4), st.sampled_from(["MAX", "AVE"]))
def test_global_pooling(seed, shape, method):
    x = normal(seed, *shape)
    expected = (np.max if method == "MAX" else np.mean)(x.astype(np.float64), axis=(2, 3), keepdims=True)
    parameters = {"pool": method, "global_pooling": True}
    check(layer("Pooling", pooling_param=parameters), {"x": x}, {"y": expected}, terms=np.abs(x))


@examples
@given(
    seeds,
    st.tuples(sizes, st.integers(1, 12), st.integers(1, 7), st.integers(1, 7)),
    st.sampled_from([1, 3, 5]),
    st.sampled_from([1e-4, 0.5, 1]),
    st.sampled_from([0.75, 0.5, 1, 2]),
    st.sampled_from([1, 2]),
    st.booleans(),
)
def test_lrn(seed, shape, size, alpha, beta, k, across):
    x = normal(seed, *shape)
    squares = x.astype(np.float64) ** 2
    half = size // 2
    if across:
        padded = np.pad(squares, ((0, 0), (half, half), (0, 0), (0, 0)))
        sums = sum(padded[:, i : i + shape[1]] for i in range(size))
        scale = k + alpha / size * sums
    else:
        padded = np.pad(squares, ((0, 0), (0, 0), (half, half), (half, half)))
        sums = sum(padded[:, :, i : i + shape[2], j : j + shape[3]] for i in range(size) for j in range(size))
        scale = 1 + alpha / size**2 * sums
    region = "ACROSS_CHANNELS" if across else "WITHIN_CHANNEL"
    parameters = {"local_size": size, "alpha": alpha, "beta": beta, "k": k, "norm_region": region}
    check(layer("LRN", lrn_param=parameters), {"x": x}, {"y": x * scale**-beta})


@examples
@given(seeds, shapes((1, 4)), st.data())
def test_inner_product(seed, shape, data):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    transpose, bias, outputs = data.draw(st.booleans()), data.draw(st.booleans()), data.draw(st.integers(1, 9))
    x = normal(seed, *shape)
    outer, inner = shape[: axis % len(shape)], int(np.prod(shape[axis % len(shape) :]))
    weight, b = normal(seed + 1, outputs, inner), normal(seed + 2, outputs)
    rows = x.astype(np.float64).reshape(*outer, inner)
    expected, terms = rows @ weight.T + bias * b, np.abs(rows) @ np.abs(weight.T) + np.abs(b)
    stored = np.ascontiguousarray(weight.T) if transpose else weight
    parameters = {"num_output": outputs, "axis": axis, "transpose": transpose, "bias_term": bias}
    blobs = [stored, b] if bias else [stored]
    check(layer("InnerProduct", inner_product_param=parameters), {"x": x}, {"y": expected}, blobs, terms=terms)


@examples
@given(seeds, shapes((1, 4)), st.integers(2, 4), st.sampled_from(["SUM", "PROD", "MAX"]), st.booleans())
def test_eltwise(seed, shape, bottoms, operation, with_coefficients):
    inputs = {f"x{i}": normal(seed + i, *shape) for i in range(bottoms)}
    coefficients = [1, -0.5, 0, 3][:bottoms] if with_coefficients and operation == "SUM" else [1] * bottoms
    values = [c * x.astype(np.float64) for c, x in zip(coefficients, inputs.values(), strict=True)]
    expected = {"SUM": np.sum, "PROD": np.prod, "MAX": np.max}[operation](values, axis=0)
    parameters = {"operation": operation}
    if with_coefficients and operation == "SUM":
        parameters["coeff"] = coefficients
    check(layer("Eltwise", inputs, eltwise_param=parameters), inputs, {"y": expected}, terms=np.abs(values))


@examples
@given(seeds, shapes((1, 4)), st.integers(1, 3), st.data())
def test_concat(seed, shape, bottoms, data):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    inputs = {}
    for i in range(bottoms):
        own = list(shape)
        own[axis] = data.draw(sizes)
        inputs[f"x{i}"] = normal(seed + i, *own)
    expected = np.concatenate(list(inputs.values()), axis)
    check(layer("Concat", inputs, concat_param={"axis": axis}), inputs, {"y": expected}, tolerance=0)


@examples
@given(seeds, shapes((1, 4)), st.data())
def test_slice(seed, shape, data):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    parts = data.draw(st.lists(sizes, min_size=1, max_size=4))
    if data.draw(st.booleans()):
        parts, points = [parts[0]] * len(parts), []  # equal parts need no slice_point
    else:
        points = np.cumsum(parts)[:-1].tolist()
    own = list(shape)
    own[axis] = sum(parts)
    x = normal(seed, *own)
    expected = {f"y{i}": part for i, part in enumerate(np.split(x, np.cumsum(parts)[:-1], axis))}
    parameters = {"axis": axis, "slice_point": points}
    check(layer("Slice", top=expected, slice_param=parameters), {"x": x}, expected, tolerance=0)


@examples
@given(seeds, shapes((1, 4)), st.booleans(), st.booleans(), st.data())
def test_scale(seed, shape, learned, bias, data):
    axis = data.draw(st.integers(0, len(shape) - 1))
    axes = data.draw(st.integers(0, len(shape) - axis))
    written_axes = -1 if learned and axes == len(shape) - axis else axes
    written_axis = axis - len(shape) if data.draw(st.booleans()) else axis
    x, scale, b = (normal(seed + i, *own) for i, own in enumerate([shape, *[shape[axis : axis + axes]] * 2]))

    def spread(values):
        values = np.asarray(values, np.float64)
        return values.reshape(*[1] * axis, *values.shape, *[1] * (len(shape) - axis - axes)) if axes else values

    expected = x * spread(scale) + (spread(b) if bias else 0)
    parameters = {"axis": written_axis, "num_axes": written_axes, "bias_term": bias}
    inputs = {"x": x} if learned else {"x": x, "scale": scale}
    blobs = [scale] * learned + [b] * bias
    check(layer("Scale", inputs, scale_param=parameters), inputs, {"y": expected}, blobs, terms=np.abs(b))


@examples
@given(seeds, shapes((1, 4)), st.sampled_from(["SUM", "ASUM", "SUMSQ", "MEAN"]), st.sampled_from([1, -2.5]), st.data())
def test_reduction(seed, shape, operation, coefficient, data):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    x = normal(seed, *shape)
    flat = x.astype(np.float64).reshape(*shape[: axis % len(shape)], -1)
    value = {"SUM": flat, "ASUM": np.abs(flat), "SUMSQ": flat**2, "MEAN": flat / flat.shape[-1]}[operation]
    expected, terms = coefficient * value.sum(-1), abs(coefficient) * np.abs(value).sum(-1)
    parameters = {"operation": operation, "axis": axis, "coeff": coefficient}
    check(layer("Reduction", reduction_param=parameters), {"x": x}, {"y": expected}, terms=terms)


@examples
@given(seeds, shapes((2, 4)), st.booleans(), st.booleans(), st.booleans(), st.data())
def test_argmax(seed, shape, with_axis, values, with_ties, data):
    x = normal(seed, *shape)
    if with_ties:
        x = np.round(x)
    if with_axis:
        axis = data.draw(st.integers(-len(shape), len(shape) - 1))
        top_k = data.draw(st.integers(1, shape[axis]))
        rows = np.moveaxis(x, axis, -1)
    else:
        axis, rows = None, x.reshape(shape[0], -1)
        top_k = data.draw(st.integers(1, rows.shape[1]))
    # Pairs (value, index) in falling order: of equal values the last comes first.
    order = np.lexsort([np.broadcast_to(np.arange(rows.shape[-1]), rows.shape), rows])[..., ::-1][..., :top_k]
    best = np.take_along_axis(rows, order, -1)
    if with_axis:
        expected = np.moveaxis(best if values else order, -1, axis)
    else:
        found = np.stack([order, best], 1) if values else order[:, None, :]
        expected = found.reshape(*found.shape, *[1] * (len(shape) - 3)) if len(shape) > 3 else found
    parameters = {"top_k": top_k, "out_max_val": values} | ({"axis": axis} if with_axis else {})
    expected = expected.astype(np.float32)
    check(layer("ArgMax", argmax_param=parameters), {"x": x}, {"y": expected}, tolerance=0)


def classes_last(x: np.ndarray, axis: int) -> np.ndarray:
    return np.moveaxis(x.astype(np.float64), axis, -1)


@examples
@given(seeds, shapes((2, 4)), st.booleans(), st.booleans(), st.data())
def test_accuracy(seed, shape, ignoring, with_ties, data):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    x = normal(seed, *shape)
    if with_ties:
        x = np.round(x)
    rows = classes_last(x, axis)
    classes = rows.shape[-1]
    top_k = data.draw(st.integers(1, classes))
    label = np.random.default_rng(seed + 1).integers(-1 if ignoring else 0, classes, rows.shape[:-1])
    right = np.zeros(classes)
    of_class = np.zeros(classes)
    for row, true in zip(rows.reshape(-1, classes), label.ravel(), strict=True):
        if true >= 0:
            of_class[true] += 1
            right[true] += (row >= row[true]).sum() <= top_k  # a tie counts against the true class
    expected = right.sum() / max(of_class.sum(), 1)
    parameters = {"top_k": top_k, "axis": axis} | ({"ignore_label": -1} if ignoring else {})
    inputs = {"x": x, "label": label.astype(np.float32)}
    outputs = {"all": np.float64(expected), "each": right / np.maximum(of_class, 1)}
    check(layer("Accuracy", inputs, outputs, accuracy_param=parameters), inputs, outputs)


def softmax(rows: np.ndarray) -> np.ndarray:
    """Softmax over the last axis."""
    powers = np.exp(rows - rows.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


@examples
@given(seeds, shapes((1, 4)), st.sampled_from([0.1, 1, 30]), st.data())
def test_softmax(seed, shape, spread, data):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    x = normal(seed, *shape) * np.float32(spread)
    expected = np.moveaxis(softmax(classes_last(x, axis)), -1, axis)
    check(layer("Softmax", softmax_param={"axis": axis}), {"x": x}, {"y": expected}, tolerance=1e-5)


@examples
@given(
    seeds,
    shapes((2, 4)),
    st.booleans(),
    st.sampled_from([None, "FULL", "VALID", "BATCH_SIZE", "NONE"]),
    st.sampled_from([None, True, False]),
    st.data(),
)
def test_softmax_with_loss(seed, shape, ignoring, normalization, normalize, data):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    x = normal(seed, *shape)
    rows = classes_last(x, axis)
    label = np.random.default_rng(seed + 1).integers(-1 if ignoring else 0, rows.shape[-1], rows.shape[:-1])
    probabilities = softmax(rows)
    picked = np.take_along_axis(probabilities, np.maximum(label, 0)[..., None], -1)[..., 0]
    total = -(np.log(picked) * (label >= 0)).sum()
    mode = normalization or ("BATCH_SIZE" if normalize is False else "VALID")
    outer = int(np.prod(shape[: axis % len(shape)]))
    divisor = {"FULL": label.size, "VALID": (label >= 0).sum(), "BATCH_SIZE": outer, "NONE": 1}[mode]
    loss_param = {"normalization": normalization, "normalize": normalize, "ignore_label": -1 if ignoring else None}
    loss_param = {key: value for key, value in loss_param.items() if value is not None}
    inputs = {"x": x, "label": label.astype(np.float32)}
    outputs = {"loss": np.float64(total / max(divisor, 1)), "p": np.moveaxis(probabilities, -1, axis)}
    definition = layer("SoftmaxWithLoss", inputs, outputs, softmax_param={"axis": axis}, loss_param=loss_param)
    check(definition, inputs, outputs, tolerance=1e-5)


@examples
@given(seeds, shapes((1, 4)))
def test_euclidean_loss(seed, shape):
    a, b = normal(seed, *shape), normal(seed + 1, *shape)
    expected = ((a.astype(np.float64) - b) ** 2).sum() / shape[0] / 2
    check(layer("EuclideanLoss", "ab"), {"a": a, "b": b}, {"y": np.float64(expected)})


@examples
@given(
    seeds,
    shapes((1, 4)),
    st.sampled_from([0, 0.5, 1, 2, 3, -1, -0.75]),
    st.sampled_from([0, 1, -0.5, 2]),
    st.sampled_from([0, 1, -1.5]),
)
def test_power(seed, shape, power, scale, shift):
    x = normal(seed, *shape)
    with np.errstate(all="ignore"):
        expected = (
            np.full(shape, 1.0 if power == 0 else np.float64(shift) ** power)
            if power * scale == 0
            else (shift + scale * x.astype(np.float64)) ** power
        )
    definition = layer("Power", power_param={"power": power, "scale": scale, "shift": shift})
    # Near a pole the rounding of shift + scale * x is magnified: allow for what float32 knows of the base.
    with np.errstate(all="ignore"):
        magnified = abs(power) * (abs(shift) + np.abs(scale * x)) / np.abs(shift + scale * x.astype(np.float64))
    slack = 1e-6 * (1 + (np.zeros(shape) if power * scale == 0 else magnified))
    assume(np.all(slack < 1e-2))
    for numerics in NUMERICS:
        found = make_net(definition, {"x": x}, [], numerics)(x=x)["y"].detach().numpy()
        same = (found == expected) | np.isnan(found) & np.isnan(expected)  # infinities too
        with np.errstate(invalid="ignore"):
            assert np.all(same | (np.abs(found - expected) <= slack * np.abs(expected))), (numerics, definition)


@examples
@given(seeds, shapes((1, 4)), st.sampled_from(["ReLU", "ReLU with slope", "Sigmoid", "TanH", "Dropout", "Split"]))
def test_neurons(seed, shape, kind):
    x = normal(seed, *shape) * np.float32(3)
    wide = x.astype(np.float64)
    definition, expected = {
        "ReLU": (layer("ReLU"), np.maximum(wide, 0)),
        "ReLU with slope": (layer("ReLU", relu_param={"negative_slope": 0.1}), np.where(wide > 0, wide, 0.1 * wide)),
        "Sigmoid": (layer("Sigmoid"), sigmoid(wide)),
        "TanH": (layer("TanH"), np.tanh(wide)),
        "Dropout": (layer("Dropout", dropout_param={"dropout_ratio": 0.9}), wide),  # phase TEST
        "Split": (layer("Split"), wide),
    }[kind]
    check(definition, {"x": x}, {"y": expected})


@examples
@given(seeds, shapes((1, 4)), st.data())
def test_flatten(seed, shape, data):
    axis = data.draw(st.integers(0, len(shape) - 1))
    end = data.draw(st.integers(axis, len(shape) - 1))
    written = (axis - len(shape), end - len(shape)) if data.draw(st.booleans()) else (axis, end)
    x = normal(seed, *shape)
    expected = x.reshape(*shape[:axis], -1, *shape[end + 1 :])
    parameters = {"axis": written[0], "end_axis": written[1]}
    check(layer("Flatten", flatten_param=parameters), {"x": x}, {"y": expected}, tolerance=0)


@examples
@given(seeds, shapes((1, 4)), st.data())
def test_reshape(seed, shape, data):
    """The axes `axis` to `axis + num_axes` become `dims`, where 0 copies an axis and -1 takes what is left."""
    axis = data.draw(st.integers(0, len(shape)))
    axes = data.draw(st.integers(0, len(shape) - axis))
    replaced = shape[axis : axis + axes]
    if data.draw(st.booleans()):
        dims = [int(np.prod(replaced))]
    else:
        dims = list(replaced)
    new_shape = (*shape[:axis], *dims, *shape[axis + axes :])
    written = [
        0 if axis + i < len(shape) and shape[axis + i] == dim and data.draw(st.booleans()) else dim
        for i, dim in enumerate(dims)
    ]
    unknown = [i for i, dim in enumerate(written) if dim]
    if unknown and data.draw(st.booleans()):
        written[data.draw(st.sampled_from(unknown))] = -1
    written_axis = axis - len(shape) - 1 if data.draw(st.booleans()) else axis
    written_axes = -1 if axis + axes == len(shape) and data.draw(st.booleans()) else axes
    x = normal(seed, *shape)
    new_axes = " ".join(f"dim: {dim}" for dim in written)
    parameters = {"axis": written_axis, "num_axes": written_axes, "shape": f"{{ {new_axes} }}"}
    check(layer("Reshape", reshape_param=parameters), {"x": x}, {"y": x.reshape(new_shape)}, tolerance=0)


@examples
@given(seeds, shapes((1, 3)), st.booleans())
def test_embed(seed, shape, bias):
    rng = np.random.default_rng(seed)
    words = rng.integers(-1, 11, shape)  # -1, the padding of sentences, is zeros
    table, b = normal(seed + 1, 11, 5), normal(seed + 2, 5)
    inputs = {"x": words.astype(np.float32)}
    parameters = {"input_dim": 11, "num_output": 5, "bias_term": bias}
    expected = np.where(words[..., None] < 0, 0, table[words] + (b if bias else 0))
    check(layer("Embed", embed_param=parameters), inputs, {"y": expected}, [table, b] if bias else [table])


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def lstm(x, cont, h, c, weights, static=None):
    """h_t of every step, and the last h and c; gates in the order i, f, o, g."""
    w_xc, b_c, *w_static, w_hc = (w.astype(np.float64) for w in weights)
    steps = []
    for x_t, cont_t in zip(x.astype(np.float64), cont.astype(np.float64)[..., None], strict=True):
        gates = (cont_t * h) @ w_hc.T + x_t.reshape(len(x_t), -1) @ w_xc.T + b_c
        if static is not None:
            gates += static.reshape(len(x_t), -1) @ w_static[0].T
        i, f, o, g = np.split(gates, 4, axis=1)
        c = cont_t * sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        steps.append(h)
    return np.array(steps), h, c


def rnn(x, cont, h, weights, static=None):
    """o_t of every step, and the last h."""
    w_xh, b_h, *w_static, w_hh, w_ho, b_o = (w.astype(np.float64) for w in weights)
    steps = []
    for x_t, cont_t in zip(x.astype(np.float64), cont.astype(np.float64)[..., None], strict=True):
        h = (cont_t * h) @ w_hh.T + x_t.reshape(len(x_t), -1) @ w_xh.T + b_h
        if static is not None:
            h = h + static.reshape(len(x_t), -1) @ w_static[0].T
        h = np.tanh(h)
        steps.append(np.tanh(h @ w_ho.T + b_o))
    return np.array(steps), h


@st.composite
def recurrent_cases(draw):
    """Sizes of a recurrent layer, x and cont of two passes, and a static input or None."""
    seed, hidden, streams = draw(seeds), draw(st.integers(1, 6)), draw(sizes)
    features = draw(shapes((1, 2)))
    passes = []
    for index in range(2):
        steps = draw(st.integers(1, 5))
        cont = np.random.default_rng(seed + 10 + index).choice(np.float32([0, 0.5, 1]), (steps, streams))
        passes.append((normal(seed + 20 + index, steps, streams, *features), cont))
    static = normal(seed + 30, streams, *draw(shapes((1, 2)))) if draw(st.booleans()) else None
    return seed, hidden, streams, passes, static


def product_shape(x: np.ndarray, outer: int) -> int:
    return int(np.prod(x.shape[outer:]))


def lstm_weights(seed, hidden, x, static) -> list[np.ndarray]:
    shapes = [(4 * hidden, product_shape(x, 2)), (4 * hidden,)]
    shapes += [(4 * hidden, product_shape(static, 1))] if static is not None else []
    return [normal(seed + i, *shape) for i, shape in enumerate([*shapes, (4 * hidden, hidden)])]


@examples
@given(recurrent_cases())
@pytest.mark.parametrize("numerics", NUMERICS)
def test_lstm_carries_its_state_from_pass_to_pass_of_any_length(numerics, case):
    seed, hidden, streams, passes, static = case
    weights = lstm_weights(seed, hidden, passes[0][0], static)
    bottoms = {"x": passes[0][0], "cont": passes[0][1]} | ({"static": static} if static is not None else {})
    definition = layer("LSTM", bottoms, ["h"], recurrent_param={"num_output": hidden})
    net = make_net(definition, bottoms, weights, numerics)
    for _ in range(2):  # and once more after a reset
        h = c = np.zeros((streams, hidden))
        for x, cont in passes:
            steps, h, c = lstm(x, cont, h, c, weights, static)
            found = net(**dict(bottoms, x=x, cont=cont))["h"].detach().numpy()
            np.testing.assert_allclose(found, steps, rtol=0, atol=1e-5)
        net.reset_state()


@examples
@given(recurrent_cases())
def test_lstm_exposes_its_state(case):
    seed, hidden, streams, passes, static = case
    x, cont = passes[0]
    weights = lstm_weights(seed, hidden, x, static)
    h_0, c_0 = normal(seed + 40, 1, streams, hidden), normal(seed + 41, 1, streams, hidden)
    bottoms = {"x": x, "cont": cont} | ({"static": static} if static is not None else {}) | {"h_0": h_0, "c_0": c_0}
    steps, h, c = lstm(x, cont, h_0[0], c_0[0], weights, static)
    outputs = {"h": steps, "h_T": h[None], "c_T": c[None]}
    definition = layer("LSTM", bottoms, outputs, recurrent_param={"num_output": hidden, "expose_hidden": True})
    # A state is a sum of products with gates, which are up to 1, and may cancel.
    check(definition, bottoms, outputs, weights, tolerance=1e-5, terms=1)


@examples
@given(recurrent_cases())
@pytest.mark.parametrize("numerics", NUMERICS)
def test_rnn_carries_its_state_from_pass_to_pass(numerics, case):
    seed, hidden, streams, passes, static = case
    shapes = [(hidden, product_shape(passes[0][0], 2)), (hidden,)]
    shapes += [(hidden, product_shape(static, 1))] if static is not None else []
    weights = [normal(seed + i, *s) for i, s in enumerate([*shapes, (hidden, hidden), (hidden, hidden), (hidden,)])]
    bottoms = {"x": passes[0][0], "cont": passes[0][1]} | ({"static": static} if static is not None else {})
    definition = layer("RNN", bottoms, ["o"], recurrent_param={"num_output": hidden})
    net = make_net(definition, bottoms, weights, numerics)
    h = np.zeros((streams, hidden))
    for x, cont in passes:
        steps, h = rnn(x, cont, h, weights, static)
        found = net(**dict(bottoms, x=x, cont=cont))["o"].detach().numpy()
        np.testing.assert_allclose(found, steps, rtol=0, atol=1e-5)


GATES = {"num_output": 5}
DIFFERENTIABLE = {
    "Convolution": (layer("Convolution", convolution_param={"num_output": 6, "kernel_size": 3, "group": 2}),
                    [(2, 4, 6, 5)], [(6, 2, 3, 3), (6,)]),
    "Pooling MAX": (layer("Pooling", pooling_param={"kernel_size": 3, "stride": 2}), [(2, 3, 8, 6)], []),
    "Pooling AVE": (layer("Pooling", pooling_param={"pool": "AVE", "kernel_size": 3, "stride": 2, "pad": 1}),
                    [(2, 3, 8, 6)], []),
    "LRN 0.75": (layer("LRN", lrn_param={"alpha": 1, "beta": 0.75}), [(2, 7, 3, 3)], []),
    "LRN 0.5": (layer("LRN", lrn_param={"alpha": 1, "beta": 0.5}), [(2, 7, 3, 3)], []),
    "LRN within": (layer("LRN", lrn_param={"alpha": 1, "norm_region": "WITHIN_CHANNEL"}), [(2, 2, 6, 6)], []),
    "InnerProduct": (layer("InnerProduct", inner_product_param={"num_output": 4, "axis": 2}),
                     [(3, 2, 5)], [(4, 5), (4,)]),
    "ReLU": (layer("ReLU", relu_param={"negative_slope": 0.3}), [(3, 4)], []),
    "Sigmoid": (layer("Sigmoid"), [(3, 4)], []),
    "TanH": (layer("TanH"), [(3, 4)], []),
    "Power": (layer("Power", power_param={"power": 2, "scale": 0.5, "shift": 1}), [(3, 4)], []),
    "Eltwise SUM": (layer("Eltwise", "xz", eltwise_param={"coeff": [2, -0.5]}), [(3, 4), (3, 4)], []),
    "Eltwise PROD": (layer("Eltwise", "xz", eltwise_param={"operation": "PROD"}), [(3, 4), (3, 4)], []),
    "Eltwise MAX": (layer("Eltwise", "xz", eltwise_param={"operation": "MAX"}), [(3, 4), (3, 4)], []),
    "Scale": (layer("Scale", scale_param={"bias_term": True}), [(3, 4, 2)], [(4,), (4,)]),
    "Reduction": (layer("Reduction", reduction_param={"operation": "SUMSQ", "axis": 1}), [(3, 4, 2)], []),
    "Softmax": (layer("Softmax"), [(3, 4)], []),
    "EuclideanLoss": (layer("EuclideanLoss", "xz"), [(3, 4), (3, 4)], []),
    "LSTM": (layer("LSTM", "xz", recurrent_param=GATES), [(4, 3, 6), (4, 3)], [(20, 6), (20,), (20, 5)]),
    "RNN": (layer("RNN", "xz", recurrent_param=GATES), [(4, 3, 6), (4, 3)], [(5, 6), (5,), (5, 5), (5, 5), (5,)]),
}  # fmt: skip


@pytest.mark.parametrize("numerics", ["exact", "fast"])
@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_are_slopes_of_exact(name, numerics):
    """Along a random direction in inputs and blobs at once, by central differences; cont stays as it is."""
    definition, input_shapes, blob_shapes = DIFFERENTIABLE[name]
    shapes = input_shapes + blob_shapes
    point, direction = ([normal(seed + i, *shape) for i, shape in enumerate(shapes)] for seed in (0, 100))
    if name in ("LSTM", "RNN"):  # the slope of the forget gate is that of Caffe only for a cont of 0 or 1
        point[1], direction[1] = (point[1] > 0).astype(np.float32), np.zeros_like(point[1])
    projection = None

    def value(numerics: str, arrays: list) -> tuple[lrcn.Net, dict, torch.Tensor]:
        nonlocal projection
        inputs = dict(zip("xz", arrays[: len(input_shapes)], strict=False))
        net = make_net(definition, inputs, arrays[len(input_shapes) :], numerics)
        inputs = {key: torch.from_numpy(array).requires_grad_() for key, array in inputs.items()}
        y = net(**inputs)["y"]
        projection = torch.from_numpy(normal(200, *y.shape)) if projection is None else projection
        return net, inputs, (y.double() * projection).sum()

    net, inputs, y = value(numerics, point)
    y.backward()
    learning = [*inputs.values(), *net.parameters()]
    gradients = [np.zeros(x.shape) if x.grad is None else x.grad.numpy() for x in learning]
    slope = sum(float(np.vdot(gradient, d)) for gradient, d in zip(gradients, direction, strict=True))
    size = sum(float(np.abs(gradient * d).sum()) for gradient, d in zip(gradients, direction, strict=True))
    step = np.float32(1e-3)
    ahead, behind = (
        value("exact", [p + sign * step * d for p, d in zip(point, direction, strict=True)])[2].item()
        for sign in (1, -1)
    )
    # A step of 1e-3 leaves float32's rounding (1e-7 / 1e-3) and the curvature, both far below what a wrong term makes.
    assert abs((ahead - behind) / (2 * float(step)) - slope) <= 2e-3 * size


@pytest.fixture
def threads():
    """Sets the number of threads; back to what it was after the test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_bits_do_not_depend_on_the_number_of_threads(threads):
    """In exact numerics products are shared out between threads by blocks of rows; the blocks must not show."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        rows, outputs, inputs = (int(size) for size in rng.integers((30, 100, 300), (200, 500, 700)))
        x, weight, bias = normal(1, rows, inputs), normal(2, outputs, inputs), normal(3, outputs)
        net = make_net(
            layer("InnerProduct", inner_product_param={"num_output": outputs}), {"x": x}, [weight, bias], "exact"
        )
        results = []
        for number in (1, 2, 3, 5):
            threads(number)
            results.append(net(x=x)["y"].detach().numpy().view(np.int32))
        for result in results[1:]:
            assert np.array_equal(results[0], result), (rows, outputs, inputs)


@examples
@given(seeds, st.integers(2, 5), st.integers(1, 3))
def test_images_of_a_batch_do_not_depend_on_each_other(seed, images, group):
    """In exact numerics an image gives the same bits alone and in any batch, through every layer before a product."""
    x = normal(seed, images, 3 * group, 19, 17)
    convolution_param = {"num_output": 4 * group, "kernel_size": 5, "stride": 2, "group": group}
    definition = "\n".join(
        [
            layer("Convolution", "x", "c", convolution_param=convolution_param),
            layer("ReLU", "c", "c"),
            layer("Pooling", "c", "p", pooling_param={"kernel_size": 3, "stride": 2}),
            layer("LRN", "p", "n", lrn_param={"alpha": 0.1}),
        ]
    )
    net = make_net(definition, {"x": x}, [normal(seed + 1, 4 * group, 3, 5, 5), normal(seed + 2, 4 * group)], "exact")
    together = net(x=x)["n"].detach().numpy()
    alone = np.concatenate([net(x=x[i : i + 1])["n"].detach().numpy() for i in range(images)])
    assert np.array_equal(together.view(np.int32), alone.view(np.int32))
