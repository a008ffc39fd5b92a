"""The layers that read training data: values, order, random draws, reading ahead, and what they say of bad input."""

import ctypes
import gc
import itertools
import json
import random
import re
import threading
import time

import cv2
import h5py
import lmdb
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lrcn
from lrcn import networks
from lrcn.activity.preprocess import STREAMS, caffe_image, resize_image, unit_image
from lrcn.data import prefetch, video_sequence
from lrcn.data.generators import CRand, MersenneTwister
from lrcn.data.lmdb_reader import LMDBReader
from lrcn.data.prefetch import Prefetcher, set_workers
from lrcn.data.transform import Draws, Transform
from lrcn.errors import Error
from prototxt_import import Message, parse_net, read_net, read_solver, write_mean
from prototxt_import.wire import Encoder


def build(text, phase="TRAIN", stages=()):
    return lrcn.Net(parse_net(text), numerics="fast", phase=phase, stages=stages)


def data_layer(text, phase="TRAIN"):
    """The first layer of a network, which reads data."""
    return build(text, phase).layers[0]


def images_folder(folder, sizes, seed=0):
    """One random PNG per size (rows, columns) and the list that names them with labels 0, 1, ..."""
    generator = np.random.default_rng(seed)
    images = [generator.integers(0, 256, (*size, 3), np.uint8) for size in sizes]
    for index, image in enumerate(images):
        cv2.imwrite(str(folder / f"image {index}.png"), image)
    (folder / "list.txt").write_text("".join(f"image {index}.png {index}\n" for index in range(len(images))))
    return images


def image_data(folder, settings="", transform=""):
    return f"""
    layer {{ name: "data" type: "ImageData" top: "data" top: "label" transform_param {{ {transform} }}
             image_data_param {{ source: "{folder}/list.txt" root_folder: "{folder}/" {settings} }} }}"""


@pytest.fixture
def workers():
    """set_workers, and back to what it was afterwards."""
    before = prefetch._workers
    yield set_workers
    set_workers(before)


# Random numbers


def test_mersenne_twister_has_the_numbers_that_its_authors_published():
    generator = MersenneTwister(5489)
    numbers = [generator.draw() for _ in range(10000)]
    assert (numbers[0], numbers[-1]) == (3499211612, 4123659995)


def test_c_rand_is_that_of_the_c_library():
    library = ctypes.CDLL(None)
    library.srand(1)
    ours = CRand()
    assert [ours.draw() for _ in range(2000)] == [library.rand() for _ in range(2000)]


@given(st.integers(0, 2**32 - 1), st.integers(0, 50))
def test_shuffles_keep_every_item(seed, count):
    for generator in (MersenneTwister(seed), CRand()):
        items = list(range(count))
        generator.shuffle(items)
        assert sorted(items) == list(range(count))


def test_shuffles_are_uniform():
    generator = MersenneTwister(3)
    counts = dict.fromkeys(itertools.permutations(range(3)), 0)
    for _ in range(6000):
        items = [0, 1, 2]
        generator.shuffle(items)
        counts[tuple(items)] += 1
    assert all(abs(count - 1000) < 150 for count in counts.values())  # five standard deviations


# Reading ahead


@pytest.mark.parametrize("count", [1, 2, 5])
def test_order_does_not_depend_on_the_number_of_threads(workers, count):
    workers(count)
    numbers = itertools.count()

    def load(item):
        time.sleep(0.002 * (item % 3))  # later items are often ready first
        return item

    batches = Prefetcher(lambda: [next(numbers) for _ in range(7)], load, list, depth=2)
    assert [batches.read() for _ in range(5)] == np.arange(35).reshape(5, 7).tolist()
    batches.close()


def test_no_more_than_depth_batches_are_planned_ahead():
    planned = []
    batches = Prefetcher(lambda: planned.append(0) or [len(planned)], lambda item: item, list, depth=3)
    for read in range(4):
        assert len(planned) == 3 + read
        batches.read()
    batches.close()


def test_what_loading_raises_reaches_the_step_and_skipped_batches_do_not():
    numbers = itertools.count()

    def load(item):
        if item in (1, 3):
            raise Error(f"item {item}")
        return item

    batches = Prefetcher(lambda: [next(numbers)], load, list, depth=2)
    assert batches.read() == [0]
    batches.skip()
    assert batches.read() == [2]
    for _ in range(2):
        with pytest.raises(Error, match="item 3"):
            batches.read()
    batches.close()


def test_threads_end_with_close_and_with_the_layer(tmp_path):
    images_folder(tmp_path, [(8, 8)] * 3)
    before = threading.active_count()
    net = build(image_data(tmp_path, "batch_size: 2"))
    net()
    net.layers[0].reader.close()
    assert threading.active_count() == before
    net = build(image_data(tmp_path, "batch_size: 2"))
    net()
    assert threading.active_count() > before
    del net
    for _ in range(200):
        gc.collect()
        if threading.active_count() == before:
            break
        time.sleep(0.01)
    assert threading.active_count() == before


def test_number_of_threads_must_be_positive():
    with pytest.raises(Error, match="1 or more, 0 was found"):
        set_workers(0)


# HDF5Data


def hdf5_files(folder, rows, dtype=np.float64):
    """Files of so many rows each; data (2 numbers per row) and label count the rows of all files."""
    start = 0
    for index, count in enumerate(rows):
        with h5py.File(folder / f"{index}.h5", "w") as file:
            numbers = np.arange(start, start + count)
            file["data"] = (np.stack([numbers, numbers + 0.1], axis=1)).astype(dtype)
            file["label"] = numbers
        start += count
    (folder / "list.txt").write_text("\n".join(str(folder / f"{index}.h5") for index in range(len(rows))))


