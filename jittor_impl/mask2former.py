"""Mask2Former (Cheng et al., 2022): queries that attend where their own masks lie.

What is not network (where tokens lie, matching, losses, results) is in `common/families/mask2former`.
"""

from functools import lru_cache

import jittor as jt
from jittor import Var, nn

from common.families.mask2former.positions import (
    STRIDES,
    Sizes,
    cell_sizes,
    map_sizes,
    reference_points,
    sine_positions,
)
from common.families.mask2former.settings import Mask2FormerNetwork, Mask2FormerSettings
from common.families.mask2former.stages import Note, note_nothing
from jittor_impl import ops
from jittor_impl.backbones import build_backbone
from jittor_impl.layers import Conv, Embedding, GroupNorm, LayerNorm, Linear, MultiHeadAttention

# The class logits (N, Q, K + 1), no object last, and mask logits (N, Q, H / 4, W / 4) of the queries.
Prediction = tuple[Var, Var]


class NormedConv(nn.Module):
    """A convolution and a group norm: (N, in, H, W) -> (N, out, H, W)."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, bias: bool = False):
        super().__init__()
        self.conv = Conv(in_channels, out_channels, kernel, bias=bias)
        self.norm = GroupNorm(out_channels)

    def execute(self, x: Var) -> Var:
        return self.norm(self.conv(x))


class DeformableAttention(nn.Module):
    """Attention in which each token reads a few places of every map, which it tells by itself (Zhu et al., 2020)."""

    def __init__(self, channels: int, heads: int, points: int):
        super().__init__()
        self.layout = heads, len(STRIDES), points
        reads = heads * len(STRIDES) * points
        self.sampling_offsets = Linear(channels, 2 * reads)
        self.attention_weights = Linear(channels, reads)
        self.value_proj = Linear(channels, channels)
        self.output_proj = Linear(channels, channels)

    def execute(self, x: Var, positions: Var, sizes: Sizes) -> Var:
        """Tokens (N, T, C) of maps of these sizes -> (N, T, C); positions (T, C) tell them apart."""
        images, tokens, channels = x.shape
        heads, levels, points = self.layout
        placed = x + positions
        offsets = self.sampling_offsets(placed).reshape((images, tokens, heads, levels, points, 2))
        weights = self.attention_weights(placed).reshape((images, tokens, heads, levels * points))
        # An offset counts in cells of the map that is read.
        locations = _references(sizes) + offsets * _cells(sizes)
        weights = ops.softmax(weights, 3).reshape((images, tokens, heads, levels, points))
        value = self.value_proj(x).reshape((images, tokens, heads, channels // heads))
        return self.output_proj(ops.ms_deform_attn(value, sizes, locations, weights))


class EncoderLayer(nn.Module):
    """Deformable attention among the tokens of all maps, and two linear layers on each token."""

    def __init__(self, settings: Mask2FormerNetwork):
        super().__init__()
        channels = settings.channels
        self.self_attn = DeformableAttention(channels, settings.heads, settings.points)
        self.norm1 = LayerNorm(channels)
        self.linear1 = Linear(channels, settings.encoder_width)
        self.linear2 = Linear(settings.encoder_width, channels)
        self.norm2 = LayerNorm(channels)

    def execute(self, x: Var, positions: Var, sizes: Sizes) -> tuple[Var, Var]:
        """Tokens (N, T, C), positions (T, C) -> what the attention gives, and the tokens after the layer (N, T, C)"""
        attended = self.self_attn(x, positions, sizes)
        x = self.norm1(x + attended)
        return attended, self.norm2(x + self.linear2(nn.relu(self.linear1(x))))


class PixelDecoder(nn.Module):
    """Lets the maps of strides 32, 16 and 8 see each other, and makes of them one of stride 4 for the masks."""

    def __init__(self, in_channels: list[int], settings: Mask2FormerNetwork):
        super().__init__()
        channels = settings.channels
        finest, *others = in_channels
        self.input_proj = nn.ModuleList([NormedConv(width, channels, 1, bias=True) for width in reversed(others)])
        self.level_embed = jt.zeros((len(others), channels))
        self.layers = nn.ModuleList([EncoderLayer(settings) for _ in range(settings.encoder_layers)])
        self.lateral = NormedConv(finest, channels, 1)
        self.output = NormedConv(channels, channels, 3)
        self.mask_features = Conv(channels, channels, 1)

    def execute(self, maps: list[Var], sizes: Sizes, note: Note = note_nothing) -> tuple[list[Var], Var]:
        """Maps (N, ., h, w) of strides 4 to 32 -> those of strides 32, 16, 8 and the masks' features, (N, C, h, w)."""
        finest, *others = maps
        projected = zip(self.input_proj, reversed(others), strict=True)
        x = jt.concat([_tokens(project(each)) for project, each in projected], 1)
        images, _, channels = x.shape
        positions = [_positions(size, channels) + self.level_embed[level] for level, size in enumerate(sizes)]
        positions = jt.concat(positions)
        note("encoder_positions", positions[None])
        for number, layer in enumerate(self.layers):
            attended, x = layer(x, positions, sizes)
            note(f"encoder_{number}_attention", attended)
            note(f"encoder_{number}", x)
        parts = jt.split(x.transpose((0, 2, 1)), [height * width for height, width in sizes], 2)
        levels = [part.reshape((images, channels, *size)) for part, size in zip(parts, sizes, strict=True)]
        enlarged = ops.resize(levels[-1], finest.shape[2:])
        return levels, self.mask_features(nn.relu(self.output(self.lateral(finest) + enlarged)))


