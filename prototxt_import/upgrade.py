"""Networks in Caffe's two older forms to the current one, as BVLC's own upgrade does it.

V0 wraps the parameters of every kind of layer in one message and pads with layers of their own; V1 names layer types
by an enum and keeps learning rates in lists; old networks name their inputs in fields instead of an Input layer.
"""

import warnings

from .errors import FormatError
from .message import Message
from .schema import FIELDS, near

# V0 layer type -> (current type, the field that holds its parameters).
_V0_TYPES = {
    "accuracy": ("Accuracy", "accuracy_param"),
    "bnll": ("BNLL", None),
    "concat": ("Concat", "concat_param"),
    "conv": ("Convolution", "convolution_param"),
    "data": ("Data", "data_param"),
    "dropout": ("Dropout", "dropout_param"),
    "euclidean_loss": ("EuclideanLoss", None),
    "flatten": ("Flatten", None),
    "hdf5_data": ("HDF5Data", "hdf5_data_param"),
    "hdf5_output": ("HDF5Output", "hdf5_output_param"),
    "im2col": ("Im2col", "convolution_param"),
    "images": ("ImageData", "image_data_param"),
    "infogain_loss": ("InfogainLoss", "infogain_loss_param"),
    "innerproduct": ("InnerProduct", "inner_product_param"),
    "lrn": ("LRN", "lrn_param"),
    "multinomial_logistic_loss": ("MultinomialLogisticLoss", None),
    "pool": ("Pooling", "pooling_param"),
    "relu": ("ReLU", "relu_param"),
    "sigmoid": ("Sigmoid", "sigmoid_param"),
    "softmax": ("Softmax", "softmax_param"),
    "softmax_loss": ("SoftmaxWithLoss", None),
    "split": ("Split", None),
    "tanh": ("TanH", "tanh_param"),
    "window_data": ("WindowData", "window_data_param"),
}

# V0 field -> its name among the parameters of the current layer, where it is not the same.
_V0_FIELDS = {
    "biasterm": "bias_term",
    "kernelsize": "kernel_size",
    "batchsize": "batch_size",
    "shuffle_images": "shuffle",
    "det_fg_threshold": "fg_threshold",
    "det_bg_threshold": "bg_threshold",
    "det_fg_fraction": "fg_fraction",
    "det_context_pad": "context_pad",
    "det_crop_mode": "crop_mode",
    "meanfile": "mean_file",
    "cropsize": "crop_size",
}

# V0 fields that belong to transform_param, whatever the type of the layer.
_V0_TRANSFORM = ("scale", "meanfile", "cropsize", "mirror")

_V1_TYPES = {
    "NONE": "",
    "ABSVAL": "AbsVal",
    "ACCURACY": "Accuracy",
    "ARGMAX": "ArgMax",
    "BNLL": "BNLL",
    "CONCAT": "Concat",
    "CONTRASTIVE_LOSS": "ContrastiveLoss",
    "CONVOLUTION": "Convolution",
    "DATA": "Data",
    "DECONVOLUTION": "Deconvolution",
    "DROPOUT": "Dropout",
    "DUMMY_DATA": "DummyData",
    "ELTWISE": "Eltwise",
    "EUCLIDEAN_LOSS": "EuclideanLoss",
    "EXP": "Exp",
    "FLATTEN": "Flatten",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "HINGE_LOSS": "HingeLoss",
    "IM2COL": "Im2col",
    "IMAGE_DATA": "ImageData",
    "INFOGAIN_LOSS": "InfogainLoss",
    "INNER_PRODUCT": "InnerProduct",
    "LRN": "LRN",
    "MEMORY_DATA": "MemoryData",
    "MULTINOMIAL_LOGISTIC_LOSS": "MultinomialLogisticLoss",
    "MVN": "MVN",
    "POOLING": "Pooling",
    "POWER": "Power",
    "RELU": "ReLU",
    "SIGMOID": "Sigmoid",
    "SIGMOID_CROSS_ENTROPY_LOSS": "SigmoidCrossEntropyLoss",
    "SILENCE": "Silence",
    "SLICE": "Slice",
    "SOFTMAX": "Softmax",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "SPLIT": "Split",
    "TANH": "TanH",
    "THRESHOLD": "Threshold",
    "WINDOW_DATA": "WindowData",
}

