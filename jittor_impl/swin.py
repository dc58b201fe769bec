"""The Swin Transformer (Liu et al., 2021) as a backbone for images of any size.

Between the layers a map is (N, H, W, C). The tables that windows need are in `common/windows.py`.
"""

from functools import lru_cache

import jittor as jt
from jittor import Var, nn

from common.config import FrozenNorm, SwinSettings
from common.windows import relative_positions, shift_masks, window_kinds
from jittor_impl import _code_ops as code_ops
from jittor_impl import _transformer_ops as transformer_ops
from jittor_impl.layers import Conv, LayerNorm, Linear, freeze


class PatchEmbed(nn.Module):
    """Makes a token of every 4x4 pixels: (N, 3, H, W) -> (N, H / 4, W / 4, C), sides rounded up."""

    def __init__(self, channels: int):
        super().__init__()
        self.proj = Conv(3, channels, 4, stride=4, padding=0)
        self.norm = LayerNorm(channels)

    def execute(self, image: Var) -> Var:
        height, width = image.shape[2:]
        image = nn.pad(image, [0, -width % 4, 0, -height % 4])
        return self.norm(self.proj(image).transpose((0, 2, 3, 1)))


class WindowAttention(nn.Module):
    """Attention among the tokens of each window, with a learned bias for where two tokens lie to each other."""

    def __init__(self, channels: int, heads: int, window: int):
        super().__init__()
        self.heads, self.window, self.shift = heads, window, window // 2
        self.relative_position_bias_table = jt.zeros(((2 * window - 1) ** 2, heads))
        self.qkv = Linear(channels, 3 * channels)
        self.proj = Linear(channels, channels)

    def execute(self, x: Var, kinds: Var | None) -> Var:
        """Windows (B, T, C) -> (B, T, C); kinds (B,): those of a shifted map's windows."""
        count, tokens, _ = x.shape
        bias = code_ops.take(self.relative_position_bias_table, _positions(self.window), 0)
        bias = bias.transpose((1, 0)).reshape((self.heads, tokens, tokens))
        # Windows of the kind 0 have nothing masked.
        kinds = jt.zeros((count,), "int32") if kinds is None else kinds
        return self.proj(transformer_ops.attend(self.qkv(x), bias, _masks(self.window, self.shift), kinds, self.heads))


class Mlp(nn.Module):
    """Two linear layers on each token, with the exact GELU between them: (..., C) -> (..., C)"""

    def __init__(self, channels: int):
        super().__init__()
        self.fc1 = Linear(channels, 4 * channels)
        self.fc2 = Linear(4 * channels, channels)

    def execute(self, x: Var) -> Var:
        return self.fc2(transformer_ops.gelu(self.fc1(x)))