def hdf5_data(folder, batch_size, shuffle=False, top="label"):
    return f"""
    layer {{ name: "data" type: "HDF5Data" top: "data" top: "{top}"
             hdf5_data_param {{ source: "{folder}/list.txt" batch_size: {batch_size} shuffle: {int(shuffle)} }} }}"""


def test_hdf5_batches_span_files_and_begin_again(tmp_path):
    hdf5_files(tmp_path, [3, 4])
    net = build(hdf5_data(tmp_path, 5))
    assert net.inputs == {"data": (5, 2), "label": (5,)}
    batches = [net() for _ in range(3)]
    labels = torch.cat([batch["label"] for batch in batches])
    assert labels.tolist() == [index % 7 for index in range(15)]
    expected = np.array([[index % 7, index % 7 + 0.1] for index in range(15)]).astype(np.float32)
    assert np.array_equal(torch.cat([batch["data"] for batch in batches]).numpy(), expected)  # 0 ULP
    assert batches[0]["data"].dtype == torch.float32


def caffe_row_order(rows_of_files, count):
    """Row numbers in the order of Caffe's shuffling layer, from the C library's own rand."""
    library = ctypes.CDLL(None)
    library.srand(1)

    def shuffled(items):
        for i in range(1, len(items)):
            j = library.rand() % (i + 1)
            items[i], items[j] = items[j], items[i]
        return items

    starts = np.cumsum([0, *rows_of_files])
    files = shuffled(list(range(len(rows_of_files))))
    rows = shuffled(list(range(rows_of_files[files[0]])))
    file, row, order = 0, 0, []
    while len(order) < count:
        order.append(int(starts[files[file]]) + rows[row])
        row += 1
        if row == len(rows):
            row = 0
            if len(files) > 1:
                file += 1
                if file == len(files):
                    file = 0
                    shuffled(files)
                rows = shuffled(list(range(rows_of_files[files[file]])))
            shuffled(rows)
    return order


@pytest.mark.parametrize("rows", [[6], [3, 5, 1]])
def test_hdf5_shuffle_is_that_of_caffe(tmp_path, rows):
    hdf5_files(tmp_path, rows)
    layer = data_layer(hdf5_data(tmp_path, 4, shuffle=True))
    labels = torch.cat([layer()[1] for _ in range(8)]).tolist()
    assert labels == caffe_row_order(rows, 32)


def test_tops_that_the_caller_passes_are_not_read(tmp_path):
    hdf5_files(tmp_path, [4])
    net = build(hdf5_data(tmp_path, 2))
    assert net(data=np.zeros((1, 2)), label=np.zeros(1))["label"].tolist() == [0]
    assert net(label=np.full(2, 9))["label"].tolist() == [9, 9]


def test_hdf5_problems_are_named(tmp_path):
    with pytest.raises(Error, match=r"layer 'data' \(HDF5Data\): .*list.txt: No such file"):
        build(hdf5_data(tmp_path, 2))
    hdf5_files(tmp_path, [4])
    with pytest.raises(Error, match=r"0.h5: dataset 'target' was expected, .* the file has data, label"):
        build(hdf5_data(tmp_path, 2, top="target"))
    with pytest.raises(Error, match="batch_size must be positive"):
        build(hdf5_data(tmp_path, 0))
    with h5py.File(tmp_path / "0.h5", "a") as file:
        file["short"] = np.zeros(3)
        file["text"] = "words"
    with pytest.raises(Error, match=r"0.h5: as many rows .* data 4, short 3"):
        build(hdf5_data(tmp_path, 2, top="short"))
    with pytest.raises(Error, match=r"0.h5: dataset 'text': one or more rows of numbers"):
        build(hdf5_data(tmp_path, 2, top="text"))
    (tmp_path / "0.h5").write_bytes((tmp_path / "0.h5").read_bytes()[:700])
    with pytest.raises(Error, match=r"0.h5: an HDF5 file was expected"):
        build(hdf5_data(tmp_path, 2))
    (tmp_path / "list.txt").write_text("\n")
    with pytest.raises(Error, match="list of HDF5 files is empty"):
        build(hdf5_data(tmp_path, 2))


def test_hdf5_files_must_have_rows_of_one_shape(tmp_path):
    hdf5_files(tmp_path, [2, 2])
    with h5py.File(tmp_path / "1.h5", "w") as file:
        file["data"], file["label"] = np.zeros((2, 3)), np.zeros(2)
    net = build(hdf5_data(tmp_path, 1))
    net()
    with pytest.raises(Error, match=r"1.h5: dataset 'data': rows of shape \(2,\) were expected"):
        net()


# transform_param


