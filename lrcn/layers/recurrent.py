"""LSTM and RNN, whose state goes on from one forward pass to the next."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import Error
from .base import Layer, register, require_positive


class _State:
    """A state blob as Caffe keeps it: flat memory that outlives a change of shape.

    Fewer streams than before read the front of it; more than it ever held begin anew with zeros.
    """

    def __init__(self) -> None:
        self.memory: Tensor | None = None

    def read(self, like: Tensor, *shape: int) -> Tensor:
        count = torch.Size(shape).numel()
        if self.memory is None or self.memory.numel() < count:
            self.memory = torch.zeros(count, device=like.device)
        self.memory = self.memory.to(like.device)
        # A copy: gradients and callers must not see the memory change under them.
        return self.memory[:count].view(shape).clone()

    def write(self, value: Tensor) -> None:
        self.memory[: value.numel()] = value.detach().flatten()


class _Recurrent(Layer):
    """What LSTM and RNN share: bottoms x, cont, perhaps x_static, and the state.

    The state of one pass is where the next begins, as far as its cont lets it; `expose_hidden` makes the state bottoms
    and tops of shape (1, N, H) instead. Gradients go through x, x_static and the blobs, never through cont or a state.
    """

    gates: int
    states: int

    def setup(self, x: Tensor, cont: Tensor, *others: Tensor) -> None:
        definition = self.definition.recurrent_param
        self.hidden = require_positive(definition, "num_output")
        self.expose_hidden = definition.expose_hidden
        exposed = self.states if self.expose_hidden else 0
        self.has_static = len(others) > exposed
        if len(others) != exposed + self.has_static:
            raise Error(f"{exposed} or {exposed + 1} bottoms after x and cont were expected, {len(others)} were found")
        if x.dim() < 2:
            raise Error(f"x must have axes (T, N, ...), shape {tuple(x.shape)} was found")
        self.memory = [_State() for _ in range(self.states)]
        outputs = self.gates * self.hidden
        weight, bias = definition.weight_filler, definition.bias_filler
        self.add_blob(outputs, x.shape[2:].numel(), filler=weight)
        self.add_blob(outputs, filler=bias)
        if self.has_static:
            self.add_blob(outputs, others[0].shape[1:].numel(), filler=weight)
        self.add_blob(outputs, self.hidden, filler=weight)

    def reset_state(self) -> None:
        """Begin the next pass with zeros."""
        self.memory = [_State() for _ in range(self.states)]

    def state(self, streams: int) -> list[Tensor]:
        """The state, h then c, (streams, H) each; zeros before the first pass."""
        like = self.blobs[0]
        return [memory.read(like, streams, self.hidden) for memory in self.memory]

    def set_state(self, state: Sequence[Tensor]) -> None:
        """Begin the next pass, of as many streams, from these."""
        for memory, value in zip(self.memory, state, strict=True):
            memory.memory = value.detach().flatten().clone()

    def carried(self) -> list[Tensor]:
        """The state, h then c, flat; nothing before the first pass."""
        return [state.memory for state in self.memory if state.memory is not None]

    def carry_on(self, carried: Sequence[Tensor]) -> None:
        """Begin the next pass with a state that was carried."""
        for state, memory in zip(self.memory, carried, strict=False):
            state.memory = memory.clone()

    def forward(self, x: Tensor, cont: Tensor, *others: Tensor) -> Tensor | tuple[Tensor, ...]:
        """x (T, N, ...), cont (T, N), x_static (N, ...), states (1, N, H); h (T, N, H), states (1, N, H)."""
        if x.dim() < 2 or cont.shape != x.shape[:2]:
            raise Error(
                f"cont must be (T, N) for x (T, N, ...); x is {tuple(x.shape)} and cont {tuple(cont.shape)}. "
                "Time comes first."
            )
        x_static = others[0] if self.has_static else None
        shape = (x.shape[1], self.hidden)
        if self.expose_hidden:
            initial = [state.detach().reshape(shape) for state in others[self.has_static :]]
        else:
            initial = [
                torch.zeros_like(x[0, 0]).new_zeros(shape) if x.is_meta else state.read(x, *shape)
                for state in self.memory
            ]
        h, *final = self.sequence(x.flatten(2) if x.dim() > 2 else x.unsqueeze(2), cont.detach(), x_static, *initial)
        if self.expose_hidden:
            return (h, *(state.detach().unsqueeze(0) for state in final))
        if not x.is_meta:
            for memory, state in zip(self.memory, final, strict=True):
                memory.write(state)
        return h

    def sequence(self, x: Tensor, cont: Tensor, x_static: Tensor | None, *initial: Tensor) -> tuple[Tensor, ...]:
        """The output of all steps, then the final states."""
        raise NotImplementedError


@register("LSTM")
class LSTM(_Recurrent):
    """Long short-term memory; blobs W_xc (4H, I), b_c (4H), W_xc_static (4H, S) if there is one, W_hc (4H, H).

    The gates lie in the order i, f, o, g. Equations: `lrcn.ops.recurrent.lstm`.
    """

    gates, states = 4, 2

    def sequence(
        self, x: Tensor, cont: Tensor, x_static: Tensor | None, h_0: Tensor, c_0: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """H of all steps, h_T, c_T."""
        w_x, b, *w_static, w_h = self.blobs
        return self.ops.lstm(x, cont, w_x, b, w_h, x_static, w_static[0] if w_static else None, h_0, c_0)


@register("RNN")
class RNN(_Recurrent):
    """Two tanh transforms; blobs W_xh, b_h, (W_xh_static,) W_hh, W_ho, b_o. Equations: `lrcn.ops.recurrent.rnn`."""

    gates, states = 1, 1

    def setup(self, x: Tensor, cont: Tensor, *others: Tensor) -> None:
        super().setup(x, cont, *others)
        definition = self.definition.recurrent_param
        self.add_blob(self.hidden, self.hidden, filler=definition.weight_filler)
        self.add_blob(self.hidden, filler=definition.bias_filler)

    def sequence(self, x: Tensor, cont: Tensor, x_static: Tensor | None, h_0: Tensor) -> tuple[Tensor, Tensor]:
        """O of all steps, h_T."""
        w_x, b, *w_static, w_h, w_o, b_o = self.blobs
        return self.ops.rnn(x, cont, w_x, b, w_h, w_o, b_o, x_static, w_static[0] if w_static else None, h_0)
