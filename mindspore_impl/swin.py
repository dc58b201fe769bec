"""The Swin Transformer (Liu et al., 2021) as a backbone for images of any size.

Between the layers a map is (N, H, W, C). The tables that windows need are in `common/windows.py`. Tokens move into
windows and back by one gather each: filling up, rolling and transposing would take four copies, each of which takes
MindSpore several times as long.
"""

from functools import lru_cache

import numpy as np
from mindspore import Parameter, Tensor, nn
from mindspore import ops as F

from common.config import FrozenNorm, SwinSettings
from common.windows import relative_positions, shift_masks, window_kinds
from mindspore_impl import _transformer_ops as transformer_ops
from mindspore_impl.layers import Conv, LayerNorm, Linear, freeze


class PatchEmbed(nn.Cell):
    """Makes a token of every 4x4 pixels: (N, 3, H, W) -> (N, H / 4, W / 4, C), sides rounded up."""

    def __init__(self, channels: int):
        super().__init__()
        self.proj = Conv(3, channels, 4, stride=4, padding=0)
        self.norm = LayerNorm(channels)

    def construct(self, image: Tensor) -> Tensor:
        height, width = image.shape[2:]
        if height % 4 or width % 4:
            image = F.pad(image, (0, -width % 4, 0, -height % 4))
        return self.norm(F.transpose(self.proj(image), (0, 2, 3, 1)))


class WindowAttention(nn.Cell):
    """Attention among the tokens of each window, with a learned bias for where two tokens lie to each other."""

    def __init__(self, channels: int, heads: int, window: int):
        super().__init__()
        self.heads, self.window, self.shift = heads, window, window // 2
        self.relative_position_bias_table = Parameter(F.zeros(((2 * window - 1) ** 2, heads)))
        self.qkv = Linear(channels, 3 * channels)
        self.proj = Linear(channels, channels)

    def construct(self, x: Tensor, kinds: Tensor | None) -> Tensor:
        """Windows (B, T, C) -> (B, T, C); kinds (B,): those of a shifted map's windows."""
        count, tokens, _ = x.shape
        bias = F.gather(self.relative_position_bias_table, _positions(self.window), 0)
        bias = F.transpose(bias.reshape(tokens, tokens, self.heads), (2, 0, 1))
        if kinds is None:
            kinds = _whole(count)
        return self.proj(transformer_ops.window_attention(self.qkv(x), bias, _masks(self.window, self.shift), kinds))


class Mlp(nn.Cell):
    """Two linear layers on each token, with the exact GELU between them: (..., C) -> (..., C)"""

    def __init__(self, channels: int):
        super().__init__()
        self.fc1 = Linear(channels, 4 * channels)
        self.fc2 = Linear(4 * channels, channels)

    def construct(self, x: Tensor) -> Tensor:
        return self.fc2(transformer_ops.gelu(self.fc1(x)))


