"""Backbones by their settings: ResNet (ResNeXt, deformable), Darknet-53, and the Swin Transformer of `swin.py`.

Each maps an image (N, 3, H, W) to a list of maps, one a stage, from the finest to that of stride 32, and has their
channels as `channels`. `last_stage` leaves out the stages behind it. The first `frozen_stages` of the stem, layer1,
layer2, ... stand still in training, with their norms; `frozen_norm` says how much of all norms does.
"""

from collections.abc import Callable
from functools import partial

from mindspore import Tensor, nn
from mindspore import ops as F

from common.config import BackboneSettings, DarknetSettings, FrozenNorm, ResNetSettings
from mindspore_impl.layers import BatchNorm, Conv, DeformConv, conv_norm, norm_class
from mindspore_impl.swin import Swin

# Makes the batch norm for a number of channels.
Norm = Callable[[int], BatchNorm]
# The gradient of ops.max_pool2d takes twenty times as long. No network's own: the trees are the same in all wings.
_max_pool = nn.MaxPool2d(3, stride=2, pad_mode="pad", padding=1)
_max_pool_to_end = nn.MaxPool2d(3, stride=2, pad_mode="same")


class Bottleneck(nn.Cell):
    """Convolutions 1x1 to `width`, 3x3, and 1x1 to `out_channels`, added to the input or to a projection of it."""

    def __init__(
        self,
        in_channels: int,
        width: int,
        out_channels: int,
        stride: int,
        settings: ResNetSettings,
        deformable: bool,
        norm: Norm,
    ):
        super().__init__()
        stride_1x1, stride_3x3 = (stride, 1) if settings.stride_in == "1x1" else (1, stride)
        self.conv1 = Conv(in_channels, width, 1, stride_1x1, bias=False)
        self.bn1 = norm(width)
        if deformable:
            self.conv2 = DeformConv(width, width, stride_3x3)
        else:
            self.conv2 = Conv(width, width, 3, stride_3x3, groups=settings.groups, bias=False)
        self.bn2 = norm(width)
        self.conv3 = Conv(width, out_channels, 1, bias=False)
        self.bn3 = norm(out_channels)
        self.downsample = None
        if stride != 1 or in_channels != out_channels:
            projection = Conv(in_channels, out_channels, 1, stride, bias=False)
            self.downsample = nn.CellList([projection, norm(out_channels)])

    def construct(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else conv_norm(self.downsample[0], self.downsample[1], x)
        x = F.relu(conv_norm(self.conv1, self.bn1, x))
        x = F.relu(conv_norm(self.conv2, self.bn2, x))
        return F.relu(conv_norm(self.conv3, self.bn3, x) + shortcut)


def residual_stage(settings: ResNetSettings, stage: int, norm: Norm) -> nn.SequentialCell:
    """One of the stages 1 to 4 of a ResNet; all but the first halve the height and the width."""
    depth, stem = settings.depths[stage - 1], settings.width
    width = stem * settings.groups * settings.width_per_group // 64 * 2 ** (stage - 1)
    in_channels, out_channels = stem if stage == 1 else stem * 2**stage, stem * 2 ** (stage + 1)
    deformable = settings.deformable[stage - 1]
    blocks = []
    for block in range(depth):
        deform = block + deformable >= depth and block % settings.deformable_interval == 0
        stride = 2 if block == 0 and stage > 1 else 1
        blocks.append(Bottleneck(in_channels, width, out_channels, stride, settings, deform, norm))
        in_channels = out_channels
    return nn.SequentialCell(*blocks)


class ResNet(nn.Cell):
    """(N, 3, H, W) -> maps of the stages 1 to 4, at strides 4, 8, 16, 32."""

    def __init__(
        self, settings: ResNetSettings, frozen_norm: FrozenNorm, last_stage: int | None = None, frozen_stages: int = 0
    ):
        super().__init__()
        self.last_stage, self.frozen_stages = last_stage or len(settings.depths), frozen_stages
        self.pools_to_end = settings.pool_padding == "end"
        self.conv1 = Conv(3, settings.width, 7, stride=2, bias=False)
        self.bn1 = norm_for(settings, frozen_norm or frozen_stages > 0)(settings.width)
        self.channels = [settings.width * 2 ** (stage + 1) for stage in range(1, self.last_stage + 1)]
        for stage in range(1, self.last_stage + 1):
            norm = norm_for(settings, frozen_norm or stage < frozen_stages)
            setattr(self, f"layer{stage}", residual_stage(settings, stage, norm))
        _freeze(self, ("conv1.", "bn1."), frozen_stages)

    def construct(self, image: Tensor) -> list[Tensor]:
        x = F.relu(conv_norm(self.conv1, self.bn1, image))
        x = _max_pool_to_end(x) if self.pools_to_end else _max_pool(x)
        features = []
        for stage in range(1, self.last_stage + 1):
            if stage <= self.frozen_stages:  # all before this stage stands still
                x = F.stop_gradient(x)
            x = getattr(self, f"layer{stage}")(x)
            features.append(x)
        return features


class DarknetConv(nn.Cell):
    """A convolution, its norm, and a leaky ReLU of slope 0.1."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int, norm: Norm):
        super().__init__()
        self.conv = Conv(in_channels, out_channels, kernel, stride, bias=False)
        self.norm = norm(out_channels)

    def construct(self, x: Tensor) -> Tensor:
        return F.leaky_relu(conv_norm(self.conv, self.norm, x), 0.1)


class DarknetBlock(nn.Cell):
    """Convolutions 1x1 to half the channels and 3x3 back to all, added to the input."""

    def __init__(self, channels: int, norm: Norm):
        super().__init__()
        self.conv1 = DarknetConv(channels, channels // 2, 1, 1, norm)
        self.conv2 = DarknetConv(channels // 2, channels, 3, 1, norm)

    def construct(self, x: Tensor) -> Tensor:
        return self.conv2(self.conv1(x)) + x


class Darknet(nn.Cell):
    """(N, 3, H, W) -> maps of the stages 1 to 5, at strides 2, 4, 8, 16, 32."""

    def __init__(
        self, settings: DarknetSettings, frozen_norm: FrozenNorm, last_stage: int | None = None, frozen_stages: int = 0
    ):
        super().__init__()
        self.last_stage, self.frozen_stages = last_stage or len(settings.depths), frozen_stages
        self.stem = DarknetConv(3, 32, 3, 1, norm_for(settings, frozen_norm or frozen_stages > 0))
        self.channels = [32 * 2**stage for stage in range(1, self.last_stage + 1)]
        for stage, channels in enumerate(self.channels, start=1):
            norm = norm_for(settings, frozen_norm or stage < frozen_stages)
            downsample = DarknetConv(channels // 2, channels, 3, 2, norm)
            blocks = [DarknetBlock(channels, norm) for _ in range(settings.depths[stage - 1])]
            setattr(self, f"layer{stage}", nn.SequentialCell(downsample, *blocks))
        _freeze(self, ("stem.",), frozen_stages)

    def construct(self, image: Tensor) -> list[Tensor]:
        x = self.stem(image)
        features = []
        for stage in range(1, self.last_stage + 1):
            if stage <= self.frozen_stages:  # all before this stage stands still
                x = F.stop_gradient(x)
            x = getattr(self, f"layer{stage}")(x)
            features.append(x)
        return features


def norm_for(settings: BackboneSettings, frozen_norm: FrozenNorm) -> Norm:
    """Gives what makes the batch norms of a backbone: frozen ones, or such that learn wholly or in part."""
    return partial(norm_class(frozen_norm), eps=settings.norm_eps)


def _freeze(network: nn.Cell, stem: tuple[str, ...], frozen_stages: int) -> None:
    """Takes the first `frozen_stages` out of training; `stem` has the beginnings of the stem's parameter names."""
    frozen = (*stem, *(f"layer{stage}." for stage in range(1, frozen_stages))) if frozen_stages else ()
    for name, parameter in network.parameters_and_names():
        if name.startswith(frozen):
            parameter.requires_grad = False


_BACKBONES = {"resnet": ResNet, "darknet": Darknet, "swin": Swin}


def build_backbone(
    settings: BackboneSettings, frozen_norm: FrozenNorm, last_stage: int | None = None, frozen_stages: int = 0
) -> ResNet | Darknet | Swin:
    """Builds the backbone that the settings tell by their `kind`."""
    return _BACKBONES[settings.kind](settings, frozen_norm, last_stage, frozen_stages)
