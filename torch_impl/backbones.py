"""ResNet (ResNeXt, deformable) and Darknet-53: an image in, one feature map a stage out."""

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from common.config import DarknetSettings, ResNetSettings
from torch_impl._in_place import relu
from torch_impl.layers import BatchNorm, Conv, DeformConv, FrozenBatchNorm, conv_norm

# What makes a batch norm of so many channels.
Norm = Callable[[int], BatchNorm]


class Bottleneck(nn.Module):
    """1x1 to `width`, 3x3, 1x1 to `out_channels`, added to what came in."""

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
            self.downsample = nn.ModuleList([projection, norm(out_channels)])

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else conv_norm(self.downsample[0], self.downsample[1], x)
        x = relu(conv_norm(self.conv1, self.bn1, x))
        x = relu(conv_norm(self.conv2, self.bn2, x))
        return relu(conv_norm(self.conv3, self.bn3, x) + shortcut)


def residual_stage(settings: ResNetSettings, stage: int, norm: Norm) -> nn.Sequential:
    """Stage 1 to 4 of a ResNet; all but the first halve the size."""
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
    return nn.Sequential(*blocks)


class ResNet(nn.Module):
    """(N, 3, H, W) -> [C2, C3, C4, C5] at strides 4, 8, 16, 32; `last_stage` 3 leaves C5 out (the C4 models).

    The first `frozen_stages` of the stem, layer1, layer2, ... stand still in training, with their norms.
    """

    def __init__(self, settings: ResNetSettings, frozen_norm: bool, last_stage: int = 4, frozen_stages: int = 0):
        super().__init__()
        self.conv1 = Conv(3, settings.width, 7, stride=2, bias=False)
        self.bn1 = norm_for(settings, frozen_norm or frozen_stages > 0)(settings.width)
        self.last_stage, self.frozen_stages = last_stage, frozen_stages
        for stage in range(1, last_stage + 1):
            norm = norm_for(settings, frozen_norm or stage < frozen_stages)
            setattr(self, f"layer{stage}", residual_stage(settings, stage, norm))
        self.channels = [settings.width * 2 ** (stage + 1) for stage in range(1, last_stage + 1)]
        stages = [("conv1.", "bn1."), *((f"layer{stage}.",) for stage in range(1, last_stage + 1))]
        frozen = sum(stages[:frozen_stages], ())
        for name, parameter in self.named_parameters():
            if name.startswith(frozen):
                parameter.requires_grad = False

    def forward(self, image: Tensor) -> list[Tensor]:
        x = relu(conv_norm(self.conv1, self.bn1, image))
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        features = []
        for stage in range(1, self.last_stage + 1):
            x = getattr(self, f"layer{stage}")(x)
            features.append(x)
        return features


class DarknetConv(nn.Module):
    """Convolution, norm, leaky ReLU with slope 0.1."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int, norm: Norm):
        super().__init__()
        self.conv = Conv(in_channels, out_channels, kernel, stride, bias=False)
        self.norm = norm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(conv_norm(self.conv, self.norm, x), 0.1)


class DarknetBlock(nn.Module):
    """1x1 to half the channels, 3x3 back, added to what came in."""

    def __init__(self, channels: int, norm: Norm):
        super().__init__()
        self.conv1 = DarknetConv(channels, channels // 2, 1, 1, norm)
        self.conv2 = DarknetConv(channels // 2, channels, 3, 1, norm)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.conv1(x)) + x


class Darknet(nn.Module):
    """(N, 3, H, W) -> five feature maps at strides 2, 4, 8, 16, 32."""

    def __init__(self, settings: DarknetSettings, norm: Norm):
        super().__init__()
        self.stem = DarknetConv(3, 32, 3, 1, norm)
        self.channels = [64 * 2**stage for stage in range(5)]
        for stage, (depth, channels) in enumerate(zip(settings.depths, self.channels, strict=True), start=1):
            downsample = DarknetConv(channels // 2, channels, 3, 2, norm)
            blocks = [DarknetBlock(channels, norm) for _ in range(depth)]
            setattr(self, f"layer{stage}", nn.Sequential(downsample, *blocks))

    def forward(self, image: Tensor) -> list[Tensor]:
        x = self.stem(image)
        features = []
        for stage in range(1, 6):
            x = getattr(self, f"layer{stage}")(x)
            features.append(x)
        return features


def norm_for(settings: ResNetSettings, frozen_norm: bool) -> Norm:
    """What makes the norms of a ResNet's stages."""
    return partial(FrozenBatchNorm if frozen_norm else BatchNorm, eps=settings.norm_eps)


def build_backbone(
    settings: ResNetSettings | DarknetSettings, frozen_norm: bool, last_stage: int = 4, frozen_stages: int = 0
) -> ResNet | Darknet:
    """The backbone that the settings name; `last_stage` and `frozen_stages` are a ResNet's."""
    if settings.kind == "resnet":
        return ResNet(settings, frozen_norm, last_stage, frozen_stages)
    return Darknet(settings, FrozenBatchNorm if frozen_norm else BatchNorm)