# V1 field, one value per blob -> field of the ParamSpec of that blob.
_V1_PARAM_FIELDS = {
    "param": "name",
    "blob_share_mode": "share_mode",
    "blobs_lr": "lr_mult",
    "weight_decay": "decay_mult",
}

# Preprocessing stood among the parameters of the layers that read images.
_IMAGE_PARAMETERS = {"Data": "data_param", "ImageData": "image_data_param", "WindowData": "window_data_param"}
_TRANSFORM_FIELDS = ("scale", "mean_file", "crop_size", "mirror")

_SOLVER_TYPES = {
    "SGD": "SGD",
    "NESTEROV": "Nesterov",
    "ADAGRAD": "AdaGrad",
    "RMSPROP": "RMSProp",
    "ADADELTA": "AdaDelta",
    "ADAM": "Adam",
}


NET_FORMATS = ("V0", "V1", "current")


def net_format(net: Message) -> str:
    """The form in which a NetParameter is written, one of `NET_FORMATS`."""
    if not net.has("layers"):
        return "current"
    return "V0" if any(layer.has("layer") for layer in net.layers) else "V1"


def upgrade_net(net: Message, name: str) -> Message:
    """A NetParameter in the current form: layers in `layer`, inputs in a layer of type Input.

    Args:
        net: a NetParameter in any form; it is not changed. Blobs are kept.
        name: stands for the file in errors.

    Raises:
        FormatError: the network mixes forms or cannot be expressed in the current one.
    """
    upgraded = net.copy()
    form = net_format(net)
    if form != "current":
        if net.has("layer"):
            raise FormatError(f"{name}: has both `layer` and `layers`; expected one form; write all as `layer`")
        if form == "V0" and not all(layer.has("layer") for layer in net.layers):
            raise FormatError(f"{name}: has V0 and V1 layers in `layers`; expected one form; write all as `layer`")
        layers = _fold_padding(net.layers, name) if form == "V0" else net.layers
        upgraded.clear("layers")
        upgraded.layer = [_upgrade_v0(layer, name) if form == "V0" else _upgrade_v1(layer) for layer in layers]
    _upgrade_inputs(upgraded, name)
    for layer in upgraded.layer:
        if layer.type == "BatchNorm" and len(layer.param) == 3:  # its statistics were once declared as if learned
            for param in layer.param:
                param.lr_mult = param.decay_mult = 0
    return upgraded


def upgrade_solver(solver: Message, name: str) -> Message:
    """A SolverParameter whose `type` is a string and whose inline networks are in the current form.

    Raises:
        FormatError: both kinds of type are given, or a network is at fault.
    """
    upgraded = solver.copy()
    if solver.has("solver_type"):
        if solver.has("type"):
            raise FormatError(f"{name}: has both `type` and the older `solver_type`; expected one, remove the latter")
        upgraded.type = _SOLVER_TYPES[solver.solver_type]
        upgraded.clear("solver_type")
    for field in ("net_param", "train_net_param"):
        if solver.has(field):
            setattr(upgraded, field, upgrade_net(getattr(solver, field), name))
    upgraded.test_net_param = [upgrade_net(net, name) for net in solver.test_net_param]
    return upgraded


def _fold_padding(layers: list[Message], name: str) -> list[Message]:
    """V0 layers without those of type padding; their reader pads instead."""
    folded, producer = [], {}
    for layer in layers:
        layer = layer.copy()
        padding = [producer[bottom] for bottom in layer.bottom if bottom in producer]
        padding = [source for source in padding if source.layer.type == "padding"]
        if padding:
            one_blob = len(layer.bottom) == 1 and len(padding[0].bottom) == 1 and len(padding[0].top) == 1
            if layer.layer.type not in ("conv", "pool") or not one_blob:
                raise FormatError(
                    f"{name}: layer {layer.layer.name!r} of type {layer.layer.type!r} reads the padding layer "
                    f"{padding[0].layer.name!r}; expected a conv or pool layer with one bottom"
                )
            layer.layer.pad = padding[0].layer.pad
            layer.bottom = padding[0].bottom
        if layer.layer.type != "padding":
            folded.append(layer)
        producer.update(dict.fromkeys(layer.top, layer))
    return folded