def plain_transform(image, draws, settings, phase, mean):
    """Caffe's loop over one image (channels, height, width), a number at a time in float32."""
    channels, height, width = image.shape
    size = settings.crop_size
    rows, columns = (size, size) if size else (height, width)
    top, left = (height - rows) // 2, (width - columns) // 2
    if size and phase == "TRAIN":
        top, left = draws.top % (height - size + 1), draws.left % (width - size + 1)
    result = np.empty((channels, rows, columns), np.float32)
    for c, h, w in itertools.product(range(channels), range(rows), range(columns)):
        value = np.float32(image[c, top + h, left + w])
        if mean is not None:
            value = value - (mean[c] if mean.ndim == 1 else mean[c, top + h, left + w])
        result[c, h, columns - 1 - w if draws.mirror % 2 else w] = value * np.float32(settings.scale)
    return result


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    phase=st.sampled_from(["TRAIN", "TEST"]),
    size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    crop=st.integers(0, 7),
    kind=st.sampled_from(["none", "one", "each", "file"]),
    scale=st.sampled_from([1.0, 0.00390625, 0.017]),
    draws=st.tuples(*[st.integers(0, 2**32 - 1)] * 3),
)
def test_transform_has_the_bits_of_caffes_loop(tmp_path, phase, size, crop, kind, scale, draws):
    crop = min(crop, *size)
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, (3, *size), np.uint8)
    definition = Message("TransformationParameter", crop_size=crop, scale=scale)
    mean = None
    if kind == "file":
        mean = generator.normal(120, 9, (3, *size)).astype(np.float32)
        write_mean(tmp_path / "mean.binaryproto", mean)
        definition.mean_file = str(tmp_path / "mean.binaryproto")
    elif kind != "none":
        definition.mean_value.extend([103.939, 116.779, 123.68] if kind == "each" else [117.3])
        mean = np.resize(np.array(definition.mean_value, np.float32), 3)
    draws = Draws(*draws)
    ours = Transform(definition, phase).apply(image, draws)
    assert np.array_equal(ours, plain_transform(image, draws, definition, phase, mean))  # 0 ULP


def test_mirrored_flow_is_turned_round_where_asked():
    transform = Transform(Message("TransformationParameter"), "TEST")
    image = np.arange(6, dtype=np.uint8).reshape(3, 1, 2)
    assert transform.apply(image, Draws(1, 0, 0), flow=True).tolist() == [[[1, 0]], [[3, 2]], [[250, 251]]]
    assert transform.apply(image, Draws(0, 0, 0), flow=True).tolist() == image.tolist()


def test_transform_problems_are_named(tmp_path):
    images_folder(tmp_path, [(6, 8)])
    write_mean(tmp_path / "mean", np.zeros((3, 8, 8), np.float32))
    with pytest.raises(Error, match="crop_size 7 is larger than an image of 8x6 pixels"):
        build(image_data(tmp_path, transform="crop_size: 7"))
    with pytest.raises(Error, match="mean_file or mean_value, not both"):
        build(image_data(tmp_path, transform=f'mean_file: "{tmp_path}/mean" mean_value: 1'))
    with pytest.raises(Error, match=r"image 0.png: mean file .* shape \(3, 6, 8\)"):
        build(image_data(tmp_path, transform=f'mean_file: "{tmp_path}/mean"'))()
    with pytest.raises(Error, match="one mean_value or one for each of 3 channels"):
        build(image_data(tmp_path, transform="mean_value: 1 mean_value: 2"))()


# ImageData


def test_images_come_in_the_order_of_the_list(tmp_path):
    images = images_folder(tmp_path, [(5, 6)] * 5)
    net = build(image_data(tmp_path, "batch_size: 3"), phase="TEST")
    assert net.inputs == {"data": (3, 3, 5, 6), "label": (3,)}
    for batch in range(4):
        out = net()
        expected = [(3 * batch + index) % 5 for index in range(3)]
        assert out["label"].tolist() == expected
        assert np.array_equal(out["data"].numpy(), np.stack([images[i].transpose(2, 0, 1) for i in expected]))


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_batches_are_the_same_with_any_number_of_threads(tmp_path, workers, phase):
    images_folder(tmp_path, [(9, 12), (11, 9), (10, 10), (13, 9)])
    text = image_data(tmp_path, "batch_size: 3 shuffle: true rand_skip: 3", "crop_size: 6 mirror: true mean_value: 7")

    def batches(count):
        workers(count)
        lrcn.random.seed(5)
        layer = data_layer(text, phase)
        return [layer() for _ in range(6)]

    first = batches(1)
    assert len({tuple(label.tolist()) for _, label in first}) > 1
    for count in (2, 5):
        for (data, label), (other_data, other_label) in zip(first, batches(count), strict=True):
            assert torch.equal(data, other_data) and torch.equal(label, other_label)


