"""The feature pyramid, in the variants that the model families use."""

from typing import Literal

from jittor import Var, nn

from jittor_impl import ops
from jittor_impl.layers import Conv


class FPN(nn.Module):
    """Lateral 1x1 convolutions, a top-down path, 3x3 output convolutions, and coarser levels on top.

    YOLACT: bilinear top-down, ReLU on the outputs, two more levels by strided convolutions.
    Mask R-CNN: nearest top-down, no ReLU, one more level by subsampling the coarsest output.
    Pose2Seg: bilinear top-down, no ReLU, and of the outputs the finest alone.
    """

    def __init__(
        self,
        in_channels: list[int],
        channels: int,
        top_down: Literal["bilinear", "nearest"],
        output_relu: bool,
        extra: Literal["conv", "subsample"],
        extra_levels: int,
    ):
        super().__init__()
        self.top_down, self.output_relu, self.extra, self.extra_levels = top_down, output_relu, extra, extra_levels
        self.lateral = nn.ModuleList([Conv(width, channels, 1) for width in in_channels])
        self.output = nn.ModuleList([Conv(channels, channels, 3) for _ in in_channels])
        if extra == "conv":
            self.downsample = nn.ModuleList([Conv(channels, channels, 3, stride=2) for _ in range(extra_levels)])

    def execute(self, features: list[Var]) -> list[Var]:
        """Maps from fine to coarse, `in_channels` of them -> as many and `extra_levels` more, fine to coarse."""
        merged = self._merged(features)
        pyramid = [output(x) for output, x in zip(self.output, merged, strict=True)]
        if self.output_relu:
            pyramid = [nn.relu(x) for x in pyramid]
        for level in range(self.extra_levels):
            coarsest = pyramid[-1]
            pyramid.append(self.downsample[level](coarsest) if self.extra == "conv" else coarsest[:, :, ::2, ::2])
        return pyramid

    def finest(self, features: list[Var]) -> Var:
        """The first map of the pyramid alone, without the work for the others."""
        x = self.output[0](self._merged(features)[0])
        return nn.relu(x) if self.output_relu else x

    def _merged(self, features: list[Var]) -> list[Var]:
        """The laterals, each with the coarser ones added to it."""
        merged = [lateral(feature) for lateral, feature in zip(self.lateral, features, strict=True)]
        for level in range(len(merged) - 1, 0, -1):
            size = merged[level - 1].shape[2:]
            merged[level - 1] = merged[level - 1] + ops.resize(merged[level], size, mode=self.top_down)
        return merged
