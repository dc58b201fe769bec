"""What transformers consist of beside their linear layers, each in the fastest way that is right.

On the CPU that is this project's own kernel: there MindSpore's GELU and layer norm take ten times as long, and
attention of single operations several times, with all its weights kept for the gradient. Elsewhere operations of
MindSpore do it.
"""

import functools

import numpy as np
from mindspore import Tensor, nn
from mindspore import ops as F

from mindspore_impl._kernels import custom, first, library_file, norm_kernel


def gelu(x: Tensor) -> Tensor:
    """The exact GELU, x times the normal distribution's function, of x of any shape"""
    return F.gelu(x) if library_file() is None else _gelu_kernel()(x)


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, settings: Tensor) -> Tensor:
    """x (..., C), weight, bias (C,) -> (..., C), normalised over the last axis

    settings (1,) float32: the epsilon.
    """
    if library_file() is None:
        return F.LayerNorm(-1, -1, settings.asnumpy().item())(x, weight, bias)[0]
    return norm_kernel("layer_norm")(x, weight, bias, settings)


def window_attention(qkv: Tensor, bias: Tensor, masks: Tensor, kinds: Tensor) -> Tensor:
    """qkv (B, T, 3 * C), bias (heads, T, T), masks (M, T, T), kinds (B,) int32: each window's mask -> (B, T, C)

    Attention among the T tokens of each window in each head, bias and mask added to its logits.
    """
    if library_file() is None:
        return _window_attention(qkv, bias, masks, kinds)
    return _window_attention_kernel()(qkv, bias, masks, kinds)


def masked_attention(q: Tensor, k: Tensor, v: Tensor, hidden: Tensor, settings: Tensor) -> Tensor:
    """q (N, Q, C), k, v (N, T, C), hidden (N, Q, T) bool: which keys a query does not see, never all -> (N, Q, C)

    settings (1,) int32: the number of heads.
    """
    if library_file() is None:
        return _masked_attention(q, k, v, hidden, settings.asnumpy().item())
    return _masked_attention_kernel()(q, k, v, hidden, settings)


# The project's own kernels


class _Gelu(nn.Cell):
    def __init__(self):
        super().__init__()
        self.gelu = custom("gelu", first, first)
        self.grad = custom("gelu_grad", first, first)

    def construct(self, x):
        return self.gelu(x)

    def bprop(self, x, out, gradient):
        return (self.grad(gradient, x),)


class _WindowAttention(nn.Cell):
    def __init__(self):
        super().__init__()
        self.attend = custom("window_attention", lambda qkv, b, m, k: (*qkv[:2], qkv[2] // 3), first)
        self.grad = custom("window_attention_grad", lambda g, qkv, b, m, k: (qkv, b), lambda g, qkv, b, m, k: (qkv, b))

    def construct(self, qkv, bias, masks, kinds):
        return self.attend(qkv, bias, masks, kinds)

    def bprop(self, qkv, bias, masks, kinds, out, gradient):
        dqkv, dbias = self.grad(gradient, qkv, bias, masks, kinds)
        return dqkv, dbias, F.zeros_like(masks), F.zeros_like(kinds)


def _of_inputs(gradient, q, k, v, hidden, settings):
    return q, k, v


class _MaskedAttention(nn.Cell):
    def __init__(self):
        super().__init__()
        self.attend = custom("masked_attention", first, first)
        self.grad = custom(
            "masked_attention_grad", lambda g, q, k, v, h, s: (q, k, v), lambda g, q, k, v, h, s: (q, k, v)
        )

    def construct(self, q, k, v, hidden, settings):
        return self.attend(q, k, v, hidden, settings)

    def bprop(self, q, k, v, hidden, settings, out, gradient):
        dq, dk, dv = self.grad(gradient, q, k, v, hidden, settings)
        return dq, dk, dv, F.zeros_like(hidden), F.zeros_like(settings)


# Cached functions, as in _kernels.py.
_gelu_kernel = functools.cache(_Gelu)
_window_attention_kernel = functools.cache(_WindowAttention)
_masked_attention_kernel = functools.cache(_MaskedAttention)


# The same in operations of MindSpore


def _window_attention(qkv: Tensor, bias: Tensor, masks: Tensor, kinds: Tensor) -> Tensor:
    """qkv (B, T, 3 * C), bias (heads, T, T), masks (M, T, T), kinds (B,) -> (B, T, C)"""
    count, tokens, channels = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
    q, k, v = F.unbind(F.transpose(qkv.reshape(count, tokens, 3, len(bias), -1), (2, 0, 3, 1, 4)))
    logits = F.matmul(q * (q.shape[-1] ** -0.5), F.transpose(k, (0, 1, 3, 2)))
    weights = F.softmax(logits + bias + F.expand_dims(F.gather(masks, kinds, 0), 1), -1)
    return F.transpose(F.matmul(weights, v), (0, 2, 1, 3)).reshape(count, tokens, channels)


def _masked_attention(q: Tensor, k: Tensor, v: Tensor, hidden: Tensor, heads: int) -> Tensor:
    """q (N, Q, C), k, v (N, T, C), hidden (N, Q, T) bool -> (N, Q, C)"""
    shape = q.shape
    q, k, v = (F.transpose(x.reshape(*x.shape[:2], heads, -1), (0, 2, 1, 3)) for x in (q, k, v))
    logits = F.matmul(q * (q.shape[-1] ** -0.5), F.transpose(k, (0, 1, 3, 2)))
    weights = F.softmax(F.masked_fill(logits, F.expand_dims(hidden, 1), -np.inf), -1)
    return F.transpose(F.matmul(weights, v), (0, 2, 1, 3)).reshape(shape)