def test_draws_come_in_the_order_of_caffe(tmp_path):
    """Of the process: seeds of transform, shuffle, rand_skip, transform again; then three draws per image."""
    images = images_folder(tmp_path, [(9, 12)] * 5)
    lrcn.random.seed(5)
    _, shuffle_seed, skip, transform_seed = map(int, lrcn.random.words(4))
    labels = list(range(5))
    generator = np.random.RandomState(shuffle_seed)
    for last in (4, 3, 2, 1):
        bucket = 2**32 // (last + 1)
        chosen = next(value for _ in range(99) if (value := generator.randint(2**32) // bucket) <= last)
        labels[last], labels[chosen] = labels[chosen], labels[last]
    generator = np.random.RandomState(transform_seed)
    expected = []
    for label in labels[skip % 4 :]:
        mirror, top, left = (int(generator.randint(2**32)) for _ in range(3))
        crop = images[label].transpose(2, 0, 1)[:, top % 4 :, left % 7 :][:, :6, :6]
        expected.append((crop[:, :, ::-1] if mirror % 2 else crop, label))

    lrcn.random.seed(5)
    layer = data_layer(image_data(tmp_path, "batch_size: 1 shuffle: true rand_skip: 4", "crop_size: 6 mirror: true"))
    for image, label in expected:
        data, labels_read = layer()
        assert labels_read.tolist() == [label]
        assert np.array_equal(data[0], image)


def test_the_phase_of_a_layer_is_no_part_of_the_networks_definition(tmp_path):
    images_folder(tmp_path, [(4, 4)])
    assert not build(image_data(tmp_path)).definition.layer[0].has("phase")


def test_skipped_batches_leave_the_rest_as_it_is(tmp_path):
    images_folder(tmp_path, [(9, 12)] * 5)
    text = image_data(tmp_path, "batch_size: 2 shuffle: true", "crop_size: 6 mirror: true")
    lrcn.random.seed(5)
    layer = data_layer(text)
    all_batches = [layer() for _ in range(9)]
    lrcn.random.seed(5)
    layer = data_layer(text)
    for _ in range(6):
        layer.reader.skip()
    for data, label in all_batches[6:]:
        again = layer()
        assert torch.equal(again[0], data) and torch.equal(again[1], label)


def test_a_round_of_shuffled_images_has_each_once(tmp_path):
    images_folder(tmp_path, [(4, 4)] * 6)
    layer = data_layer(image_data(tmp_path, "batch_size: 6 shuffle: true"))
    rounds = [layer()[1].tolist() for _ in range(5)]
    assert all(sorted(labels) == list(range(6)) for labels in rounds)
    assert len({tuple(labels) for labels in rounds}) > 1


def test_images_are_resized_as_asked(tmp_path):
    images = images_folder(tmp_path, [(10, 20), (20, 10)])
    to_size = build(image_data(tmp_path, "batch_size: 2 new_height: 6 new_width: 4"), "TEST")()["data"]
    assert np.array_equal(to_size[0], cv2.resize(images[0], (4, 6)).transpose(2, 0, 1))
    at_least = build(image_data(tmp_path, "min_height: 15 min_width: 15"), "TEST").layers[0]
    assert tuple(at_least()[0].shape) == (1, 3, 15, 30)
    assert tuple(at_least()[0].shape) == (1, 3, 30, 15)
    grey = build(image_data(tmp_path, "is_color: false"), "TEST")
    assert grey.inputs["data"] == (1, 1, 10, 20)


def test_image_list_problems_are_named(tmp_path):
    text = image_data(tmp_path, "batch_size: 2")
    with pytest.raises(Error, match=r"layer 'data' \(ImageData\): .*list.txt: No such file"):
        build(text)
    images_folder(tmp_path, [(4, 4), (5, 4)])
    with pytest.raises(Error, match=r"images of one shape .* \(3, 4, 4\) and \(3, 5, 4\)"):
        build(text)()
    with pytest.raises(Error, match="new_height and new_width must be given together"):
        build(image_data(tmp_path, "new_height: 3"))
    (tmp_path / "image 1.png").write_bytes(b"no image")
    with pytest.raises(Error, match=r"layer 'data'.*image 1.png: not a readable image"):
        build(text)()
    (tmp_path / "image 1.png").unlink()
    with pytest.raises(Error, match=r"layer 'data'.*image 1.png: No such file"):
        build(text)()
    (tmp_path / "list.txt").write_text("image 0.png 0\nimage 1.png one\n")
    with pytest.raises(Error, match=r"list.txt, line 2: 'IMAGE LABEL' was expected"):
        build(text)


def test_flow_of_image_lists_is_said_to_have_no_effect(tmp_path):
    images_folder(tmp_path, [(4, 4)])
    with pytest.warns(UserWarning, match="flow has no effect"):
        build(image_data(tmp_path, transform="flow: true"))


# Data


def write_lmdb(path, datums):
    with lmdb.open(str(path), map_size=2**20) as base, base.begin(write=True) as transaction:
        for index, datum in enumerate(datums):
            content = datum if isinstance(datum, bytes) else b"".join(Encoder("bvlc").encode(datum))
            transaction.put(f"{index:08d}".encode(), content)


def raw_datum(image, label=0):
    channels, height, width = image.shape
    return Message("Datum", channels=channels, height=height, width=width, data=image.tobytes(), label=label)


def lmdb_data(path, batch_size=2, transform="", tops='top: "data" top: "label"'):
    return f"""
    layer {{ name: "data" type: "Data" {tops} transform_param {{ {transform} }}
             data_param {{ source: "{path}" batch_size: {batch_size} backend: LMDB }} }}"""


def test_examples_come_by_their_keys_in_every_encoding(tmp_path):
    generator = np.random.default_rng(0)
    images = [generator.integers(0, 256, (3, 4, 5), np.uint8) for _ in range(3)]
    numbers = images[2].astype(np.float32) + np.float32(0.25)
    png = cv2.imencode(".png", images[1].transpose(1, 2, 0))[1].tobytes()
    write_lmdb(
        tmp_path / "base",
        [
            raw_datum(images[0], 7),
            Message("Datum", data=png, label=8, encoded=True),
            Message("Datum", channels=3, height=4, width=5, float_data=numbers.ravel().tolist(), label=9),
        ],
    )
    net = build(lmdb_data(tmp_path / "base"), "TEST")
    assert net.inputs == {"data": (2, 3, 4, 5), "label": (2,)}
    batches = [net() for _ in range(3)]
    assert torch.cat([batch["label"] for batch in batches]).tolist() == [7, 8, 9, 7, 8, 9]
    data = torch.cat([batch["data"] for batch in batches]).numpy()
    assert np.array_equal(data, np.stack([images[0], images[1], numbers] * 2))


def test_two_layers_may_read_one_data_base_and_labels_may_be_left_out(tmp_path):
    write_lmdb(tmp_path / "base", [raw_datum(np.full((1, 2, 2), index, np.uint8), index) for index in range(4)])
    first = data_layer(lmdb_data(tmp_path / "base", 1))
    second = data_layer(lmdb_data(tmp_path / "base", 3, tops='top: "data"'))
    assert [int(first()[1]) for _ in range(2)] == [0, 1]
    (data,) = second()
    assert data[:, 0, 0, 0].tolist() == [0, 1, 2]
    second.reader.skip()
    assert second()[0][:, 0, 0, 0].tolist() == [2, 3, 0]


def test_mirrored_raw_flow_is_turned_round(tmp_path):
    image = np.arange(6, dtype=np.uint8).reshape(3, 1, 2)
    write_lmdb(tmp_path / "base", [raw_datum(image)])
    layer = data_layer(lmdb_data(tmp_path / "base", 1, "mirror: true flow: true"))
    found = {tuple(layer()[0].flatten().tolist()) for _ in range(30)}
    assert found == {(0, 1, 2, 3, 4, 5), (1, 0, 3, 2, 250, 251)}


def test_data_base_problems_are_named(tmp_path):
    with pytest.raises(Error, match=r"layer 'data' \(Data\): .*base: no such data base"):
        build(lmdb_data(tmp_path / "base"))
    (tmp_path / "file").write_bytes(b"something else" * 1000)
    with pytest.raises(Error, match="file: an LMDB data base was expected"):
        build(lmdb_data(tmp_path / "file"))
    write_lmdb(tmp_path / "empty", [])
    with pytest.raises(Error, match="empty: the data base is empty"):
        build(lmdb_data(tmp_path / "empty"))
    write_lmdb(tmp_path / "wrong", [Message("Datum", channels=3, height=2, width=2, data=b"123")])
    with pytest.raises(Error, match=r"wrong, key b'00000000': numbers of shape \(3, 2, 2\) .* 3 found"):
        build(lmdb_data(tmp_path / "wrong"))
    write_lmdb(tmp_path / "image", [Message("Datum", encoded=True, data=b"123")])
    with pytest.raises(Error, match="key b'00000000': an encoded image of 8 bits"):
        build(lmdb_data(tmp_path / "image"))
    with pytest.raises(Error, match="backend LEVELDB cannot be read"):
        build(lmdb_data(tmp_path / "image").replace("LMDB", "LEVELDB"))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=60), position=st.integers(0, 30), byte=st.integers(0, 255))
