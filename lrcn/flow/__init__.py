"""Optical flow between frames, and the authors' flow images of it.

A flow field is (height, width, 2) float32: by how many pixels each point of the previous frame moves, x (right) then
y (down). The paper computes flow as Brox et al. 2004 ("brox"); OpenCV's "dis" (Kroeger et al. 2016) and "farneback"
(Farnebäck 2003) are faster and give other images.
"""

from .brox import Brox
from .encoding import colour_flow, decode_flow, encode_flow
from .images import flow_images, has_flow_images, write_flow_images
from .methods import METHODS, Method, compute_flow, flow_method

__all__ = [
    "METHODS",
    "Brox",
    "Method",
    "colour_flow",
    "compute_flow",
    "decode_flow",
    "encode_flow",
    "flow_images",
    "flow_method",
    "has_flow_images",
    "write_flow_images",
]
