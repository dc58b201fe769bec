"""Deformable attention of single operations, until the contract has it."""

from jittor import Var

from jittor_impl import ops


def ms_deform_attn(value: Var, shapes, locations: Var, attention: Var) -> Var:
    images, _, heads, channels = value.shape
    queries, points, start, total = locations.shape[1], locations.shape[4], 0, 0
    for level, (height, width) in enumerate(shapes):
        x = value[:, start : start + height * width].transpose((0, 2, 3, 1))
        x = x.reshape((images * heads, channels, height, width))
        start += height * width
        grid = (2 * locations[:, :, :, level] - 1).transpose((0, 2, 1, 3, 4))
        grid = grid.reshape((images * heads, queries, points, 2))
        weights = attention[:, :, :, level].transpose((0, 2, 1, 3)).reshape((images * heads, 1, queries, points))
        total = total + (ops.grid_sample(x, grid, False) * weights).sum(3)
    return total.reshape((images, heads * channels, queries)).transpose((0, 2, 1))