def test_damaged_examples_are_errors_that_name_them(tmp_path, content, position, byte):
    """Neither random bytes nor an example with a byte changed may do anything but decode or raise Error."""
    if not (tmp_path / "base").exists():
        write_lmdb(tmp_path / "base", [raw_datum(np.zeros((1, 4, 4), np.uint8))])
    definition = parse_net(lmdb_data(tmp_path / "base")).layer[0]
    reader = LMDBReader(definition.data_param, Transform(definition.transform_param, "TEST"))
    whole = bytearray(b"".join(Encoder("bvlc").encode(raw_datum(np.zeros((1, 4, 4), np.uint8)))))
    whole[position % len(whole)] = byte
    for damaged in (content, bytes(whole)):
        try:
            image, _ = reader._decode("here", damaged)
            assert image.ndim == 3
        except Error as error:
            assert "here" in str(error)
    reader.close()


# MemoryData


MEMORY = """layer { name: "data" type: "MemoryData" top: "data" top: "label"
                    memory_data_param { batch_size: 2 channels: 1 height: 2 width: 3 } }"""


def test_arrays_are_handed_out_batch_by_batch():
    net = build(MEMORY)
    assert net.inputs == {"data": (2, 1, 2, 3), "label": (2,)}
    data = np.arange(24, dtype=np.float32).reshape(4, 1, 2, 3)
    net.layers[0].reset(data, [0, 1, 2, 3])
    for expected in (data[:2], data[2:], data[:2]):
        assert np.array_equal(net()["data"], expected)


def test_arrays_that_do_not_fit_are_refused():
    net = build(MEMORY)
    with pytest.raises(Error, match=r"hand it over with the layer's reset\(data, labels\)"):
        net()
    for shape, labels in (((3, 1, 2, 3), 3), ((2, 1, 3, 2), 2), ((2, 1, 2, 3), 3), ((0, 1, 2, 3), 0)):
        with pytest.raises(Error, match=r"data of shape \(n, 1, 2, 3\) and n labels were expected"):
            net.layers[0].reset(np.zeros(shape), np.zeros(labels))


# The authors' video layers


def video_folder(folder, counts, size=(240, 320), first=1, prefix=""):
    """Folders of so many small-coded frames each, whose number is written in their grey, and the list of them."""
    lines = []
    for index, count in enumerate(counts):
        name = f"v_A{index}_g01_c01"
        (folder / name).mkdir(parents=True)
        for number in range(first, first + count):
            frame = np.zeros((*size, 3), np.uint8)
            frame[:] = np.linspace(0, 200, size[1], dtype=np.uint8)[None, :, None]
            frame[..., 1] = number
            frame[..., 2] //= 2
            cv2.imwrite(str(folder / name / f"{prefix}{name}.{number:04d}.jpg"), frame)
        lines.append(f"A{index}/{name} {index}\n")
    (folder / "list.txt").write_text("".join(lines))
    return folder


def video_data(folder, layer="videoReadTrain_RGB", **settings):
    settings = {"source": f"{folder}/list.txt", "frames": f"{folder}", **settings}
    return f"""
    layer {{ name: "data" type: "Python" top: "data" top: "label" top: "clip_markers"
             python_param {{ module: "sequence_input_layer" layer: "{layer}"
                             param_str: '{json.dumps(settings)}' }} }}"""


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return video_folder(tmp_path_factory.mktemp("videos"), [6, 9, 7])


