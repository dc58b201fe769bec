"""Deformable attention of single operations, until the contract has it."""

from mindspore import Tensor
from mindspore import ops as F

from mindspore_impl import ops


def ms_deform_attn(value: Tensor, shapes, locations: Tensor, attention: Tensor) -> Tensor:
    images, _, heads, channels = value.shape
    queries, points, start, total = locations.shape[1], locations.shape[4], 0, 0
    for level, (height, width) in enumerate(shapes):
        x = F.transpose(value[:, start : start + height * width], (0, 2, 3, 1))
        x = x.reshape(images * heads, channels, height, width)
        start += height * width
        grid = F.transpose(2 * locations[:, :, :, level] - 1, (0, 2, 1, 3, 4))
        grid = grid.reshape(images * heads, queries, points, 2)
        weights = F.transpose(attention[:, :, :, level], (0, 2, 1, 3)).reshape(images * heads, 1, queries, points)
        total = total + (ops.grid_sample(x, grid, False) * weights).sum(-1)
    return F.transpose(total.reshape(images, heads * channels, queries), (0, 2, 1))