class DecoderLayer(nn.Module):
    """Queries look at a map, each where its mask lies, then at each other, and go through two linear layers."""

    def __init__(self, settings: Mask2FormerNetwork):
        super().__init__()
        channels = settings.channels
        self.cross_attn = MultiHeadAttention(channels, settings.heads)
        self.cross_norm = LayerNorm(channels)
        self.self_attn = MultiHeadAttention(channels, settings.heads)
        self.self_norm = LayerNorm(channels)
        self.linear1 = Linear(channels, settings.decoder_width)
        self.linear2 = Linear(settings.decoder_width, channels)
        self.ffn_norm = LayerNorm(channels)

    def execute(self, queries: Var, positions: Var, keys: Var, values: Var, hidden: Var) -> tuple[Var, Var, Var]:
        """Queries (N, Q, C), keys and values (N, T, C) -> the queries after each of the three parts, (N, Q, C)

        positions (Q, C) tell the queries apart; hidden (N, Q, T): which places a query does not see.
        """
        crossed = self.cross_norm(queries + self.cross_attn(queries + positions, keys, values, hidden))
        placed = crossed + positions
        mixed = self.self_norm(crossed + self.self_attn(placed, placed, crossed))
        return crossed, mixed, self.ffn_norm(mixed + self.linear2(nn.relu(self.linear1(mixed))))


class TransformerDecoder(nn.Module):
    """Makes of learned queries the classes and the masks of an image's objects."""

    def __init__(self, settings: Mask2FormerNetwork, num_classes: int):
        super().__init__()
        channels = settings.channels
        self.query_features = Embedding(settings.queries, channels)
        self.query_positions = Embedding(settings.queries, channels)
        self.level_embed = Embedding(len(STRIDES), channels)
        self.layers = nn.ModuleList([DecoderLayer(settings) for _ in range(settings.decoder_layers)])
        self.norm = LayerNorm(channels)
        self.class_embed = Linear(channels, num_classes + 1)
        self.mask_embed = nn.ModuleList([Linear(channels, channels) for _ in range(3)])

    def execute(
        self, levels: list[Var], features: Var, last_alone: bool = False, note: Note = note_nothing
    ) -> list[Prediction]:
        """Maps (N, C, h, w), coarse to fine, and the masks' features -> the predictions before and after each layer.

        last_alone: only what the last layer's queries tell is worked out.
        """
        values = [_tokens(x) + self.level_embed.weight[level] for level, x in enumerate(levels)]
        keys = [value + _positions(tuple(x.shape[2:]), x.shape[1]) for value, x in zip(values, levels, strict=True)]
        # The product with a resized map is the resized product, and no gradient flows through what a query sees.
        small = [ops.resize(features.detach(), x.shape[2:]) for x in levels]
        queries = self.query_features.weight
        queries = queries.broadcast((features.shape[0], *queries.shape))
        predictions = []
        for number, layer in enumerate(self.layers):
            normed, level = self.norm(queries), number % len(levels)
            embedded = self._embed_masks(normed)
            if not last_alone:
                predictions.append((self.class_embed(normed), _masks(embedded, features)))
            logits = _flat(_masks(embedded.detach(), small[level]))
            # A mask's probability below one half: its logit is negative.
            hidden = logits < 0
            note(f"attn_mask_{number}", hidden)
            # A query that would see nothing sees all.
            hidden = jt.logical_and(hidden, logits.max(2, keepdims=True) >= 0)
            parts = layer(queries, self.query_positions.weight, keys[level], values[level], hidden)
            for name, queries in zip(("queries_cross", "queries_self", "queries"), parts, strict=True):
                note(f"{name}_{number}", queries)
        normed = self.norm(queries)
        return [*predictions, (self.class_embed(normed), _masks(self._embed_masks(normed), features))]

    def _embed_masks(self, normed: Var) -> Var:
        """What the queries' masks are products of: (N, Q, C) -> (N, Q, C)"""
        first, second, last = self.mask_embed
        return last(nn.relu(second(nn.relu(first(normed)))))


