"""The Swin Transformer (Liu et al., 2021) as a backbone for images of any size.

Between the layers a map is (N, H, W, C). The tables that windows need are in `common/windows.py`.
"""

from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.config import FrozenNorm, SwinSettings
from common.windows import relative_positions, shift_masks, window_kinds
from torch_impl._tables import keep_table
from torch_impl.layers import Conv, LayerNorm, Linear, freeze


class PatchEmbed(nn.Module):
    """Makes a token of every 4x4 pixels: (N, 3, H, W) -> (N, H / 4, W / 4, C), sides rounded up."""

    def __init__(self, channels: int):
        super().__init__()
        self.proj = Conv(3, channels, 4, stride=4, padding=0)
        self.norm = LayerNorm(channels)

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[2:]
        image = F.pad(image, (0, -width % 4, 0, -height % 4))
        return self.norm(self.proj(image).permute(0, 2, 3, 1))


class WindowAttention(nn.Module):
    """Attention among the tokens of each window, with a learned bias for where two tokens lie to each other."""

    def __init__(self, channels: int, heads: int, window: int):
        super().__init__()
        self.heads, self.window, self.shift = heads, window, window // 2
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.qkv = Linear(channels, 3 * channels)
        self.proj = Linear(channels, channels)

    def forward(self, x: Tensor, kinds: Tensor | None) -> Tensor:
        """Windows (B, T, C) -> (B, T, C); kinds (B,): those of a shifted map's windows."""
        count, tokens, channels = x.shape
        q, k, v = self.qkv(x).reshape(count, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        bias = self.relative_position_bias_table[_positions(self.window, x.device)]
        bias = bias.reshape(1, tokens, tokens, self.heads).permute(0, 3, 1, 2)
        masks = None if kinds is None else _masks(self.window, self.shift, x.device).to(x.dtype)[kinds][:, None]
        x = _attend(q, k, v, bias, masks)
        return self.proj(x.transpose(1, 2).reshape(count, tokens, channels))


def _attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor, masks: Tensor | None) -> Tensor:
    """q, k, v (B, heads, T, C) -> (B, heads, T, C); bias (1, heads, T, T) and masks (B, 1, T, T) join the logits."""
    if torch.is_grad_enabled() and q.device.type == "cpu":
        # With a gradient by its bias the fused operation falls back to single ones on the CPU, and to slower ones.
        logits = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1) + bias
        return (logits if masks is None else logits + masks).softmax(-1) @ v
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias if masks is None else bias + masks)


class Mlp(nn.Module):
    """Two linear layers on each token, with the exact GELU between them: (..., C) -> (..., C)"""

    def __init__(self, channels: int):
        super().__init__()
        self.fc1 = Linear(channels, 4 * channels)
        self.fc2 = Linear(4 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class SwinBlock(nn.Module):
    """Attention in windows, and an MLP, each added to its input; a `shifted` block's windows lie half a window off."""

    def __init__(self, channels: int, heads: int, window: int, shifted: bool):
        super().__init__()
        self.window, self.shift = window, window // 2 if shifted else 0
        self.norm1 = LayerNorm(channels)
        self.attn = WindowAttention(channels, heads, window)
        self.norm2 = LayerNorm(channels)
        self.mlp = Mlp(channels)

    def forward(self, x: Tensor, scales: Tensor | None) -> Tensor:
        """(N, H, W, C) -> (N, H, W, C); scales (N, 2): by what an image multiplies the two branches, none: by 1."""
        attended, scales = self.attend(self.norm1(x)), None if scales is None else scales[:, :, None, None, None]
        x = x + (attended if scales is None else attended * scales[:, 0])
        mixed = self.mlp(self.norm2(x))
        return x + (mixed if scales is None else mixed * scales[:, 1])

    def attend(self, x: Tensor) -> Tensor:
        """(N, H, W, C) -> (N, H, W, C): zeros fill the map up to whole windows, and are seen as tokens."""
        images, height, width, channels = x.shape
        window, shift = self.window, self.shift
        x = F.pad(x, (0, 0, 0, -width % window, 0, -height % window))
        if shift:
            x = torch.roll(x, (-shift, -shift), (1, 2))
        rows, columns = x.shape[1] // window, x.shape[2] // window
        x = x.reshape(images, rows, window, columns, window, channels).transpose(2, 3)
        kinds = _kinds(images, rows, columns, x.device) if shift else None
        x = self.attn(x.reshape(-1, window * window, channels), kinds)
        x = x.reshape(images, rows, columns, window, window, channels).transpose(2, 3)
        x = x.reshape(images, rows * window, columns * window, channels)
        if shift:
            x = torch.roll(x, (shift, shift), (1, 2))
        return x[:, :height, :width]


class PatchMerging(nn.Module):
    """Joins the channels of every 2x2 tokens and halves them: (N, H, W, C) -> (N, H / 2, W / 2, 2C), rounded up."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = LayerNorm(4 * channels)
        self.reduction = Linear(4 * channels, 2 * channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        # The original's order: the rows change before the columns.
        corners = [x[:, row::2, column::2] for row, column in ((0, 0), (1, 0), (0, 1), (1, 1))]
        return self.reduction(self.norm(torch.cat(corners, -1)))


class SwinStage(nn.Module):
    """Blocks, every second one shifted; before them the stages behind the first halve the sides."""

    def __init__(self, channels: int, depth: int, heads: int, window: int, merges: bool):
        super().__init__()
        self.downsample = PatchMerging(channels // 2) if merges else None
        self.blocks = nn.ModuleList(SwinBlock(channels, heads, window, number % 2 == 1) for number in range(depth))

    def forward(self, x: Tensor, scales: Tensor | None) -> Tensor:
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
        self.last_stage = last_stage or len(settings.depths)
        self.depths = settings.depths[: self.last_stage]
        self.patch_embed = PatchEmbed(settings.width)
        self.channels = [settings.width * 2**stage for stage in range(self.last_stage)]
        for number, (channels, depth) in enumerate(zip(self.channels, self.depths, strict=True), start=1):
            stage = SwinStage(channels, depth, settings.heads[number - 1], settings.window, number > 1)
            setattr(self, f"layer{number}", stage)
            setattr(self, f"norm{number}", LayerNorm(channels))
        freeze(*[self.patch_embed, *(getattr(self, f"layer{k}") for k in range(1, frozen_stages))][:frozen_stages])

    def forward(self, image: Tensor, branch_scales: Tensor | None = None) -> list[Tensor]:
        """branch_scales (N, 2 * blocks): by what each image multiplies the blocks' branches in training."""
        x, start, features = self.patch_embed(image), 0, []
        for number, depth in enumerate(self.depths, start=1):
            scales = None if branch_scales is None else branch_scales[:, start : start + 2 * depth]
            x, start = getattr(self, f"layer{number}")(x, scales), start + 2 * depth
            features.append(getattr(self, f"norm{number}")(x).permute(0, 3, 1, 2))
        return features


# Tables are made once and kept.


@lru_cache(maxsize=16)
def _positions(window: int, device: torch.device) -> Tensor:
    return keep_table(relative_positions(window), device)


@lru_cache(maxsize=16)
def _masks(window: int, shift: int, device: torch.device) -> Tensor:
    return keep_table(shift_masks(window, shift), device)


@lru_cache(maxsize=256)
def _kinds(images: int, rows: int, columns: int, device: torch.device) -> Tensor:
    return keep_table(window_kinds(images, rows, columns), device)