@pytest.fixture
def drawn(data, tmp_path):
    """What the authors' own generator of clips drew: per batch, per clip [video, first frame, row, column, mirrored].

    `alone` is one layer with batches of 3; `train` (3) and `test` (2) took turns in one process, test first.
    """
    record = json.loads((data / "video_draws.json").read_text())
    for index, count in enumerate(record["frames"]):
        folder = tmp_path / f"v{index}"
        folder.mkdir()
        for number in range(1, count + 1):
            (folder / f"v{index}.{number:04d}.jpg").touch()
    (tmp_path / "list.txt").write_text("".join(f"A/v{index} 0\n" for index in range(len(record["frames"]))))
    return record


class PlanOnly(video_sequence.VideoSequenceReader):
    """Loads nothing and returns the plan of a batch, as the record has it."""

    def _load(self, planned):
        frame, _ = planned
        return frame

    def _assemble(self, batch):
        clips = [batch[index :: self.settings.videos] for index in range(self.settings.videos)]
        for clip in clips:
            numbers = [int(frame.path.suffixes[-2][1:]) for frame in clip]
            assert numbers == list(range(numbers[0], numbers[0] + self.settings.clip_length))
        return [
            [clip[0].path.parent.name, int(clip[0].path.suffixes[-2][1:]), clip[0].top, clip[0].left, clip[0].mirrored]
            for clip in clips
        ]


def plan_only(folder, videos):
    settings = video_sequence.LAYERS["videoReadTrain_RGB"]
    changes = {"source": str(folder / "list.txt"), "frames": str(folder), "videos": videos}
    return PlanOnly(settings.changed(json.dumps(changes)))


def test_draws_are_those_of_the_authors_code(drawn, tmp_path):
    reader = plan_only(tmp_path, 3)
    assert [reader.read() for _ in drawn["alone"]] == drawn["alone"]
    reader = plan_only(tmp_path, 3)
    reader.skip()
    reader.skip()
    assert [reader.read() for _ in drawn["alone"][2:]] == drawn["alone"][2:]


def test_layers_of_one_process_share_the_draws_as_the_authors_do(drawn, tmp_path):
    train, test = plan_only(tmp_path, 3), plan_only(tmp_path, 2)
    found = {"train": [], "test": []}
    for turn in drawn["turns"]:
        name, reader = ("train", train) if turn == "A" else ("test", test)
        found[name].append(reader.read())
    for name, reader in (("train", train), ("test", test)):
        found[name].append(reader.read())  # planned when the one before was handed out
        assert found[name] == drawn[name]


def test_batches_are_time_major_with_markers_on_first_steps(videos):
    net = build(video_data(videos, videos=2, clip_length=4, size=32))
    assert net.inputs == {"data": (8, 3, 32, 32), "label": (8,), "clip_markers": (8,)}
    out = net()
    assert out["label"].tolist() == [0, 1] * 4
    assert out["clip_markers"].tolist() == [0, 0, 1, 1, 1, 1, 1, 1]
    # Green holds the frame's number: in each clip it grows by one from step to step (JPEG: within half of that).
    green = out["data"][:, 1].mean((1, 2)).view(4, 2)
    assert torch.allclose(green.diff(dim=0), torch.ones(3, 2), atol=0.5)
    assert net()["label"].tolist() == [2, 0] * 4


def test_videos_are_the_same_with_any_number_of_threads(videos, workers):
    def batches(count):
        workers(count)
        layer = data_layer(video_data(videos, videos=2, clip_length=4, size=32))
        return [layer() for _ in range(3)]

    first = batches(1)
    for count in (2, 5):
        for batch, others in zip(first, batches(count), strict=True):
            assert all(torch.equal(values, other) for values, other in zip(batch, others, strict=True))


def test_quirk_crops_only_mirrored_clips(videos):
    """The first batch, whose draws are four per clip; the third decides about mirroring."""
    generator = random.Random(10)
    mirrored = [[generator.random() for _ in range(4)][2] >= 0.5 for _ in range(3)]
    assert set(mirrored) == {True, False}
    found = {}
    for quirks in ("released", "none"):
        layer = data_layer(video_data(videos, videos=3, clip_length=4, size=32, quirks=quirks))
        found[quirks] = layer()[0].view(4, 3, 3, 32, 32)
    same = [torch.equal(found["released"][:, clip], found["none"][:, clip]) for clip in range(3)]
    assert same == mirrored


@pytest.mark.parametrize("name", STREAMS)
def test_frames_are_prepared_in_the_order_of_the_authors_code(name):
    stream = STREAMS[name]
    image = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)

    def prepared(image, mirrored, crops):
        frame = video_sequence.PlannedFrame(None, 0, top=5, left=40, mirrored=mirrored)
        place = np.full((2, 3, 100, 100), np.nan, np.float32)[1]
        video_sequence.prepare_frame(image, frame, place, stream, crops)
        return place

    cropped = unit_image(image[5:105, 40:140])
    assert np.array_equal(prepared(image, False, True), caffe_image(cropped, stream))
    assert np.array_equal(
        prepared(image, False, False), caffe_image(resize_image(unit_image(image), (100, 100)), stream)
    )
    mirrored = unit_image(image[5:105, 180:280][:, ::-1])  # mirrored first: the crop comes from the other side
    if name == "flow":
        mirrored = np.concatenate([1 - mirrored[..., :1], mirrored[..., 1:]], axis=2)
    assert np.array_equal(prepared(image, True, True), caffe_image(mirrored, stream))
    small = image[:200]
    grown = resize_image(unit_image(small), (240, 320))[5:105, 40:140]
    assert np.array_equal(prepared(small, False, True), caffe_image(grown, stream))