class Mask2Former(nn.Module):
    """The whole network: backbone, pixel decoder and transformer decoder."""

    def __init__(self, settings: Mask2FormerSettings, frozen_norm: bool):
        super().__init__()
        self.settings = settings
        network = settings.network
        self.backbone = build_backbone(network.backbone, frozen_norm)
        self.pixel_decoder = PixelDecoder(self.backbone.channels[-4:], network)
        self.transformer_decoder = TransformerDecoder(network, settings.num_classes)

    def predictions(self, image: Var, branch_scales: Var | None = None) -> list[Prediction]:
        """(N, 3, H, W) -> the predictions of the bare queries and after each layer

        branch_scales (N, 2 * blocks): for a backbone that leaves branches out in training.
        """
        sizes = map_sizes(*image.shape[2:])
        maps = self.backbone(image) if branch_scales is None else self.backbone(image, branch_scales)
        return self.transformer_decoder(*self.pixel_decoder(maps[-4:], sizes))

    def predict(self, image: Var) -> Prediction:
        """(N, 3, H, W) -> the last prediction, without the work for the others"""
        sizes = map_sizes(*image.shape[2:])
        levels, features = self.pixel_decoder(self.backbone(image)[-4:], sizes)
        return self.transformer_decoder(levels, features, True)[-1]

    def execute(self, image: Var) -> dict[str, Var]:
        """(N, 3, H, W) -> every stage by its name; see `common.families.mask2former.stages`"""
        sizes = map_sizes(*image.shape[2:])
        maps = self.backbone(image)[-4:]
        stages = {f"c{level}": x for level, x in enumerate(maps, start=2)}
        levels, features = self.pixel_decoder(maps, sizes, stages.__setitem__)
        stages |= {f"multi_scale_{number}": x for number, x in enumerate(levels)} | {"mask_features": features}
        predictions = self.transformer_decoder(levels, features, False, stages.__setitem__)
        numbers = [*(f"_{number}" for number in range(len(predictions) - 1)), ""]
        for number, (class_logits, mask_logits) in zip(numbers, predictions, strict=True):
            stages |= {f"pred_logits{number}": class_logits, f"pred_masks{number}": mask_logits}
        return stages


def _tokens(x: Var) -> Var:
    """A map's tokens, row by row: (N, C, h, w) -> (N, h * w, C)"""
    images, channels, height, width = x.shape
    return x.reshape((images, channels, height * width)).transpose((0, 2, 1))


def _masks(embedded: Var, features: Var) -> Var:
    """The products of (N, Q, C) with every cell of a map (N, C, h, w): (N, Q, h, w)"""
    images, channels, height, width = features.shape
    products = ops.matmul(embedded, features.reshape((images, channels, height * width)))
    return products.reshape((images, embedded.shape[1], height, width))


def _flat(x: Var) -> Var:
    """(N, Q, h, w) -> (N, Q, h * w)"""
    images, queries, height, width = x.shape
    return x.reshape((images, queries, height * width))


# Tables are made once and kept.


@lru_cache(maxsize=256)
def _positions(size: tuple[int, int], channels: int) -> Var:
    return jt.array(sine_positions(size, channels)).stop_grad()


@lru_cache(maxsize=256)
def _references(sizes: Sizes) -> Var:
    """The tokens' places, beside offsets (N, T, heads, levels, points, 2)."""
    return jt.array(reference_points(sizes)[:, None, None, None]).stop_grad()


@lru_cache(maxsize=256)
def _cells(sizes: Sizes) -> Var:
    """The maps' cells, beside offsets (N, T, heads, levels, points, 2)."""
    return jt.array(cell_sizes(sizes)[:, None]).stop_grad()
