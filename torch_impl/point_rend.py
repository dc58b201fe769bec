"""PointRend (Kirillov et al., 2020): Mask R-CNN with a coarse mask head and a head for points.

What is not network (points, their choice, the subdivision) is in `common/families/point_rend`.
"""

import torch
from torch import Tensor, nn

from common.config import FrozenNorm
from common.families.mask_rcnn.geometry import head_outputs
from common.families.point_rend.settings import PointRendNetwork, PointRendSettings
from torch_impl._in_place import relu
from torch_impl.layers import Conv, Linear, PointConv, freeze
from torch_impl.mask_rcnn import BoxHead, ProposalNetwork


class CoarseHead(nn.Module):
    """Predicts a region's small mask for each class from features that were read on a grid."""

    def __init__(self, settings: PointRendNetwork, mask_outputs: int):
        super().__init__()
        width, self.side = settings.coarse_channels, settings.coarse_size
        self.reduce = Conv(settings.channels, settings.channels, 2, stride=2, padding=0)
        self.fc1 = Linear(settings.channels * (settings.mask_size // 2) ** 2, width)
        self.fc2 = Linear(width, width)
        self.logits = Linear(width, mask_outputs * self.side**2)

    def forward(self, pooled: Tensor) -> Tensor:
        """(K, C, s, s) -> (K, mask outputs, m, m)"""
        x, side = relu(self.reduce(pooled)), self.side
        x = relu(self.fc1(x.flatten(1)))
        x = self.logits(relu(self.fc2(x)))
        return x.unflatten(1, (-1, side, side))


class PointHead(nn.Module):
    """Predicts for each class whether a point is of a region's object, from fine features and the coarse logits."""

    def __init__(self, settings: PointRendNetwork, mask_outputs: int):
        super().__init__()
        self.layers = settings.point_layers
        for number in range(1, self.layers + 1):
            channels = settings.point_channels if number > 1 else settings.channels
            setattr(self, f"fc{number}", PointConv(channels + mask_outputs, settings.point_channels))
        self.logits = PointConv(settings.point_channels + mask_outputs, mask_outputs)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """(K, C, P), (K, mask outputs, P) -> (K, mask outputs, P)"""
        x = fine
        for number in range(1, self.layers + 1):
            # The coarse logits join every layer's input, and not the first one's alone.
            x = relu(getattr(self, f"fc{number}")(torch.cat([x, coarse], 1)))
        return self.logits(torch.cat([x, coarse], 1))


class PointRend(ProposalNetwork):
    """The whole network; its parts `features`, `rpn`, `box_head`, `coarse_head`, `point_head` can be called alone."""

    def __init__(self, settings: PointRendSettings, frozen_norm: FrozenNorm):
        super().__init__(settings, frozen_norm)
        network, outputs = settings.network, head_outputs(settings)
        self.box_head = BoxHead(network, outputs.classes, outputs.deltas)
        self.coarse_head = CoarseHead(network, outputs.masks)
        self.point_head = PointHead(network, outputs.masks)
        if network.masks_alone:
            freeze(self.backbone, self.fpn, self.rpn, self.box_head)