class SwinBlock(nn.Cell):
    """Attention in windows, and an MLP, each added to its input; a `shifted` block's windows lie half a window off."""

    def __init__(self, channels: int, heads: int, window: int, shifted: bool):
        super().__init__()
        self.window, self.shift = window, window // 2 if shifted else 0
        self.norm1 = LayerNorm(channels)
        self.attn = WindowAttention(channels, heads, window)
        self.norm2 = LayerNorm(channels)
        self.mlp = Mlp(channels)

    def construct(self, x: Tensor, scales: Tensor | None) -> Tensor:
        """(N, H, W, C) -> (N, H, W, C); scales (N, 2): by what an image multiplies the two branches, none: by 1."""
        attended, scales = self.attend(self.norm1(x)), None if scales is None else scales.reshape(-1, 2, 1, 1, 1)
        x = x + (attended if scales is None else attended * scales[:, 0])
        mixed = self.mlp(self.norm2(x))
        return x + (mixed if scales is None else mixed * scales[:, 1])

    def attend(self, x: Tensor) -> Tensor:
        """(N, H, W, C) -> (N, H, W, C): zeros fill the map up to whole windows, and are seen as tokens."""
        images, height, width, channels = x.shape
        window = self.window
        tokens, places = _windows(images, height, width, window, self.shift)
        kinds = _kinds(images, -(-height // window), -(-width // window)) if self.shift else None
        x = self.attn(_gather(x, tokens).reshape(-1, window * window, channels), kinds)
        return F.gather(x.reshape(-1, channels), places, 0).reshape(images, height, width, channels)


class PatchMerging(nn.Cell):
    """Joins the channels of every 2x2 tokens and halves them: (N, H, W, C) -> (N, H / 2, W / 2, 2C), rounded up."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = LayerNorm(4 * channels)
        self.reduction = Linear(4 * channels, 2 * channels, bias=False)

    def construct(self, x: Tensor) -> Tensor:
        images, height, width, channels = x.shape
        x = _gather(x, _corners(images, height, width))
        x = x.reshape(images, -(-height // 2), -(-width // 2), 4 * channels)
        return self.reduction(self.norm(x))


class SwinStage(nn.Cell):
    """Blocks, every second one shifted; before them the stages behind the first halve the sides."""

    def __init__(self, channels: int, depth: int, heads: int, window: int, merges: bool):
        super().__init__()
        self.downsample = PatchMerging(channels // 2) if merges else None
        self.blocks = nn.CellList([SwinBlock(channels, heads, window, number % 2 == 1) for number in range(depth)])

    def construct(self, x: Tensor, scales: Tensor | None) -> Tensor:
        """(N, H, W, C) -> (N, H, W, C), or from twice the sides and half the channels; scales (N, 2 * blocks)."""
        if self.downsample is not None:
            x = self.downsample(x)
        for number, block in enumerate(self.blocks):
            x = block(x, None if scales is None else scales[:, 2 * number : 2 * number + 2])
        return x


class Swin(nn.Cell):
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

    def construct(self, image: Tensor, branch_scales: Tensor | None = None) -> list[Tensor]:
        """branch_scales (N, 2 * blocks): by what each image multiplies the blocks' branches in training."""
        x, start, features = self.patch_embed(image), 0, []
        if branch_scales is not None:  # MindSpore would work out their gradients, too
            branch_scales = F.stop_gradient(branch_scales)
        for number, depth in enumerate(self.depths, start=1):
            if number <= self.frozen_stages:  # all before this stage stands still
                x = F.stop_gradient(x)
            scales = None if branch_scales is None else branch_scales[:, start : start + 2 * depth]
            x, start = getattr(self, f"layer{number}")(x, scales), start + 2 * depth
            features.append(F.transpose(getattr(self, f"norm{number}")(x), (0, 3, 1, 2)))
        return features


def _gather(x: Tensor, rows: Tensor) -> Tensor:
    """The rows (K,) of x (..., C), with zeros where one is that behind the last: (K, C)"""
    x = x.reshape(-1, x.shape[-1])
    return F.gather(F.cat((x, F.zeros((1, x.shape[1])))), rows, 0)


# Tables are made once and kept.


@lru_cache(maxsize=256)
def _windows(images: int, height: int, width: int, window: int, shift: int) -> tuple[Tensor, Tensor]:
    """The map's row that each token of the windows is, as `_gather` takes it, and the token that each row became."""
    cells = np.arange(images * height * width).reshape(images, height, width)
    filled = np.pad(cells, ((0, 0), (0, -height % window), (0, -width % window)), constant_values=cells.size)
    parts = np.roll(filled, (-shift, -shift), (1, 2)).reshape(images, filled.shape[1] // window, window, -1, window)
    tokens = parts.transpose(0, 1, 3, 2, 4).reshape(-1)
    return _kept(tokens), _kept(np.argsort(tokens, kind="stable")[: cells.size])


@lru_cache(maxsize=256)
def _corners(images: int, height: int, width: int) -> Tensor:
    """The map's rows of every 2x2 tokens, as `_gather` takes them."""
    cells = np.arange(images * height * width).reshape(images, height, width)
    filled = np.pad(cells, ((0, 0), (0, height % 2), (0, width % 2)), constant_values=cells.size)
    squares = filled.reshape(images, filled.shape[1] // 2, 2, -1, 2)
    # The original's order: the rows change before the columns.
    return _kept(squares.transpose(0, 1, 3, 4, 2).reshape(-1))


@lru_cache(maxsize=16)
def _positions(window: int) -> Tensor:
    return _kept(relative_positions(window))


@lru_cache(maxsize=16)
def _masks(window: int, shift: int) -> Tensor:
    return Tensor(shift_masks(window, shift))


@lru_cache(maxsize=256)
def _kinds(images: int, rows: int, columns: int) -> Tensor:
    return _kept(window_kinds(images, rows, columns))


@lru_cache(maxsize=256)
def _whole(count: int) -> Tensor:
    """The kind of windows within a map, which hides nothing, so many times."""
    return _kept(np.zeros(count))


def _kept(table: np.ndarray) -> Tensor:
    return Tensor(table.astype(np.int32))
