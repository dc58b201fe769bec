"""Mask R-CNN (He et al., 2017), on a feature pyramid or on the map of stride 16 (C4).

What is not network (anchors, proposals, pooling, detection) is in `common/families/mask_rcnn`.
"""

from torch import Tensor, nn

from common.config import FrozenNorm
from common.families.mask_rcnn.geometry import head_outputs, map_names
from common.families.mask_rcnn.settings import MaskRcnnNetwork, MaskRcnnSettings, RpnSettings
from torch_impl._in_place import relu
from torch_impl.backbones import build_backbone, norm_for, residual_stage
from torch_impl.fpn import FPN
from torch_impl.layers import Conv, ConvTranspose, Linear


class RPNHead(nn.Module):
    """Predicts objectness and box offsets for each anchor of a map; the same weights serve every map."""

    def __init__(self, channels: int, settings: RpnSettings):
        super().__init__()
        anchors_per_cell = len(settings.anchor_sizes[0]) * len(settings.anchor_ratios)
        self.conv = Conv(channels, channels, 3)
        self.objectness = Conv(channels, anchors_per_cell, 1)
        self.deltas = Conv(channels, anchors_per_cell * 4, 1)

    def forward(self, features: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Maps (N, C, h, w) -> logits (N, A, h, w) and offsets (N, 4 * A, h, w) of each, anchor by anchor"""
        hidden = [relu(self.conv(feature)) for feature in features]
        return [self.objectness(x) for x in hidden], [self.deltas(x) for x in hidden]


class BoxHead(nn.Module):
    """Two linear layers on a pooled region, then a layer for its classes and one for its offsets."""

    def __init__(self, settings: MaskRcnnNetwork, class_outputs: int, box_outputs: int):
        super().__init__()
        width = settings.box_channels
        self.fc1 = Linear(settings.channels * settings.box_size**2, width)
        self.fc2 = Linear(width, width)
        self.classes = Linear(width, class_outputs)
        self.deltas = Linear(width, box_outputs)

    def features(self, pooled: Tensor) -> Tensor:
        """(K, C, s, s) -> (K, width)"""
        x = relu(self.fc1(pooled.flatten(1)))
        return relu(self.fc2(x))

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(K, C, s, s) -> features, class logits (K, class outputs), offsets (K, box outputs)"""
        x = self.features(pooled)
        return x, self.classes(x), self.deltas(x)


class Res5BoxHead(nn.Module):
    """A ResNet's last stage on a pooled region (C4), whose mean over the cells gives its classes and its offsets."""

    def __init__(self, settings: MaskRcnnNetwork, class_outputs: int, box_outputs: int, frozen_norm: FrozenNorm):
        super().__init__()
        backbone = settings.backbone
        self.layer4 = residual_stage(backbone, 4, norm_for(backbone, frozen_norm))
        self.channels = backbone.width * 32
        self.classes = Linear(self.channels, class_outputs)
        self.deltas = Linear(self.channels, box_outputs)

    def features(self, pooled: Tensor) -> Tensor:
        """(K, C, s, s) -> (K, 2 * C, s / 2, s / 2)"""
        return self.layer4(pooled)

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(K, C, s, s) -> features, class logits (K, class outputs), offsets (K, box outputs)"""
        x = self.features(pooled)
        mean = x.mean(dim=(2, 3))
        return x, self.classes(mean), self.deltas(mean)


class MaskHead(nn.Module):
    """Predicts a region's mask for each class, at twice the size of the region."""

    def __init__(self, in_channels: int, channels: int, convolutions: int, mask_outputs: int):
        super().__init__()
        self.convolutions = convolutions
        for number in range(1, convolutions + 1):
            setattr(self, f"conv{number}", Conv(channels if number > 1 else in_channels, channels, 3))
        self.deconv = ConvTranspose(channels if convolutions else in_channels, channels)
        self.logits = Conv(channels, mask_outputs, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(K, C, s, s) -> features (K, channels, s, s), logits (K, mask outputs, 2 * s, 2 * s)"""
        for number in range(1, self.convolutions + 1):
            x = relu(getattr(self, f"conv{number}")(x))
        return x, self.logits(relu(self.deconv(x)))


class ProposalNetwork(nn.Module):
    """The first stage of a two-stage network: the backbone, the pyramid if there is one, and the head of proposals."""

    def __init__(self, settings: MaskRcnnSettings, frozen_norm: FrozenNorm):
        super().__init__()
        self.settings = settings
        network = settings.network
        last_stage = None if network.fpn else 3
        # The maps of the strides 4 to 32 (C4: to 16) are used; some backbones give finer ones, too.
        self.backbone = build_backbone(network.backbone, frozen_norm, last_stage, network.frozen_stages)
        if network.fpn:
            widths = self.backbone.channels[-4:]
            self.fpn = FPN(widths, network.channels, network.top_down, False, "subsample", extra_levels=1)
            self.rpn = RPNHead(network.channels, settings.rpn)
        else:
            self.fpn = None
            self.rpn = RPNHead(self.backbone.channels[-1], settings.rpn)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """(N, 3, H, W) -> the backbone's maps c2.., the pyramid's p2..p6, and rpn_logits_MAP, rpn_deltas_MAP"""
        maps = self.backbone(image)[-4:]
        outputs = {f"c{level}": feature for level, feature in enumerate(maps, start=2)}
        if self.fpn is not None:
            outputs |= {f"p{level}": feature for level, feature in enumerate(self.fpn(maps), start=2)}
        names = map_names(self.settings)
        logits, deltas = self.rpn([outputs[name] for name in names])
        outputs |= {f"rpn_logits_{name}": x for name, x in zip(names, logits, strict=True)}
        return outputs | {f"rpn_deltas_{name}": x for name, x in zip(names, deltas, strict=True)}

    def features(self, image: Tensor, branch_scales: Tensor | None = None) -> list[Tensor]:
        """(N, 3, H, W) -> the maps that proposals and regions are taken from, finest first

        branch_scales (N, 2 * blocks): for a backbone that leaves branches out in training.
        """
        maps = self.backbone(image) if branch_scales is None else self.backbone(image, branch_scales)
        return maps[-1:] if self.fpn is None else self.fpn(maps[-4:])


class MaskRcnn(ProposalNetwork):
    """The whole network; its parts `features`, `rpn`, `box_head` and `mask_head` can be called by themselves."""

    def __init__(self, settings: MaskRcnnSettings, frozen_norm: FrozenNorm):
        super().__init__(settings, frozen_norm)
        network, outputs = settings.network, head_outputs(settings)
        if network.fpn:
            self.box_head = BoxHead(network, outputs.classes, outputs.deltas)
            self.mask_head = MaskHead(network.channels, network.channels, 4, outputs.masks)
        else:
            self.box_head = Res5BoxHead(network, outputs.classes, outputs.deltas, frozen_norm)
            self.mask_head = MaskHead(self.box_head.channels, network.channels, 0, outputs.masks)
