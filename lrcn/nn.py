"""The fused LSTM as a module for anyone's model."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from .errors import Error
from .ops import lstm

State = tuple[Tensor, Tensor]


class LSTM(nn.Module):
    """One layer of LSTM over sequences that may begin anew at any step; equations: `lrcn.ops.lstm`.

    Its parameters are Caffe's blobs, in their order: w_x (4H, I), b (4H,), w_static (4H, S) if there is a static input,
    and w_h (4H, H); gates in the order i, f, o, g. They start uniformly within 1 / sqrt(H), as those of torch.nn.LSTM.

    Args:
        input_size (int): I.
        hidden_size (int): H.
        static_size (int | None): S, the size of an input that enters every step; None for no such input.
        precision (str): "ieee" or "tf32", see `lrcn.ops.lstm`.
        device, dtype: of the parameters.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        static_size: int | None = None,
        *,
        precision: str = "ieee",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.static_size = input_size, hidden_size, static_size
        self.precision = precision

        def parameter(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(4 * hidden_size, *shape, device=device, dtype=dtype))

        self.w_x = parameter(input_size)
        self.b = parameter()
        self.w_static = None if static_size is None else parameter(static_size)
        self.w_h = parameter(hidden_size)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        bound = self.hidden_size**-0.5
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def forward(
        self, x: Tensor, cont: Tensor | None = None, x_static: Tensor | None = None, state: State | None = None
    ) -> tuple[Tensor, State]:
        """Run T steps of N streams.

        Args:
            x (Tensor): (T, N, I).
            cont (Tensor | None): (T, N); 0 where a stream begins a new sequence, else 1. Ones if not given.
            x_static (Tensor | None): (N, S), if the module has a static input.
            state (tuple[Tensor, Tensor] | None): h and c, (N, H) each, from before the first step; zeros if not given.

        Returns:
            h (T, N, H), and the state after the last step, to go on from.

        Raises:
            Error: an argument does not fit.
        """
        if cont is None:
            cont = x.new_ones(x.shape[:2])
        h_0, c_0 = state or (None, None)
        h, h_T, c_T = lstm(
            x, cont, self.w_x, self.b, self.w_h, x_static, self.w_static, h_0, c_0, precision=self.precision
        )
        return h, (h_T, c_T)

    def extra_repr(self) -> str:
        """The sizes."""
        static = "" if self.static_size is None else f", static_size={self.static_size}"
        return f"{self.input_size}, {self.hidden_size}{static}"

    @classmethod
    def from_torch(cls, module: nn.LSTM) -> "LSTM":
        """A module that computes what this torch.nn.LSTM does; an `Error` if that has more than one plain layer."""
        plain = {"num_layers": 1, "bidirectional": False, "proj_size": 0, "batch_first": False}
        for name, value in plain.items():
            if getattr(module, name) != value:
                raise Error(f"torch.nn.LSTM: {name}={value} expected, {getattr(module, name)} given")
        weights = [_order_of_caffe(weight) for weight in (module.weight_ih_l0, module.weight_hh_l0)]
        bias = weights[0].new_zeros(4 * module.hidden_size)
        if module.bias:
            bias = _order_of_caffe(module.bias_ih_l0 + module.bias_hh_l0)
        return cls._of(weights[0], bias, None, weights[1])

    def to_torch(self) -> nn.LSTM:
        """A torch.nn.LSTM that computes the same where no stream begins anew; an `Error` with a static input."""
        if self.w_static is not None:
            raise Error("torch.nn.LSTM has no static input; a module with static_size=None expected")
        place = {"device": self.w_x.device, "dtype": self.w_x.dtype}
        module = nn.LSTM(self.input_size, self.hidden_size, **place)
        with torch.no_grad():
            module.weight_ih_l0.copy_(_order_of_torch(self.w_x))
            module.weight_hh_l0.copy_(_order_of_torch(self.w_h))
            module.bias_ih_l0.copy_(_order_of_torch(self.b))
            module.bias_hh_l0.zero_()
        return module

    @classmethod
    def from_caffe(cls, blobs: Sequence[np.ndarray]) -> "LSTM":
        """From the blobs of a Caffe LSTM layer: W_xc, b_c, (W_xc_static,) W_hc, as `prototxt_import` reads them."""
        if len(blobs) not in (3, 4):
            raise Error(f"blobs of an LSTM layer: 3 or 4 (W_xc, b_c, W_xc_static, W_hc) expected, {len(blobs)} given")
        w_x, b, *w_static, w_h = (torch.tensor(np.asarray(blob)) for blob in blobs)
        return cls._of(w_x, b, w_static[0] if w_static else None, w_h)

    def to_caffe(self) -> list[np.ndarray]:
        """Copies of the parameters as the blobs of a Caffe LSTM layer, float32."""
        return [parameter.detach().cpu().to(torch.float32, copy=True).numpy() for parameter in self.parameters()]

    @classmethod
    def _of(cls, w_x: Tensor, b: Tensor, w_static: Tensor | None, w_h: Tensor) -> "LSTM":
        given = [blob for blob in (w_x, b, w_static, w_h) if blob is not None]
        static_size = None if w_static is None else w_static.shape[-1]
        module = cls(w_x.shape[-1], w_h.shape[-1], static_size, device=w_x.device, dtype=w_x.dtype)
        for (name, parameter), value in zip(module.named_parameters(), given, strict=True):
            if parameter.shape != value.shape:
                raise Error(f"{name}: shape {tuple(parameter.shape)} expected, {tuple(value.shape)} given")
            with torch.no_grad():
                parameter.copy_(value)
        return module


def _order_of_caffe(gates: Tensor) -> Tensor:
    i, f, g, o = gates.detach().chunk(4)
    return torch.cat([i, f, o, g])


def _order_of_torch(gates: Tensor) -> Tensor:
    i, f, o, g = gates.detach().chunk(4)
    return torch.cat([i, f, g, o])
