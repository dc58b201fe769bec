"""Deformable attention of single operations, until the contract has it."""

from torch import Tensor
from torch.nn import functional as F


def ms_deform_attn(value: Tensor, shapes, locations: Tensor, attention: Tensor) -> Tensor:
    images, _, heads, channels = value.shape
    queries, points, start, total = locations.shape[1], locations.shape[4], 0, 0
    for level, (height, width) in enumerate(shapes):
        x = value[:, start : start + height * width].permute(0, 2, 3, 1)
        x = x.reshape(images * heads, channels, height, width)
        start += height * width
        grid = (2 * locations[:, :, :, level] - 1).transpose(1, 2).reshape(images * heads, queries, points, 2)
        weights = attention[:, :, :, level].transpose(1, 2).reshape(images * heads, 1, queries, points)
        total = total + (F.grid_sample(x, grid, "bilinear", "zeros", False) * weights).sum(-1)
    return total.reshape(images, heads * channels, queries).transpose(1, 2)