def test_flow_frames_begin_with_number_two(tmp_path):
    folder = video_folder(tmp_path / "flow", [4], first=2, prefix="flow_image_")
    net = build(video_data(folder, "videoReadTest_flow", videos=1, clip_length=4, size=32), "TEST")
    assert net()["clip_markers"].tolist() == [0, 1, 1, 1]


def test_video_problems_are_named(tmp_path, videos):
    def problem(folder=videos, **settings):
        with pytest.raises(Error) as error:
            build(video_data(folder, **settings))()
        return str(error.value)

    assert "layer 'data' (Python): " in problem(source="missing.txt")
    assert "missing.txt: No such file" in problem(source="missing.txt")
    assert "v_A0_g01_c01: no frames of this video" in problem(frames=str(tmp_path))
    assert "6 frames up to number 6 were found; a clip of 6 frames" in problem(clip_length=6)
    assert "'clips' is not a setting of a video layer" in problem(clips=3)
    assert "videos: a whole number of 1 or more was expected, 0 was found" in problem(videos=0)
    assert "size: a whole number of 1 or more was expected, True was found" in problem(size=True)
    assert "size 241 is larger than frames of 320x240" in problem(size=241)
    assert "quirks: released or none was expected, 'some' found" in problem(quirks="some")
    with pytest.raises(Error, match="layer 'videoReadTrain' of sequence_input_layer is not known"):
        build(video_data(videos, "videoReadTrain"))
    with pytest.raises(Error, match="a JSON object was expected, 'frames' was found"):
        build(re.sub("param_str: '.*'", "param_str: 'frames'", video_data(videos)))
    broken = video_folder(tmp_path / "broken", [5])
    (broken / "v_A0_g01_c01" / "v_A0_g01_c01.0003.jpg").write_bytes(b"")
    (broken / "v_A0_g01_c01" / "v_A0_g01_c01.0004.jpg").write_bytes(b"")
    assert "not a readable image" in problem(broken, clip_length=4)
    assert "v_A0_g01_c01.000" in problem(broken, clip_length=4)


# Layers of the user's own


USER_LAYERS = """
import numpy as np

class Power:
    def setup(self, bottom, top):
        self.exponent = float(self.param_str)
        if len(bottom) != 2:
            raise TypeError("two bottoms, please")

    def reshape(self, bottom, top):
        top[0].reshape(bottom[0].num, bottom[0].channels)

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data ** self.exponent + bottom[1].data

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            bottom[0].diff[...] = top[0].diff * self.exponent * bottom[0].data ** (self.exponent - 1)
        if propagate_down[1]:
            bottom[1].diff[...] = top[0].diff

class Counter:
    def setup(self, bottom, top):
        self.count = 0

    def reshape(self, bottom, top):
        top[0].reshape(2, 1)

    def forward(self, bottom, top):
        self.count += 1
        top[0].data[...] = self.count * (1 if self.phase == 0 else 10)

class NoForward:
    def setup(self, bottom, top): pass
    def reshape(self, bottom, top): pass
"""


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    (tmp_path / "my_layers_for_caffe.py").write_text(USER_LAYERS)
    monkeypatch.syspath_prepend(tmp_path)
    return "my_layers_for_caffe"


def python_net(module, layer="Power", param_str="3", bottoms='bottom: "x" bottom: "y"'):
    return f"""
    input: "x" input_shape {{ dim: 2 dim: 3 }} input: "y" input_shape {{ dim: 2 dim: 3 }}
    layer {{ name: "mine" type: "Python" {bottoms} top: "z"
             python_param {{ module: "{module}" layer: "{layer}" param_str: "{param_str}" }} }}"""


def test_a_layer_of_the_users_own_computes_and_has_gradients(user_module):
    net = build(python_net(user_module))
    assert net.blob_shapes["z"] == (2, 3)
    x, y = (torch.rand(4, 3, requires_grad=True) for _ in range(2))
    z = net(x=x, y=y)["z"]  # another first axis than declared: the layer is reshaped
    assert torch.equal(z, torch.from_numpy(x.detach().numpy() ** 3.0 + y.detach().numpy()))
    z.sum().backward()
    assert torch.allclose(x.grad, 3 * x.detach() ** 2, rtol=1e-6)  # two products in another order
    assert torch.equal(y.grad, torch.ones(4, 3))


@pytest.mark.parametrize(("phase", "step"), [("TRAIN", 1), ("TEST", 10)])
def test_a_layer_of_the_users_own_without_bottoms_is_a_source(user_module, phase, step):
    net = build(python_net(user_module, "Counter", bottoms=""), phase)
    assert net.inputs["z"] == (2, 1)
    assert [net()["z"][0, 0].item() for _ in range(3)] == [step, 2 * step, 3 * step]


def test_problems_with_layers_of_the_users_own_are_named(user_module):
    with pytest.raises(Error, match=r"layer 'mine' \(Python\): .* module 'no_such_module' cannot be imported"):
        build(python_net("no_such_module"))
    with pytest.raises(Error, match=r"my_layers_for_caffe.py has no class 'Missing'"):
        build(python_net(user_module, "Missing"))
    with pytest.raises(Error, match=r"class 'NoForward' .* has no method 'forward'"):
        build(python_net(user_module, "NoForward"))
    with pytest.raises(Error, match=r"layer 'mine'.*two bottoms, please"):
        build(python_net(user_module, bottoms='bottom: "x"'))
    net = build(python_net(user_module, "Counter", bottoms='bottom: "x"'))
    with pytest.raises(Error, match="class 'Counter' has no method 'backward'"):
        net(x=torch.ones(2, 3, requires_grad=True))["z"].sum().backward()


