"""Pose2Seg (Zhang et al., 2019): persons found by their key points, aligned to a template pose and segmented there.

What is not network (alignment, skeletons, loss, masks in the image) is in `common/families/pose2seg`.
"""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from common.families.pose2seg.prediction import gather_person_features
from common.families.pose2seg.settings import Pose2SegSettings
from torch_impl import ops
from torch_impl.backbones import build_backbone, norm_for
from torch_impl.fpn import FPN
from torch_impl.layers import BatchNorm, Conv, conv_norm


class SegBlock(nn.Module):
    """Convolutions with biases: 1x1 to `width`, 3x3, 1x1 to 4 * `width`, added to the input or a projection of it."""

    def __init__(self, in_channels: int, width: int, norm: Callable[[int], BatchNorm]):
        super().__init__()
        self.conv1 = Conv(in_channels, width, 1)
        self.bn1 = norm(width)
        self.conv2 = Conv(width, width, 3)
        self.bn2 = norm(width)
        self.conv3 = Conv(width, width * 4, 1)
        self.bn3 = norm(width * 4)
        self.downsample = None
        if in_channels != width * 4:
            self.downsample = nn.ModuleList([Conv(in_channels, width * 4, 1), norm(width * 4)])

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else conv_norm(self.downsample[0], self.downsample[1], x)
        x = F.relu(conv_norm(self.conv1, self.bn1, x))
        x = F.relu(conv_norm(self.conv2, self.bn2, x))
        return F.relu(conv_norm(self.conv3, self.bn3, x) + shortcut)


class SegModule(nn.Module):
    """Predicts the logits of background and person for aligned persons: (P, C, s, s) -> (P, 2, s, s)."""

    def __init__(self, in_channels: int, width: int, blocks: int, norm: Callable[[int], BatchNorm]):
        super().__init__()
        self.conv1 = Conv(in_channels, width, 7, stride=2)
        self.bn1 = norm(width)
        self.layer1 = nn.Sequential(
            SegBlock(width, width, norm), *(SegBlock(width * 4, width, norm) for _ in range(blocks - 1))
        )
        self.decoder1 = nn.Sequential(SegBlock(width * 4, width // 2, norm))
        self.pred_small = Conv(width * 2, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(conv_norm(self.conv1, self.bn1, x))
        x = self.layer1(x)
        x = ops.resize(x, (2 * x.shape[2], 2 * x.shape[3]), align_corners=True)
        return self.pred_small(self.decoder1(x))


class Pose2Seg(nn.Module):
    """The whole network; its parts `features` and `segnet` can be called by themselves."""

    def __init__(self, settings: Pose2SegSettings, frozen_norm: bool):
        super().__init__()
        self.settings = settings
        network = settings.network
        # The maps of the strides 4 to 32 are used; some backbones give finer ones, too.
        self.backbone = build_backbone(network.backbone, frozen_norm)
        self.fpn = FPN(self.backbone.channels[-4:], network.channels, "bilinear", False, "subsample", extra_levels=0)
        norm = norm_for(network.backbone, frozen_norm)
        self.segnet = SegModule(settings.person_channels, network.segnet_width, network.segnet_blocks, norm)

    def features(self, image: Tensor) -> Tensor:
        """(N, 3, S, S) -> the pyramid's finest map (N, C, S / 4, S / 4), which all persons are read from"""
        return self.fpn.finest(self.backbone(image)[-4:])

    def forward(self, image: Tensor, persons: dict[str, Tensor]) -> dict[str, Tensor]:
        """(N, 3, S, S) and P persons -> p1, rois (P, C, s, s) and logits (P, 2, s, s)

        persons: `grid` (P, s, s, 2), `person_image` (P,) and `skeletons` (P, 55, s, s), as the family makes them.
        """
        features = self.features(image)
        rois = gather_person_features(features, persons, self.settings)
        return {"p1": features, "rois": rois, "logits": self.segnet(rois)}
