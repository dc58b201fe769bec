"""Operators of transformers in C++, each of them one kernel forward and one backward.

Their bodies are in common/kernels (transformer.h, masked_attention.h), and those of the windows of maps (N, H, W, C) in
_transformer_ops.h; how they are called is told in _code_ops.py. Of Jittor's own operators attention would be eight,
which keep their results for the gradient, and would compile anew for a shift or a size that is in an expression.
"""

from pathlib import Path

from jittor import Var

from common import kernels
from jittor_impl._code_ops import Differentiable, Shape, call

_TRANSFORMER = kernels.header("transformer")
_MASKED_ATTENTION = _TRANSFORMER + kernels.header("masked_attention")
_WINDOWS = Path(__file__).with_name("_transformer_ops.h").read_text()


def to_windows(x: Var, window: int, shift: int = 0, by_columns: bool = False) -> Var:
    """(N, H, W, C) -> (B, window ** 2, C): the windows of the map that zeros fill up, rolled back by `shift`.

    by_columns: a window's tokens come column by column, not row by row.
    """
    return _Windows(x.shape, window, shift, by_columns).cut(x)


def from_windows(x: Var, shape: Shape, window: int, shift: int = 0) -> Var:
    """(B, window ** 2, C) -> the map (N, H, W, C) of this shape whose windows they are."""
    return _Windows(shape, window, shift, by_columns=False).join(x)


class _Windows:
    """Cutting a map into windows and joining them are each other's gradient."""

    def __init__(self, shape: Shape, window: int, shift: int, by_columns: bool):
        images, height, width, channels = self.map = tuple(shape)
        count = images * -(-height // window) * -(-width // window)
        self.windows = count, window * window, channels
        self.numbers = {"images": images, "height": height, "width": width, "channels": channels}
        self.numbers |= {"window": window, "shift": shift, "by_columns": by_columns}
        names = ", ".join(f'(long)data["{name}"]' for name in self.numbers)
        self.arguments = f"in0_p, out0_p, transformer_ops::Windows{{{names}}}"

    def cut(self, x: Var) -> Var:
        return Differentiable(self._cut, lambda gradient, output: self._join(gradient))(x)

    def join(self, x: Var) -> Var:
        return Differentiable(self._join, lambda gradient, output: self._cut(gradient))(x)

    def _cut(self, x: Var) -> Var:
        source = f"transformer_ops::to_windows({self.arguments});"
        return call(source, [x], [self.windows], header=_WINDOWS, **self.numbers)[0]

    def _join(self, x: Var) -> Var:
        source = f"transformer_ops::from_windows({self.arguments});"
        return call(source, [x], [self.map], header=_WINDOWS, **self.numbers)[0]


def attend(qkv: Var, bias: Var, masks: Var, kinds: Var, heads: int) -> Var:
    """Attention among the tokens of each window: qkv (B, T, 3 * C), queries, keys, values -> (B, T, C)

    bias (heads, T, T) and masks (kinds, T, T), a window's by its kind (B,), are added to the logits of two tokens.
    """
    windows, tokens, channels = qkv.shape
    shape = windows, tokens, channels // 3
    numbers = {"windows": windows, "tokens": tokens, "heads": heads, "size": channels // 3 // heads}
    names = ", ".join(f'(int64_t)data["{name}"]' for name in numbers)
    sizes = f"triseg::WindowShape{{{names}}}"

    def forward(qkv: Var, bias: Var) -> Var:
        source = f"triseg::window_attention_forward(in0_p, in1_p, in2_p, in3_p, {sizes}, out0_p);"
        return call(source, [qkv, bias, masks, kinds], [shape], header=_TRANSFORMER, **numbers)[0]

    def backward(gradient: Var, output: Var) -> list[Var]:
        arguments = f"in0_p, in1_p, in2_p, in3_p, in4_p, {sizes}, out0_p, out1_p"
        source, inputs = f"triseg::window_attention_backward({arguments});", [gradient, qkv, bias, masks, kinds]
        return call(source, inputs, [qkv.shape, bias.shape], header=_TRANSFORMER, **numbers)

    return Differentiable(forward, backward)(qkv, bias)


def masked_attention(q: Var, k: Var, v: Var, hidden: Var, heads: int) -> Var:
    """Attention between queries (N, Q, C) and keys and values (N, T, C) -> (N, Q, C)

    hidden (N, Q, T) bool: which keys a query does not see, never all.
    """
    images, queries, channels = q.shape
    numbers = {"images": images, "queries": queries, "keys": k.shape[1], "heads": heads, "size": channels // heads}
    names = ", ".join(f'(int64_t)data["{name}"]' for name in numbers)
    sizes = f"triseg::AttentionShape{{{names}}}"

    def forward(q: Var, k: Var, v: Var) -> Var:
        source = f"triseg::masked_attention_forward(in0_p, in1_p, in2_p, (const uint8_t*)in3_p, {sizes}, out0_p);"
        return call(source, [q, k, v, hidden], [q.shape], header=_MASKED_ATTENTION, **numbers)[0]

    def backward(gradient: Var, output: Var) -> list[Var]:
        arguments = f"in0_p, in1_p, in2_p, in3_p, (const uint8_t*)in4_p, {sizes}, out0_p, out1_p, out2_p"
        source, inputs = f"triseg::masked_attention_backward({arguments});", [gradient, q, k, v, hidden]
        return call(source, inputs, [q.shape, k.shape, v.shape], header=_MASKED_ATTENTION, **numbers)

    return Differentiable(forward, backward)(q, k, v)


def layer_norm(x: Var, weight: Var, bias: Var, eps: float) -> Var:
    """x (..., C) with the mean 0 and the deviation 1 over its last axis, then times weight (C,) plus bias (C,)."""
    channels = x.shape[-1]
    numbers = {"n": channels, "eps": eps}
    sizes = 'in0->num / (int64_t)data["n"], (int64_t)data["n"], (float)data["eps"]'

    def forward(x: Var, weight: Var, bias: Var) -> Var:
        source = f"triseg::layer_norm_forward(in0_p, in1_p, in2_p, {sizes}, out0_p);"
        return call(source, [x, weight, bias], [x.shape], header=_TRANSFORMER, **numbers)[0]

    def backward(gradient: Var, output: Var) -> list[Var]:
        source = f"triseg::layer_norm_backward(in0_p, in1_p, in2_p, {sizes}, out0_p, out1_p, out2_p);"
        return call(source, [gradient, x, weight], [x.shape, (channels,), (channels,)], header=_TRANSFORMER, **numbers)

    return Differentiable(forward, backward)(x, weight, bias)


def gelu(x: Var) -> Var:
    """x times the normal distribution's share below x, of the same shape."""

    def forward(x: Var) -> Var:
        return call("triseg::gelu_forward(in0_p, in0->num, out0_p);", [x], [x.shape], header=_TRANSFORMER)[0]

    def backward(gradient: Var, output: Var) -> Var:
        source = "triseg::gelu_backward(in0_p, in1_p, in0->num, out0_p);"
        return call(source, [gradient, x], [x.shape], header=_TRANSFORMER)[0]

    return Differentiable(forward, backward)(x)
