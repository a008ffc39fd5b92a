"""Caffe's files to plain Python data and back: network definitions, weights, solver settings, mean images.

Needs neither Caffe nor protobuf, and knows the three numberings of the messages that LRCN's weights come in.
"""

from .errors import FormatError
from .files import format_net, parse_net, read_mean, read_net, read_solver, write_mean, write_net
from .message import Message
from .phases import select_layers
from .replace import check_destinations, replacing
from .schema import DIALECTS
from .weights import LayerWeights, Weights, read_weights, write_weights

__all__ = [
    "DIALECTS",
    "FormatError",
    "LayerWeights",
    "Message",
    "Weights",
    "check_destinations",
    "format_net",
    "parse_net",
    "read_mean",
    "read_net",
    "read_solver",
    "read_weights",
    "replacing",
    "select_layers",
    "write_mean",
    "write_net",
    "write_weights",
]
