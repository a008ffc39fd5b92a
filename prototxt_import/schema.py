"""The messages of Caffe's files in one table: for each field its number, name, type, label and default.

`MESSAGES` follows the numbering of BVLC/caffe; `DIALECTS` says what differs in the two forks that the LRCN authors
used. One schema misreads files of the others: number 134 of a layer is `recurrent_param` in one and `log_param` in
the other two.

A row is `NUMBER NAME TYPE [= DEFAULT]`, rows are separated by commas. `TYPE*` is repeated, `TYPE[]` repeated and
packed; packed floats and doubles are the blobs, which are held as numpy arrays. A type that starts with a capital is
a message or an enum. Without a default, a number is 0, a string is empty, an enum has its first value.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

ENUMS: dict[str, dict[str, int]] = {
    "Phase": {"TRAIN": 0, "TEST": 1},
    "Engine": {"DEFAULT": 0, "CAFFE": 1, "CUDNN": 2},
    "DimCheckMode": {"STRICT": 0, "PERMISSIVE": 1},
    "VarianceNorm": {"FAN_IN": 0, "FAN_OUT": 1, "AVERAGE": 2},
    "NormalizationMode": {"FULL": 0, "VALID": 1, "BATCH_SIZE": 2, "NONE": 3},
    "DB": {"LEVELDB": 0, "LMDB": 1},
    "EltwiseOp": {"PROD": 0, "SUM": 1, "MAX": 2},
    "Norm": {"L1": 1, "L2": 2},
    "NormRegion": {"ACROSS_CHANNELS": 0, "WITHIN_CHANNEL": 1},
    "PoolMethod": {"MAX": 0, "AVE": 1, "STOCHASTIC": 2},
    "RoundMode": {"CEIL": 0, "FLOOR": 1},
    "ReductionOp": {"SUM": 1, "ASUM": 2, "SUMSQ": 3, "MEAN": 4},
    "SnapshotFormat": {"HDF5": 0, "BINARYPROTO": 1},
    "SolverMode": {"CPU": 0, "GPU": 1},
    "SolverType": {"SGD": 0, "NESTEROV": 1, "ADAGRAD": 2, "RMSPROP": 3, "ADADELTA": 4, "ADAM": 5},
    "V1LayerType": {
        "NONE": 0,
        "ACCURACY": 1,
        "BNLL": 2,
        "CONCAT": 3,
        "CONVOLUTION": 4,
        "DATA": 5,
        "DROPOUT": 6,
        "EUCLIDEAN_LOSS": 7,
        "FLATTEN": 8,
        "HDF5_DATA": 9,
        "HDF5_OUTPUT": 10,
        "IM2COL": 11,
        "IMAGE_DATA": 12,
        "INFOGAIN_LOSS": 13,
        "INNER_PRODUCT": 14,
        "LRN": 15,
        "MULTINOMIAL_LOGISTIC_LOSS": 16,
        "POOLING": 17,
        "RELU": 18,
        "SIGMOID": 19,
        "SOFTMAX": 20,
        "SOFTMAX_LOSS": 21,
        "SPLIT": 22,
        "TANH": 23,
        "WINDOW_DATA": 24,
        "ELTWISE": 25,
        "POWER": 26,
        "SIGMOID_CROSS_ENTROPY_LOSS": 27,
        "HINGE_LOSS": 28,
        "MEMORY_DATA": 29,
        "ARGMAX": 30,
        "THRESHOLD": 31,
        "DUMMY_DATA": 32,
        "SLICE": 33,
        "MVN": 34,
        "ABSVAL": 35,
        "SILENCE": 36,
        "CONTRASTIVE_LOSS": 37,
        "EXP": 38,
        "DECONVOLUTION": 39,
    },
}

MESSAGES: dict[str, str] = {
    # Networks and their layers.
    "NetParameter": """
        1 name string, 3 input string*, 4 input_dim int32*, 8 input_shape BlobShape*, 5 force_backward bool,
        6 state NetState, 7 debug_info bool, 2 layers V1LayerParameter*, 100 layer LayerParameter*""",
    "NetState": "1 phase Phase = TEST, 2 level int32, 3 stage string*",
    "NetStateRule": "1 phase Phase, 2 min_level int32, 3 max_level int32, 4 stage string*, 5 not_stage string*",
    "ParamSpec": "1 name string, 2 share_mode DimCheckMode, 3 lr_mult float = 1, 4 decay_mult float = 1",
    "LayerParameter": """
        1 name string, 2 type string, 3 bottom string*, 4 top string*, 10 phase Phase, 5 loss_weight float*,
        6 param ParamSpec*, 7 blobs BlobProto*, 11 propagate_down bool*, 8 include NetStateRule*,
        9 exclude NetStateRule*,
        100 transform_param TransformationParameter, 101 loss_param LossParameter,
        102 accuracy_param AccuracyParameter, 103 argmax_param ArgMaxParameter, 104 concat_param ConcatParameter,
        105 contrastive_loss_param ContrastiveLossParameter, 106 convolution_param ConvolutionParameter,
        107 data_param DataParameter, 108 dropout_param DropoutParameter, 109 dummy_data_param DummyDataParameter,
        110 eltwise_param EltwiseParameter, 111 exp_param ExpParameter, 112 hdf5_data_param HDF5DataParameter,
        113 hdf5_output_param HDF5OutputParameter, 114 hinge_loss_param HingeLossParameter,
        115 image_data_param ImageDataParameter, 116 infogain_loss_param InfogainLossParameter,
        117 inner_product_param InnerProductParameter, 118 lrn_param LRNParameter,
        119 memory_data_param MemoryDataParameter, 120 mvn_param MVNParameter, 121 pooling_param PoolingParameter,
        122 power_param PowerParameter, 123 relu_param ReLUParameter, 124 sigmoid_param SigmoidParameter,
        125 softmax_param SoftmaxParameter, 126 slice_param SliceParameter, 127 tanh_param TanHParameter,
        128 threshold_param ThresholdParameter, 129 window_data_param WindowDataParameter,
        130 python_param PythonParameter, 131 prelu_param PReLUParameter, 132 spp_param SPPParameter,
        133 reshape_param ReshapeParameter, 134 log_param LogParameter, 135 flatten_param FlattenParameter,
        136 reduction_param ReductionParameter, 137 embed_param EmbedParameter, 138 tile_param TileParameter,
        139 batch_norm_param BatchNormParameter, 140 elu_param ELUParameter, 141 bias_param BiasParameter,
        142 scale_param ScaleParameter, 143 input_param InputParameter, 144 crop_param CropParameter,
        145 parameter_param ParameterParameter, 146 recurrent_param RecurrentParameter,
        147 swish_param SwishParameter, 148 clip_param ClipParameter""",
    # Numbers: weights, means, examples.
    "BlobShape": "1 dim int64[]",
    "BlobProto": """
        1 num int32, 2 channels int32, 3 height int32, 4 width int32, 7 shape BlobShape,
        5 data float[], 6 diff float[], 8 double_data double[], 9 double_diff double[]""",
    "BlobProtoVector": "1 blobs BlobProto*",
    "Datum": """
        1 channels int32, 2 height int32, 3 width int32, 4 data bytes, 5 label int32, 6 float_data float*,
        7 encoded bool""",
    "FillerParameter": """
        1 type string = constant, 2 value float, 3 min float, 4 max float = 1, 5 mean float, 6 std float = 1,
        7 sparse int32 = -1, 8 variance_norm VarianceNorm""",
    # Solvers.
    "SolverParameter": """
        24 net string, 25 net_param NetParameter, 1 train_net string, 2 test_net string*,
        21 train_net_param NetParameter, 22 test_net_param NetParameter*, 26 train_state NetState,
        27 test_state NetState*, 3 test_iter int32*, 4 test_interval int32, 19 test_compute_loss bool,
        32 test_initialization bool = true, 5 base_lr float, 6 display int32, 33 average_loss int32 = 1,
        7 max_iter int32, 36 iter_size int32 = 1, 8 lr_policy string, 9 gamma float, 10 power float,
        11 momentum float, 12 weight_decay float, 29 regularization_type string = L2, 13 stepsize int32,
        34 stepvalue int32*, 35 clip_gradients float = -1, 14 snapshot int32, 15 snapshot_prefix string,
        16 snapshot_diff bool, 37 snapshot_format SnapshotFormat = BINARYPROTO, 17 solver_mode SolverMode = GPU,
        18 device_id int32, 20 random_seed int64 = -1, 40 type string = SGD, 31 delta float = 1e-8,
        39 momentum2 float = 0.999, 38 rms_decay float = 0.99, 23 debug_info bool,
        28 snapshot_after_train bool = true, 30 solver_type SolverType, 41 layer_wise_reduce bool = true,
        42 weights string*""",
    "SolverState": "1 iter int32, 2 learned_net string, 3 history BlobProto*, 4 current_step int32",
    # Parameters of the layers, by name.
    "AccuracyParameter": "1 top_k uint32 = 1, 2 axis int32 = 1, 3 ignore_label int32",
    "ArgMaxParameter": "1 out_max_val bool, 2 top_k uint32 = 1, 3 axis int32",
    "BatchNormParameter": "1 use_global_stats bool, 2 moving_average_fraction float = 0.999, 3 eps float = 1e-5",
    "BiasParameter": "1 axis int32 = 1, 2 num_axes int32 = 1, 3 filler FillerParameter",
    "ClipParameter": "1 min float, 2 max float",
    "ConcatParameter": "2 axis int32 = 1, 1 concat_dim uint32 = 1",
    "ContrastiveLossParameter": "1 margin float = 1, 2 legacy_version bool",
    "ConvolutionParameter": """
        1 num_output uint32, 2 bias_term bool = true, 3 pad uint32*, 4 kernel_size uint32*, 6 stride uint32*,
        18 dilation uint32*, 9 pad_h uint32, 10 pad_w uint32, 11 kernel_h uint32, 12 kernel_w uint32,
        13 stride_h uint32, 14 stride_w uint32, 5 group uint32 = 1, 7 weight_filler FillerParameter,
        8 bias_filler FillerParameter, 15 engine Engine, 16 axis int32 = 1, 17 force_nd_im2col bool""",
    "CropParameter": "1 axis int32 = 2, 2 offset uint32*",
    "DataParameter": """
        1 source string, 4 batch_size uint32, 7 rand_skip uint32, 8 backend DB, 2 scale float = 1,
        3 mean_file string, 5 crop_size uint32, 6 mirror bool, 9 force_encoded_color bool, 10 prefetch uint32 = 4""",
    "DropoutParameter": "1 dropout_ratio float = 0.5",
    "DummyDataParameter": """
        1 data_filler FillerParameter*, 6 shape BlobShape*, 2 num uint32*, 3 channels uint32*, 4 height uint32*,
        5 width uint32*""",
    "ELUParameter": "1 alpha float = 1",
    "EltwiseParameter": "1 operation EltwiseOp = SUM, 2 coeff float*, 3 stable_prod_grad bool = true",
    "EmbedParameter": """
        1 num_output uint32, 2 input_dim uint32, 3 bias_term bool = true, 4 weight_filler FillerParameter,
        5 bias_filler FillerParameter""",
    "ExpParameter": "1 base float = -1, 2 scale float = 1, 3 shift float",
    "FlattenParameter": "1 axis int32 = 1, 2 end_axis int32 = -1",
    "HDF5DataParameter": "1 source string, 2 batch_size uint32, 3 shuffle bool",
    "HDF5OutputParameter": "1 file_name string",
    "HingeLossParameter": "1 norm Norm",
    "ImageDataParameter": """
        1 source string, 4 batch_size uint32 = 1, 7 rand_skip uint32, 8 shuffle bool, 9 new_height uint32,
        10 new_width uint32, 11 is_color bool = true, 2 scale float = 1, 3 mean_file string, 5 crop_size uint32,
        6 mirror bool, 12 root_folder string""",
    "InfogainLossParameter": "1 source string, 2 axis int32 = 1",
    "InnerProductParameter": """
        1 num_output uint32, 2 bias_term bool = true, 3 weight_filler FillerParameter, 4 bias_filler FillerParameter,
        5 axis int32 = 1, 6 transpose bool""",
    "InputParameter": "1 shape BlobShape*",
    "LRNParameter": """
        1 local_size uint32 = 5, 2 alpha float = 1, 3 beta float = 0.75, 4 norm_region NormRegion, 5 k float = 1,
        6 engine Engine""",
    "LogParameter": "1 base float = -1, 2 scale float = 1, 3 shift float",
    "LossParameter": "1 ignore_label int32, 3 normalization NormalizationMode = VALID, 2 normalize bool",
    "MVNParameter": "1 normalize_variance bool = true, 2 across_channels bool, 3 eps float = 1e-9",
    "MemoryDataParameter": "1 batch_size uint32, 2 channels uint32, 3 height uint32, 4 width uint32",
    "PReLUParameter": "1 filler FillerParameter, 2 channel_shared bool",
    "ParameterParameter": "1 shape BlobShape",
    "PoolingParameter": """
        1 pool PoolMethod, 4 pad uint32, 9 pad_h uint32, 10 pad_w uint32, 2 kernel_size uint32, 5 kernel_h uint32,
        6 kernel_w uint32, 3 stride uint32 = 1, 7 stride_h uint32, 8 stride_w uint32, 11 engine Engine,
        12 global_pooling bool, 13 round_mode RoundMode""",
    "PowerParameter": "1 power float = 1, 2 scale float = 1, 3 shift float",
    "PythonParameter": "1 module string, 2 layer string, 3 param_str string, 4 share_in_parallel bool",
    "ReLUParameter": "1 negative_slope float, 2 engine Engine",
    "RecurrentParameter": """
        1 num_output uint32, 2 weight_filler FillerParameter, 3 bias_filler FillerParameter, 4 debug_info bool,
        5 expose_hidden bool""",
    "ReductionParameter": "1 operation ReductionOp, 2 axis int32, 3 coeff float = 1",
    "ReshapeParameter": "1 shape BlobShape, 2 axis int32, 3 num_axes int32 = -1",
    "SPPParameter": "1 pyramid_height uint32, 2 pool PoolMethod, 6 engine Engine",
    "ScaleParameter": """
        1 axis int32 = 1, 2 num_axes int32 = 1, 3 filler FillerParameter, 4 bias_term bool,
        5 bias_filler FillerParameter""",
    "SigmoidParameter": "1 engine Engine",
    "SliceParameter": "3 axis int32 = 1, 2 slice_point uint32*, 1 slice_dim uint32 = 1",
    "SoftmaxParameter": "1 engine Engine, 2 axis int32 = 1",
    "SwishParameter": "1 beta float = 1",
    "TanHParameter": "1 engine Engine",
    "ThresholdParameter": "1 threshold float",
    "TileParameter": "1 axis int32 = 1, 2 tiles int32",
    "TransformationParameter": """
        1 scale float = 1, 2 mirror bool, 3 crop_size uint32, 4 mean_file string, 5 mean_value float*,
        6 force_color bool, 7 force_gray bool""",
    "WindowDataParameter": """
        1 source string, 2 scale float = 1, 3 mean_file string, 4 batch_size uint32, 5 crop_size uint32,
        6 mirror bool, 7 fg_threshold float = 0.5, 8 bg_threshold float = 0.5, 9 fg_fraction float = 0.25,
        10 context_pad uint32, 11 crop_mode string = warp, 12 cache_images bool, 13 root_folder string""",
    # The two older forms of a layer.
    "V1LayerParameter": """
        4 name string, 5 type V1LayerType, 2 bottom string*, 3 top string*, 32 include NetStateRule*,
        33 exclude NetStateRule*, 6 blobs BlobProto*, 1001 param string*, 1002 blob_share_mode DimCheckMode*,
        7 blobs_lr float*, 8 weight_decay float*, 35 loss_weight float*,
        9 concat_param ConcatParameter, 10 convolution_param ConvolutionParameter, 11 data_param DataParameter,
        12 dropout_param DropoutParameter, 13 hdf5_data_param HDF5DataParameter,
        14 hdf5_output_param HDF5OutputParameter, 15 image_data_param ImageDataParameter,
        16 infogain_loss_param InfogainLossParameter, 17 inner_product_param InnerProductParameter,
        18 lrn_param LRNParameter, 19 pooling_param PoolingParameter, 20 window_data_param WindowDataParameter,
        21 power_param PowerParameter, 22 memory_data_param MemoryDataParameter, 23 argmax_param ArgMaxParameter,
        24 eltwise_param EltwiseParameter, 25 threshold_param ThresholdParameter,
        26 dummy_data_param DummyDataParameter, 27 accuracy_param AccuracyParameter,
        29 hinge_loss_param HingeLossParameter, 30 relu_param ReLUParameter, 31 slice_param SliceParameter,
        34 mvn_param MVNParameter, 36 transform_param TransformationParameter, 37 tanh_param TanHParameter,
        38 sigmoid_param SigmoidParameter, 39 softmax_param SoftmaxParameter,
        40 contrastive_loss_param ContrastiveLossParameter, 41 exp_param ExpParameter, 42 loss_param LossParameter,
        1 layer V0LayerParameter""",
    "V0LayerParameter": """
        1 name string, 2 type string, 3 num_output uint32, 4 biasterm bool = true, 5 weight_filler FillerParameter,
        6 bias_filler FillerParameter, 7 pad uint32, 8 kernelsize uint32, 9 group uint32 = 1, 10 stride uint32 = 1,
        11 pool PoolMethod, 12 dropout_ratio float = 0.5, 13 local_size uint32 = 5, 14 alpha float = 1,
        15 beta float = 0.75, 22 k float = 1, 16 source string, 17 scale float = 1, 18 meanfile string,
        19 batchsize uint32, 20 cropsize uint32, 21 mirror bool, 50 blobs BlobProto*, 51 blobs_lr float*,
        52 weight_decay float*, 53 rand_skip uint32, 54 det_fg_threshold float = 0.5,
        55 det_bg_threshold float = 0.5, 56 det_fg_fraction float = 0.25, 58 det_context_pad uint32,
        59 det_crop_mode string = warp, 60 new_num int32, 61 new_channels int32, 62 new_height int32,
        63 new_width int32, 64 shuffle_images bool, 65 concat_dim uint32 = 1,
        1001 hdf5_output_param HDF5OutputParameter""",
}


@dataclass(frozen=True)
class Dialect:
    """How one code base numbers its messages, as a difference to `MESSAGES`.

    Attributes:
        source: the code base.
        last_layer_field: numbers of LayerParameter beyond this one did not exist yet.
        changes: rows that take the place of those with the same name or number.
    """

    source: str
    last_layer_field: int
    changes: Mapping[str, str]


DIALECTS: dict[str, Dialect] = {
    "bvlc": Dialect("BVLC/caffe, master", 148, {}),
    "recurrent": Dialect(
        "jeffdonahue/caffe, branch recurrent (captioning)",
        140,
        {
            "LayerParameter": "139 scalar_param ScalarParameter, 140 recurrent_param RecurrentParameter",
            "ScalarParameter": "1 axis int32",
        },
    ),
    "fork": Dialect(
        "LisaAnne/lisa-caffe-public, branch lstm_video_deploy (activity recognition)",
        134,
        {
            "LayerParameter": "132 embed_param EmbedParameter, 134 recurrent_param RecurrentParameter",
            "TransformationParameter": "6 flow bool",
            "AccuracyParameter": "4 denominator float",
            "EltwiseParameter": "4 coeff_blob bool",
            "ImageDataParameter": "13 min_height uint32, 14 min_width uint32",
        },
    ),
}

SCALARS = frozenset({"int32", "int64", "uint32", "float", "double", "bool", "string", "bytes"})


@dataclass(frozen=True)
class Field:
    """One field of a message, whatever its number in a dialect."""

    name: str
    type: str
    repeated: bool
    packed: bool
    default: object

    @property
    def is_message(self) -> bool:
        """The type is a message, not a scalar or an enum."""
        return self.type not in SCALARS and self.type not in ENUMS

    @property
    def is_array(self) -> bool:
        """The values are held as a numpy array: the numbers of a blob."""
        return self.packed and self.type in ("float", "double")


def _default(type_name: str, text: str | None) -> object:
    if type_name in ENUMS:
        return text or next(iter(ENUMS[type_name]))
    if type_name == "bool":
        return text == "true"
    if type_name == "string":
        return text or ""
    if type_name == "bytes":
        return b""
    if type_name in ("float", "double"):
        return float(text or 0)
    return int(text or 0) if type_name in SCALARS else None


def _rows(table: str) -> dict[int, Field]:
    fields = {}
    for row in table.split(","):
        declaration, _, default = row.partition("=")
        number, name, type_name = declaration.split()
        base = type_name.rstrip("*[]")
        fields[int(number)] = Field(
            name=name,
            type=base,
            repeated=type_name != base,
            packed=type_name.endswith("[]"),
            default=_default(base, default.strip() or None),
        )
    return fields


def _numbering(dialect: Dialect) -> dict[str, dict[int, Field]]:
    messages = {name: _rows(table) for name, table in MESSAGES.items()}
    messages["LayerParameter"] = {
        number: field for number, field in messages["LayerParameter"].items() if number <= dialect.last_layer_field
    }
    for name, table in dialect.changes.items():
        changes = _rows(table)
        renamed = {field.name for field in changes.values()}
        kept = {number: field for number, field in messages.get(name, {}).items() if field.name not in renamed}
        messages[name] = kept | changes
    return messages


# By dialect and message: number -> field, in the order of the table.
NUMBERING: dict[str, dict[str, dict[int, Field]]] = {name: _numbering(dialect) for name, dialect in DIALECTS.items()}

# By message: name -> field, of all dialects together, which share one text form. BVLC's come first.
FIELDS: dict[str, dict[str, Field]] = {}
for _messages in NUMBERING.values():
    for _message, _fields in _messages.items():
        for _field in _fields.values():
            FIELDS.setdefault(_message, {}).setdefault(_field.name, _field)


def near(name: str, names: list[str]) -> str:
    """`; did you mean ...?` with the names that resemble `name`, or nothing."""
    by_lower_case = {candidate.lower(): candidate for candidate in names}
    matches = difflib.get_close_matches(name.lower(), by_lower_case)
    return f"; did you mean {' or '.join(by_lower_case[match] for match in matches)}?" if matches else ""