class SwinBlock(nn.Module):
    """Attention in windows, and an MLP, each added to its input; a `shifted` block's windows lie half a window off."""

    def __init__(self, channels: int, heads: int, window: int, shifted: bool):
        super().__init__()
        self.window, self.shift = window, window // 2 if shifted else 0
        self.norm1 = LayerNorm(channels)
        self.attn = WindowAttention(channels, heads, window)
        self.norm2 = LayerNorm(channels)
        self.mlp = Mlp(channels)

    def execute(self, x: Var, scales: Var | None) -> Var:
        """(N, H, W, C) -> (N, H, W, C); scales (N, 2): by what an image multiplies the two branches, none: by 1."""
        attended = self.attend(self.norm1(x))
        x = x + (attended if scales is None else attended * scales[:, 0].reshape((-1, 1, 1, 1)))
        mixed = self.mlp(self.norm2(x))
        return x + (mixed if scales is None else mixed * scales[:, 1].reshape((-1, 1, 1, 1)))

    def attend(self, x: Var) -> Var:
        """(N, H, W, C) -> (N, H, W, C): zeros fill the map up to whole windows, and are seen as tokens."""
        images, height, width, _ = x.shape
        window = self.window
        kinds = _kinds(images, -(-height // window), -(-width // window)) if self.shift else None
        windows = self.attn(transformer_ops.to_windows(x, window, self.shift), kinds)
        return transformer_ops.from_windows(windows, x.shape, window, self.shift)


class PatchMerging(nn.Module):
    """Joins the channels of every 2x2 tokens and halves them: (N, H, W, C) -> (N, H / 2, W / 2, 2C), rounded up."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = LayerNorm(4 * channels)
        self.reduction = Linear(4 * channels, 2 * channels, bias=False)

    def execute(self, x: Var) -> Var:
        images, height, width, channels = x.shape
        # The original's order: the rows change before the columns.
        corners = transformer_ops.to_windows(x, 2, by_columns=True)
        corners = corners.reshape((images, (height + 1) // 2, (width + 1) // 2, 4 * channels))
        return self.reduction(self.norm(corners))


class SwinStage(nn.Module):
    """Blocks, every second one shifted; before them the stages behind the first halve the sides."""

    def __init__(self, channels: int, depth: int, heads: int, window: int, merges: bool):
        super().__init__()
        self.downsample = PatchMerging(channels // 2) if merges else None
        self.blocks = nn.ModuleList([SwinBlock(channels, heads, window, number % 2 == 1) for number in range(depth)])

    def execute(self, x: Var, scales: Var | None) -> Var:
        """(N, H, W, C) -> (N, H, W, C), or from twice the sides and half the channels; scales (N, 2 * blocks)."""
        if self.downsample is not None:
            x = self.downsample(x)
        for number, block in enumerate(self.blocks):
            x = block(x, None if scales is None else scales[:, 2 * number : 2 * number + 2])
        return x


class Swin(nn.Module):
    """(N, 3, H, W) -> maps of the stages 1 to 4, at strides 4, 8, 16, 32, each normalised as it leaves."""

    def __init__(
        self, settings: SwinSettings, frozen_norm: FrozenNorm, last_stage: int | None = None, frozen_stages: int = 0
    ):
        super().__init__()
        self.last_stage, self.frozen_stages = last_stage or len(settings.depths), frozen_stages
        self.depths = settings.depths[: self.last_stage]
        self.patch_embed = PatchEmbed(settings.width)
        self.channels = [settings.width * 2**stage for stage in range(self.last_stage)]
        for number, (channels, depth) in enumerate(zip(self.channels, self.depths, strict=True), start=1):
            stage = SwinStage(channels, depth, settings.heads[number - 1], settings.window, number > 1)
            setattr(self, f"layer{number}", stage)
            setattr(self, f"norm{number}", LayerNorm(channels))
        freeze(*[self.patch_embed, *(getattr(self, f"layer{k}") for k in range(1, frozen_stages))][:frozen_stages])

    def execute(self, image: Var, branch_scales: Var | None = None) -> list[Var]:
        """branch_scales (N, 2 * blocks): by what each image multiplies the blocks' branches in training."""
        x, start, features = self.patch_embed(image), 0, []
        for number, depth in enumerate(self.depths, start=1):
            if number <= self.frozen_stages:  # all before this stage stands still
                x = x.detach()
            scales = None if branch_scales is None else branch_scales[:, start : start + 2 * depth]
            x, start = getattr(self, f"layer{number}")(x, scales), start + 2 * depth
            features.append(getattr(self, f"norm{number}")(x).transpose((0, 3, 1, 2)))
        return features


# Tables are made once and kept.


@lru_cache(maxsize=16)
def _positions(window: int) -> Var:
    return jt.array(relative_positions(window))


@lru_cache(maxsize=16)
def _masks(window: int, shift: int) -> Var:
    return jt.array(shift_masks(window, shift)).stop_grad()


@lru_cache(maxsize=256)
def _kinds(images: int, rows: int, columns: int) -> Var:
    return jt.array(window_kinds(images, rows, columns))
