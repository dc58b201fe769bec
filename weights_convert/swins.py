"""The arrays of a Swin Transformer: their canonical names and shapes, beside the names that an upstream gives them."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from common.config import Settings, SwinSettings
from common.windows import relative_positions
from weights_convert.state_dicts import Entry, Stored, conv, linear


class SwinNames(NamedTuple):
    """How an upstream names the parts of a Swin, and what its files have.

    stages: what its stages are called. attention: what stands before an attention's arrays.
    patches: the convolution of the patches. mlp: the two linear layers of an MLP.
    merging: how the channels of four tokens are joined in its files; see `Entry.stored`.
    norm_first: whether a merging's norm stands before its linear layer.
    """

    stages: str = "layers"
    attention: str = "attn"
    patches: str = "proj"
    mlp: tuple[str, str] = ("mlp.fc1", "mlp.fc2")
    merging: Stored = "alike"
    norm_first: bool = False


ORIGINAL = SwinNames()
MMDETECTION = SwinNames("stages", "attn.w_msa", "projection", ("ffn.layers.0.0", "ffn.layers.1"), "unfolded", True)

TABLE = "relative_position_bias_table"
POSITIONS = "relative_position_index"
# The norms of the stages' outputs, which networks that classify do without.
ADDED_TO_BACKBONE = r"backbone\.norm[1-4]\..*"


def has_swin(settings: Settings) -> bool:
    """Whether a model's backbone is a Swin."""
    return isinstance(getattr(settings.network, "backbone", None), SwinSettings)


def stage_channels(settings: SwinSettings) -> list[int]:
    """The numbers of channels of the four stages' outputs."""
    return [settings.width * 2**stage for stage in range(4)]


def swin(original: str, canonical: str, settings: SwinSettings, names: SwinNames) -> Iterator[Entry]:
    """The arrays of a whole Swin; `original` and `canonical` stand before all names, each with its dot."""
    patches = f"{original}patch_embed."
    yield from conv(f"{patches}{names.patches}", f"{canonical}patch_embed.proj", settings.width, 3, 4)
    yield from layer_norm(f"{patches}norm", f"{canonical}patch_embed.norm", settings.width)
    for stage, channels in enumerate(stage_channels(settings)):
        theirs, ours = f"{original}{names.stages}.{stage}", f"{canonical}layer{stage + 1}"
        for block in range(settings.depths[stage]):
            yield from _block(f"{theirs}.blocks.{block}.", f"{ours}.blocks.{block}.", stage, settings, names)
        if stage < 3:
            # Here the merging belongs to the stage behind it.
            yield from _merging(f"{theirs}.downsample", f"{canonical}layer{stage + 2}.downsample", channels, names)
    for stage, channels in enumerate(stage_channels(settings)):
        yield from layer_norm(f"{original}norm{stage}", f"{canonical}norm{stage + 1}", channels)


def layer_norm(original: str, canonical: str, channels: int) -> list[Entry]:
    """The arrays of a layer norm."""
    return [Entry(f"{original}.{leaf}", f"{canonical}.{leaf}", (channels,)) for leaf in ("weight", "bias")]


def _block(original: str, canonical: str, stage: int, settings: SwinSettings, names: SwinNames) -> Iterator[Entry]:
    channels, window = stage_channels(settings)[stage], settings.window
    attention, own = f"{original}{names.attention}", f"{canonical}attn"
    yield from layer_norm(f"{original}norm1", f"{canonical}norm1", channels)
    yield Entry(f"{attention}.{TABLE}", f"{own}.{TABLE}", ((2 * window - 1) ** 2, settings.heads[stage]))
    positions = relative_positions(window).astype(np.int64).reshape(window**2, window**2)
    yield Entry(f"{attention}.{POSITIONS}", None, positions.shape, positions)
    yield from linear(f"{attention}.qkv", f"{own}.qkv", 3 * channels, channels)
    yield from linear(f"{attention}.proj", f"{own}.proj", channels, channels)
    yield from layer_norm(f"{original}norm2", f"{canonical}norm2", channels)
    first, second = names.mlp
    yield from linear(f"{original}{first}", f"{canonical}mlp.fc1", 4 * channels, channels)
    yield from linear(f"{original}{second}", f"{canonical}mlp.fc2", channels, 4 * channels)


def _merging(original: str, canonical: str, channels: int, names: SwinNames) -> Iterator[Entry]:
    shape = (2 * channels, 4 * channels)
    linear_layer = [Entry(f"{original}.reduction.weight", f"{canonical}.reduction.weight", shape)]
    its_norm = layer_norm(f"{original}.norm", f"{canonical}.norm", 4 * channels)
    for entry in its_norm + linear_layer if names.norm_first else linear_layer + its_norm:
        yield entry._replace(stored=names.merging)


def resize_table(table: np.ndarray, window: int) -> np.ndarray:
    """A table of position biases ((2V - 1)^2, heads) of windows V tokens wide -> ((2W - 1)^2, heads), W = `window`.

    As the original's loader resizes it: bicubically by the tokens' distances, between the cells' middles.
    """
    before, after = round(len(table) ** 0.5), 2 * window - 1
    weights = _bicubic_weights(before, after)
    square = table.reshape(before, before, -1)
    resized = np.einsum("yi,xj,ijh->yxh", weights, weights, square)
    return resized.reshape(after**2, -1).astype(table.dtype)


def _bicubic_weights(before: int, after: int) -> np.ndarray:
    """(after, before): what each of `before` values weighs in each of `after` that PyTorch's interpolation makes."""
    places = (np.arange(after) + 0.5) * before / after - 0.5
    first = np.floor(places).astype(int) - 1
    weights = np.zeros((after, before))
    for tap in range(4):
        distances = np.abs(places - (first + tap))
        # Values beyond the ends repeat the last one.
        np.add.at(weights, (np.arange(after), np.clip(first + tap, 0, before - 1)), _cubic(distances))
    return weights


def _cubic(distance: np.ndarray) -> np.ndarray:
    """Keys' kernel of cubic convolution at distances up to 2, with the parameter -0.75."""
    near = 1.25 * distance**3 - 2.25 * distance**2 + 1
    far = -0.75 * (distance**3 - 5 * distance**2 + 8 * distance - 4)
    return np.where(distance <= 1, near, far)
