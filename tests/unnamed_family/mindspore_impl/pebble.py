"""Pebble: three convolutions and, of each cell, its classes, its box and its mask.

The half that is not network (targets, losses, prediction) stands in `common/families/pebble`.
"""

from mindspore import Tensor, nn
from mindspore import ops as F

from common.families.pebble.settings import PebbleSettings
from mindspore_impl.layers import BatchNorm, Conv, FrozenBatchNorm, conv_norm


class Pebble(nn.Cell):
    def __init__(self, settings: PebbleSettings, frozen_norm: bool):
        super().__init__()
        self.settings = settings
        channels, norm = settings.network.channels, FrozenBatchNorm if frozen_norm else BatchNorm
        self.conv1, self.bn1 = Conv(3, channels, 3, stride=2, bias=False), norm(channels)
        self.conv2, self.bn2 = Conv(channels, channels, 3, stride=2, bias=False), norm(channels)
        self.conv3, self.bn3 = Conv(channels, channels, 3, stride=2, bias=False), norm(channels)
        self.classes = Conv(channels, settings.num_classes, 3)
        self.boxes = Conv(channels, 4, 3)
        self.masks = Conv(channels, settings.network.mask_size**2, 3)

    def construct(self, image: Tensor) -> dict[str, Tensor]:
        """(N, 3, S, S) -> classes (N, C, h, w), boxes (N, 4, h, w) and masks (N, m * m, h, w) of the cells"""
        x = F.relu(conv_norm(self.conv1, self.bn1, image))
        x = F.relu(conv_norm(self.conv2, self.bn2, x))
        x = F.relu(conv_norm(self.conv3, self.bn3, x))
        return {"classes": self.classes(x), "boxes": self.boxes(x), "masks": self.masks(x)}
