"""LRCN, revived: the networks of Donahue et al. (2015) as their authors' Caffe computed them, in PyTorch."""

from .errors import Error
from .net import Net

__version__ = "0.1.0"
__all__ = ["Error", "Net"]
