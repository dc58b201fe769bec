"""PointRend (Kirillov et al., 2020): Mask R-CNN with a coarse mask head and a head for points.

What is not network (points, their choice, the subdivision) is in `common/families/point_rend`.
"""

from math import prod

import jittor as jt
from jittor import Var, nn

from common.config import FrozenNorm
from common.families.mask_rcnn.geometry import head_outputs
from common.families.point_rend.settings import PointRendNetwork, PointRendSettings
from jittor_impl.layers import Conv, Linear, PointConv, freeze
from jittor_impl.mask_rcnn import BoxHead, ProposalNetwork


class CoarseHead(nn.Module):
    """Predicts a region's small mask for each class from features that were read on a grid."""

    def __init__(self, settings: PointRendNetwork, mask_outputs: int):
        super().__init__()
        width, self.side = settings.coarse_channels, settings.coarse_size
        self.reduce = Conv(settings.channels, settings.channels, 2, stride=2, padding=0)
        self.fc1 = Linear(settings.channels * (settings.mask_size // 2) ** 2, width)
        self.fc2 = Linear(width, width)
        self.logits = Linear(width, mask_outputs * self.side**2)

    def execute(self, pooled: Var) -> Var:
        """(K, C, s, s) -> (K, mask outputs, m, m)"""
        x, side = nn.relu(self.reduce(pooled)), self.side
        x = nn.relu(self.fc1(x.reshape((x.shape[0], prod(x.shape[1:])))))
        x = self.logits(nn.relu(self.fc2(x)))
        return x.reshape((x.shape[0], -1, side, side))


class PointHead(nn.Module):
    """Predicts for each class whether a point is of a region's object, from fine features and the coarse logits."""

    def __init__(self, settings: PointRendNetwork, mask_outputs: int):
        super().__init__()
        self.layers = settings.point_layers
        for number in range(1, self.layers + 1):
            channels = settings.point_channels if number > 1 else settings.channels
            setattr(self, f"fc{number}", PointConv(channels + mask_outputs, settings.point_channels))
        self.logits = PointConv(settings.point_channels + mask_outputs, mask_outputs)

    def execute(self, fine: Var, coarse: Var) -> Var:
        """(K, C, P), (K, mask outputs, P) -> (K, mask outputs, P)"""
        x = fine
        for number in range(1, self.layers + 1):
            # The coarse logits join every layer's input, and not the first one's alone.
            x = nn.relu(getattr(self, f"fc{number}")(jt.concat([x, coarse], 1)))
        return self.logits(jt.concat([x, coarse], 1))


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