# The recipes of the paper


SOLVERS = {
    "lrcn_rgb": {"max_iter": 30000, "stepsize": 10000, "clip_gradients": 5, "test_iter": [100]},
    "lrcn_flow": {"max_iter": 70000, "stepsize": 20000, "clip_gradients": 15, "test_iter": [100]},
    "single_frame_rgb": {"max_iter": 5000, "stepsize": 3000, "clip_gradients": -1, "test_iter": [75]},
    "single_frame_flow": {"max_iter": 50000, "stepsize": 20000, "clip_gradients": -1, "test_iter": [75]},
}
OF_ALL = {"base_lr": 0.001, "gamma": 0.1, "momentum": 0.9, "weight_decay": 0.005, "lr_policy": "step"}


@pytest.mark.parametrize("name", SOLVERS)
def test_solvers_have_the_settings_of_the_paper(name):
    solver = read_solver(networks.path(f"{name}_solver.prototxt"))
    for field, value in (OF_ALL | SOLVERS[name]).items():
        assert getattr(solver, field) == (pytest.approx(value, rel=1e-6) if isinstance(value, float) else value)
    network, _, stream = name.rpartition("_")
    assert solver.net == f"{network}_train.prototxt"
    assert [list(solver.train_state.stage), list(solver.test_state[0].stage)] == [[stream]] * 2


@pytest.mark.parametrize("network", ["lrcn", "single_frame"])
def test_training_networks_have_the_layers_of_the_networks_that_they_train(network):
    """Same names, same shapes of parameters and same settings but for fillers, so that weights go from one to other."""
    trained = {layer.name: layer for layer in read_net(networks.path(f"{network}.prototxt")).layer}
    training = {layer.name: layer for layer in read_net(networks.path(f"{network}_train.prototxt")).layer}
    training_only = {"data", "drop6", "drop7", "lstm1-drop", "reshape-label", "loss", "accuracy"}
    assert set(trained) - set(training) == {"input", "probs"}
    assert set(training) - set(trained) <= training_only
    for name in set(trained) & set(training):
        for field in ("convolution_param", "inner_product_param", "recurrent_param"):
            for param in (getattr(training[name], field),):
                if training[name].has(field):
                    param.clear("weight_filler")
                    param.clear("bias_filler")
        for field, value in trained[name].fields():
            if field not in ("bottom", "top"):
                assert getattr(training[name], field) == value, name


def multipliers(layer):
    return [(param.lr_mult, param.decay_mult) for param in layer.param]


@pytest.mark.parametrize(("network", "dropout"), [("lrcn", [0.9, 0.5]), ("single_frame", [0.5, 0.5])])
def test_training_networks_have_the_multipliers_and_dropout_of_the_paper(network, dropout):
    layers = read_net(networks.path(f"{network}_train.prototxt")).layer
    ratios = [layer.dropout_param.dropout_ratio for layer in layers if layer.type == "Dropout"]
    assert ratios == pytest.approx(dropout)
    for layer in layers:
        if layer.type in ("Convolution", "InnerProduct"):
            last = layer.name.startswith("fc8")
            assert multipliers(layer) == ([(10, 1), (20, 0)] if last else [(1, 1), (2, 0)])


def small(net, **settings):
    """The definition with narrow layers and other data, everything else as it is."""
    net = net.copy()
    for layer in net.layer:
        if layer.type == "Convolution":
            layer.convolution_param.num_output = 4
        elif layer.type == "InnerProduct" and layer.name != "fc8-final":
            layer.inner_product_param.num_output = 6
        elif layer.type == "LSTM":
            layer.recurrent_param.num_output = 5
        elif layer.name == "reshape-data":
            layer.reshape_param.shape.dim[2] = 6
        elif layer.type == "Python":
            layer.python_param.param_str = json.dumps(settings)
        elif layer.type == "ImageData":
            layer.image_data_param.batch_size = 2
    return net


@pytest.mark.parametrize("stream", ["rgb", "flow"])
@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_lrcn_trains_on_what_the_video_layer_reads(tmp_path, stream, phase):
    folder = video_folder(tmp_path / "videos", [18, 18])
    definition = small(
        read_net(networks.path("lrcn_train.prototxt")), source=str(folder / "list.txt"), frames=str(folder), videos=1
    )
    net = lrcn.Net(definition, numerics="fast", phase=phase, stages=[stream])
    assert net.layers[0].reader.settings.stream == stream
    out = net()
    assert set(out) == {"loss", "accuracy"}
    assert float(out["loss"].detach()) == pytest.approx(
        np.log(101), rel=1e-3
    )  # all weights are zero: every class alike


@pytest.mark.parametrize("stream", ["rgb", "flow"])
@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_single_frame_trains_on_the_lists(tmp_path, monkeypatch, stream, phase):
    monkeypatch.chdir(tmp_path)
    name, folder = {"rgb": ("RGB", "frames"), "flow": ("flow", "flow_images")}[stream]
    (tmp_path / folder).mkdir()
    images_folder(tmp_path / folder, [(240, 320), (240, 320)])
    for part in ("train", "test"):
        list_name = f"ucf101_singleFrame_{name}_{part}_split1.txt"
        (tmp_path / list_name).write_text("image 0.png 0\nimage 1.png 1\n")
    definition = small(read_net(networks.path("single_frame_train.prototxt")))
    net = lrcn.Net(definition, numerics="fast", phase=phase, stages=[stream])
    assert net.inputs == {"data": (2, 3, 227, 227), "label": (2,)}
    assert set(net()) == {"loss", "accuracy"}
