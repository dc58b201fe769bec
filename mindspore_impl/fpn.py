"""The feature pyramid (Lin et al., 2017)."""

from typing import Literal

from mindspore import Tensor, nn
from mindspore import ops as F

from common.upsampling import double_from_corners
from mindspore_impl import ops
from mindspore_impl.layers import Conv

# Slicing by steps fails in its gradient where the size is odd. No network's own: the trees are the same in all wings.
_every_second = nn.MaxPool2d(1, stride=2)


class FPN(nn.Cell):
    """A pyramid of maps with equally many channels, made of a backbone's maps.

    Lateral 1x1 convolutions bring each map to `channels`. From the coarsest down each is resized by `top_down` and
    added to the next finer one, and a 3x3 convolution gives each output, with a ReLU where `output_relu`; "corners"
    doubles the sides as `common.upsampling` does. Above the coarsest come `extra_levels` more, each half the size of
    the one before: by a strided 3x3 convolution ("conv") or by every second cell ("subsample").
    """

    def __init__(
        self,
        in_channels: list[int],
        channels: int,
        top_down: Literal["bilinear", "nearest", "corners"],
        output_relu: bool,
        extra: Literal["conv", "subsample"],
        extra_levels: int,
    ):
        super().__init__()
        self.top_down, self.output_relu, self.extra, self.extra_levels = top_down, output_relu, extra, extra_levels
        self.lateral = nn.CellList([Conv(width, channels, 1) for width in in_channels])
        self.output = nn.CellList([Conv(channels, channels, 3) for _ in in_channels])
        if extra == "conv":
            self.downsample = nn.CellList([Conv(channels, channels, 3, stride=2) for _ in range(extra_levels)])

    def construct(self, features: list[Tensor]) -> list[Tensor]:
        """Maps (N, in_channels[k], h, w), finest first -> as many and `extra_levels` more (N, channels, h, w)."""
        merged = self._merge(features)
        pyramid = [self.output[level](x) for level, x in enumerate(merged)]
        if self.output_relu:
            pyramid = [F.relu(x) for x in pyramid]
        for level in range(self.extra_levels):
            coarsest = pyramid[-1]
            pyramid.append(self.downsample[level](coarsest) if self.extra == "conv" else _every_second(coarsest))
        return pyramid

    def finest(self, features: list[Tensor]) -> Tensor:
        """The first of the pyramid's maps (N, channels, h, w) alone, without the work for the others."""
        x = self.output[0](self._merge(features)[0])
        return F.relu(x) if self.output_relu else x

    def _merge(self, features: list[Tensor]) -> list[Tensor]:
        """Gives the lateral maps, each with the coarser ones added to it."""
        merged = [self.lateral[level](feature) for level, feature in enumerate(features)]
        for level in range(len(merged) - 1, 0, -1):
            merged[level - 1] = merged[level - 1] + self._enlarge(merged[level], merged[level - 1].shape[2:])
        return merged

    def _enlarge(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Resizes a map (N, channels, h, w) to the size (H, W) of the next finer one."""
        return double_from_corners(x) if self.top_down == "corners" else ops.resize(x, size, mode=self.top_down)
