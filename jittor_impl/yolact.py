"""YOLACT and YOLACT++ (Bolya et al., 2019, 2020): prototypes and coefficients in one pass.

What is not network (priors, targets, losses, detection) is in `common/families/yolact`.
"""

import jittor as jt
from jittor import Var, nn

from common.families.yolact.settings import YolactSettings
from jittor_impl import ops
from jittor_impl.backbones import build_backbone
from jittor_impl.fpn import FPN
from jittor_impl.layers import Conv


class ProtoNet(nn.Module):
    """Makes the prototypes of the pyramid's finest map: (N, channels, h, w) -> (N, prototypes, 2h, 2w)."""

    def __init__(self, channels: int, prototypes: int):
        super().__init__()
        self.conv1 = Conv(channels, channels, 3)
        self.conv2 = Conv(channels, channels, 3)
        self.conv3 = Conv(channels, channels, 3)
        self.conv4 = Conv(channels, channels, 3)
        self.conv5 = Conv(channels, prototypes, 1)

    def execute(self, x: Var) -> Var:
        x = nn.relu(self.conv1(x))
        x = nn.relu(self.conv2(x))
        x = nn.relu(self.conv3(x))
        x = ops.resize(x, (2 * x.shape[2], 2 * x.shape[3]))
        x = nn.relu(self.conv4(x))
        return nn.relu(self.conv5(x))


class PredictionHead(nn.Module):
    """Predicts box, class and mask coefficients for each prior of a level; the same weights serve every level."""

    def __init__(self, channels: int, priors_per_cell: int, num_classes: int, prototypes: int):
        super().__init__()
        self.num_classes, self.prototypes = num_classes, prototypes
        self.trunk = Conv(channels, channels, 3)
        self.box = Conv(channels, priors_per_cell * 4, 3)
        self.classes = Conv(channels, priors_per_cell * (num_classes + 1), 3)
        self.coefficients = Conv(channels, priors_per_cell * prototypes, 3)

    def execute(self, x: Var) -> tuple[Var, Var, Var]:
        """(N, channels, h, w) -> (N, priors, 4), (N, priors, classes + 1), (N, priors, prototypes)"""
        x = nn.relu(self.trunk(x))
        boxes = _split_priors(self.box(x), 4)
        logits = _split_priors(self.classes(x), self.num_classes + 1)
        coefficients = ops.tanh(_split_priors(self.coefficients(x), self.prototypes))
        return boxes, logits, coefficients


class MaskIoUNet(nn.Module):
    """Predicts the IoU of a cropped soft mask with the truth, for each class: (N, 1, h, w) -> (N, classes)."""

    def __init__(self, num_classes: int):
        super().__init__()
        self.conv1 = Conv(1, 8, 3, stride=2, padding=0)
        self.conv2 = Conv(8, 16, 3, stride=2, padding=0)
        self.conv3 = Conv(16, 32, 3, stride=2, padding=0)
        self.conv4 = Conv(32, 64, 3, stride=2, padding=0)
        self.conv5 = Conv(64, 128, 3, stride=2, padding=0)
        self.conv6 = Conv(128, num_classes, 1)

    def execute(self, masks: Var) -> Var:
        x = masks
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4, self.conv5, self.conv6):
            x = nn.relu(conv(x))
        return ops.max(x.reshape((*x.shape[:2], -1)), axis=2)


class Yolact(nn.Module):
    """The whole network: backbone, pyramid, prototypes, the head of each level, and what only training reads."""

    def __init__(self, settings: YolactSettings, frozen_norm: bool):
        super().__init__()
        self.settings = settings
        network = settings.network
        priors_per_cell = len(network.prior_scales[0]) * len(network.prior_ratios)
        self.backbone = build_backbone(network.backbone, frozen_norm)
        self.fpn = FPN(self.backbone.channels[-3:], network.channels, "bilinear", True, "conv", extra_levels=2)
        self.proto_net = ProtoNet(network.channels, network.prototypes)
        self.head = PredictionHead(network.channels, priors_per_cell, settings.num_classes, network.prototypes)
        self.semantic = Conv(network.channels, settings.num_classes, 1)
        self.mask_iou_net = MaskIoUNet(settings.num_classes) if network.mask_iou else None

    def execute(self, image: Var) -> dict[str, Var]:
        """(N, 3, H, W) -> loc (N, P, 4), conf (N, P, C + 1) logits, mask (N, P, K), proto (N, h, w, K), segm, p3..p7"""
        pyramid = self.fpn(self.backbone(image)[-3:])
        prototypes = self.proto_net(pyramid[0])
        levels = [self.head(level) for level in pyramid]
        boxes, logits, coefficients = (jt.concat(parts, dim=1) for parts in zip(*levels, strict=True))
        outputs = {"loc": boxes, "conf": logits, "mask": coefficients, "proto": prototypes.transpose((0, 2, 3, 1))}
        outputs["segm"] = self.semantic(pyramid[0])
        return outputs | {f"p{level}": feature for level, feature in enumerate(pyramid, start=3)}


def _split_priors(x: Var, values: int) -> Var:
    """(N, priors_per_cell * values, h, w) -> (N, h * w * priors_per_cell, values)"""
    return x.transpose((0, 2, 3, 1)).reshape((x.shape[0], -1, values))