def _upgrade_v0(connection: Message, name: str) -> Message:
    old = connection.layer
    new = Message("LayerParameter", bottom=connection.bottom, top=connection.top, blobs=old.blobs)
    parameters_field = None
    if old.has("name"):
        new.name = old.name
    if old.has("type"):
        if old.type not in _V0_TYPES:
            raise FormatError(
                f"{name}: layer {old.name!r} has type {old.type!r}, which is none of V0's"
                f"{near(old.type, list(_V0_TYPES))}"
            )
        new.type, parameters_field = _V0_TYPES[old.type]
    _set_params(new, old)
    for field, value in old.fields():
        if field in ("name", "type", "blobs", "blobs_lr", "weight_decay"):
            continue
        if field == "hdf5_output_param" and old.type == "hdf5_output":
            new.hdf5_output_param = value
            continue
        place = "transform_param" if field in _V0_TRANSFORM else parameters_field
        try:
            used = _set_parameter(new, place, _V0_FIELDS.get(field, field), value)
        except ValueError as error:
            raise FormatError(f"{name}: layer {old.name!r}: {error}") from None
        if not used:
            warnings.warn(f"{name}: layer {old.name!r} of type {old.type!r} has no use for {field}", stacklevel=2)
    return new


def _set_parameter(layer: Message, field: str | None, name: str, value: object) -> bool:
    """Set one value among the parameters that the layer keeps in `field`; False if they have none of that name."""
    if field is None:
        return False
    type_name = FIELDS["LayerParameter"][field].type
    if name not in FIELDS[type_name]:
        return False
    if not layer.has(field):
        setattr(layer, field, Message(type_name))
    setattr(getattr(layer, field), name, [value] if FIELDS[type_name][name].repeated else value)
    return True


def _upgrade_v1(old: Message) -> Message:
    new = Message("LayerParameter")
    for field, value in old.fields():
        if field == "type":
            new.type = _V1_TYPES[value]
        elif field not in _V1_PARAM_FIELDS:
            setattr(new, field, value)
    _set_params(new, old)
    image_field = _IMAGE_PARAMETERS.get(new.type)
    if image_field and new.has(image_field):
        parameters = getattr(new, image_field).copy()
        for field in _TRANSFORM_FIELDS:
            if parameters.has(field):
                _set_parameter(new, "transform_param", field, getattr(parameters, field))
                parameters.clear(field)
        setattr(new, image_field, parameters)
    return new


def _set_params(new: Message, old: Message) -> None:
    """The multipliers and names of the older forms, in lists by blob, to one ParamSpec per blob."""
    for old_name, new_name in _V1_PARAM_FIELDS.items():
        if old_name in FIELDS[old.type_name]:
            for index, value in enumerate(getattr(old, old_name)):
                if index == len(new.param):
                    new.param.append(Message("ParamSpec"))
                setattr(new.param[index], new_name, value)


def _upgrade_inputs(net: Message, name: str) -> None:
    """The fields input, input_shape and input_dim to one layer of type Input; without shapes they are dropped."""
    tops, shapes, dims = list(net.input), list(net.input_shape), list(net.input_dim)
    for field in ("input", "input_shape", "input_dim"):
        net.clear(field)
    if not shapes and dims:
        if len(dims) != 4 * len(tops):
            raise FormatError(
                f"{name}: {len(dims)} values of input_dim; expected four for each of the {len(tops)} inputs, "
                f"{4 * len(tops)}"
            )
        shapes = [Message("BlobShape", dim=dims[start : start + 4]) for start in range(0, len(dims), 4)]
    if not tops or not shapes:
        return
    if len(shapes) != len(tops):
        raise FormatError(f"{name}: {len(shapes)} values of input_shape; expected one for each of {len(tops)} inputs")
    layer = Message("LayerParameter", name="input", type="Input", top=tops)
    layer.input_param = Message("InputParameter", shape=shapes)
    net.layer.insert(0, layer)
