"""A small foreign network in NumPy, of which every layer can be replaced by a faulty one.

It takes pictures (N, 3, 32, 32) through a stem, blocks of convolutions, a block of windowed attention and a head. A
layer is a function of the layers that it names, and of the parameters under its own path.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import erf, expit

Arrays = dict[str, np.ndarray]
WINDOW, SHIFT, HEADS, WIDTH = 4, 2, 2, 16


@dataclass(frozen=True)
class Layer:
    """compute: is given the inputs, and as keywords the parameters and `settings`.

    is_seen: whether a hook would see it; what stands between modules is no layer of a dump.
    """

    kind: str
    inputs: tuple[str, ...]
    compute: Callable[..., np.ndarray]
    settings: Mapping[str, object] = field(default_factory=dict)
    is_seen: bool = True

    def but(self, compute: Callable[..., np.ndarray] | None = None, **settings: object) -> "Layer":
        """The layer with other settings, or another computation."""
        return replace(self, compute=compute or self.compute, settings={**self.settings, **settings})


Network = dict[str, Layer]


def run(network: Network, parameters: Mapping[str, np.ndarray], image: np.ndarray, dtype: type = np.float32) -> Arrays:
    """Every layer's output that a hook sees, in the order of the computation; all is computed in the type.

    A layer whose input has a size that it cannot take ends the run, as it does in a framework.
    """
    values: Arrays = {"image": image.astype(dtype)}
    for name, layer in network.items():
        own = {key[len(name) + 1 :]: array.astype(dtype) for key, array in parameters.items() if is_of(name, key)}
        given = [values[each] for each in layer.inputs]
        try:
            values[name] = layer.compute(*given, **own, **layer.settings).astype(dtype)
        except ValueError:
            break
    return {name: array for name, array in values.items() if name in network and network[name].is_seen}


def is_of(layer: str, parameter: str) -> bool:
    return parameter.rpartition(".")[0] == layer


# ---- the operations, as plainly as they can be said


def pad(x, sides, mode="constant", value=0.0):
    top, bottom, left, right = sides
    extra = {"constant_values": value} if mode == "constant" else {}
    return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), mode, **extra)


def windows_of(x, kernel, stride, dilation=1):
    """(N, C, H', W', h, w): a view of what each place of the kernel sees."""
    reach = (kernel - 1) * dilation + 1
    seen = np.lib.stride_tricks.sliding_window_view(x, (reach, reach), axis=(2, 3))
    return seen[:, :, ::stride, ::stride, ::dilation, ::dilation]


def conv(x, weight, bias=None, stride=1, sides=(0, 0, 0, 0), dilation=1, groups=1, mode="constant", value=0.0):
    seen = windows_of(pad(x, sides, mode, value), weight.shape[2], stride, dilation)
    outputs = []
    for part, kernel in zip(np.split(seen, groups, 1), np.split(weight, groups, 0), strict=True):
        outputs.append(np.tensordot(part, kernel, ((1, 4, 5), (1, 2, 3))).transpose(0, 3, 1, 2))
    answer = np.concatenate(outputs, 1)
    return answer if bias is None else answer + bias[:, None, None]


def batch_norm(x, weight, bias, running_mean, running_var, epsilon=1e-5, trains=False):
    if trains:
        running_mean, running_var = x.mean((0, 2, 3)), x.var((0, 2, 3))
    by_channel = [array[:, None, None] for array in (weight, bias, running_mean, running_var)]
    weight, bias, mean, variance = by_channel
    return weight * (x - mean) / np.sqrt(variance + epsilon) + bias


def layer_norm(x, weight, bias, epsilon=1e-5, axes=(-1,), ddof=0, is_centred=True):
    mean = x.mean(axes, keepdims=True)
    variance = x.var(axes, keepdims=True, ddof=ddof) if is_centred else np.square(x).mean(axes, keepdims=True)
    return weight * (x - mean * is_centred) / np.sqrt(variance + epsilon) + bias


def group_norm(x, weight, bias, groups=4, epsilon=1e-5, ddof=0):
    grouped = x.reshape(len(x), groups, -1)
    variance = grouped.var(2, keepdims=True, ddof=ddof)
    answer = ((grouped - grouped.mean(2, keepdims=True)) / np.sqrt(variance + epsilon)).reshape(x.shape)
    return answer * weight[:, None, None] + bias[:, None, None]


def max_pool(x, kernel=3, stride=2, sides=(1, 1, 1, 1), value=-np.inf):
    return windows_of(pad(x, sides, value=value), kernel, stride).max((4, 5))


def mean_pool(x, kernel=3, stride=2, sides=(1, 1, 1, 1), counts_padding=True):
    total = windows_of(pad(x, sides), kernel, stride).sum((4, 5))
    counted = windows_of(pad(np.ones_like(x), sides), kernel, stride).sum((4, 5))
    return total / (kernel * kernel if counts_padding else counted)


def enlarge(x, size=16, aligns=False, is_nearest=False):
    """Bilinear, or nearest, from square to square."""
    source = x.shape[2]
    if is_nearest:
        at = np.arange(size) * source // size
        return x[:, :, at][..., at]
    places = np.arange(size)
    at = places * (source - 1) / (size - 1) if aligns else np.clip((places + 0.5) * source / size - 0.5, 0, source - 1)
    shares = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(source)))
    return np.einsum("yi,ncij,xj->ncyx", shares, x, shares)


def linear(x, weight, bias=0.0):
    return x @ weight.T + bias


def relu(x):
    return np.maximum(x, 0)


def gelu(x, by_tanh=False):
    inner = np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)) if by_tanh else erf(x / np.sqrt(2))
    return 0.5 * x * (1 + inner)


def silu(x):
    return x * expit(x)


def leaky(x, slope=0.1):
    return np.where(x > 0, x, slope * x)


def normalise(image, mean=(0.45, 0.4, 0.5), deviation=(0.2, 0.25, 0.3), divisor=255, is_reversed=False):
    image = image[:, ::-1] if is_reversed else image
    return (image / divisor - np.reshape(mean, (3, 1, 1))) / np.reshape(deviation, (3, 1, 1))


def partition(tokens, side=8):
    """(N, side * side, C), rolled by SHIFT -> windows (N * windows, WINDOW * WINDOW, C)."""
    return _windows(tokens, side, SHIFT)


def _windows(tokens, side, shift):
    count, _, channels = tokens.shape
    picture = np.roll(tokens.reshape(count, side, side, channels), (-shift, -shift), (1, 2))
    parts = picture.reshape(count, side // WINDOW, WINDOW, side // WINDOW, WINDOW, channels)
    return parts.transpose(0, 1, 3, 2, 4, 5).reshape(-1, WINDOW * WINDOW, channels)


def partition_shifted(tokens, shift):
    return _windows(tokens, 8, shift)


def merge(windows, side=8):
    """The reverse of `partition`."""
    across, channels = side // WINDOW, windows.shape[-1]
    parts = windows.reshape(-1, across, across, WINDOW, WINDOW, channels).transpose(0, 1, 3, 2, 4, 5)
    return np.roll(parts.reshape(-1, side, side, channels), (SHIFT, SHIFT), (1, 2)).reshape(-1, side * side, channels)


def region_mask(side=8):
    """(windows, N, N): -100 between tokens that the roll has brought together from opposite sides."""
    region = np.zeros((1, side * side, 1))
    ends = (slice(0, side - WINDOW), slice(side - WINDOW, side - SHIFT), slice(side - SHIFT, side))
    grid = region.reshape(side, side)
    for down, rows in enumerate(ends):
        for right, columns in enumerate(ends):
            grid[rows, columns] = 3 * down + right
    labels = _windows(grid.reshape(1, -1, 1), side, 0)[..., 0]
    return np.where(labels[:, :, None] == labels[:, None], 0.0, -100.0)


def attend(
    qkv, table, heads=HEADS, order=(0, 1, 2), scale=None, has_bias=True, turns=False, has_mask=True, joins=True,
    is_interleaved=False,
):  # fmt: skip
    """Windowed attention (B, N, 3 C) -> (B, N, C), with a table ((2 WINDOW - 1)^2, heads) by relative position."""
    batch, count, width = qkv.shape
    axes = (heads, 3) if is_interleaved else (3, heads)
    parts = qkv.reshape(batch, count, *axes, -1)
    parts = parts.transpose(3, 0, 2, 1, 4) if is_interleaved else parts.transpose(2, 0, 3, 1, 4)
    queries, keys, values = (parts[part] for part in order)
    logits = queries @ keys.swapaxes(2, 3) * ((width / 3 / heads) ** -0.5 if scale is None else scale)
    if has_bias:
        y, x = np.divmod(np.arange(count), WINDOW)
        down, right = y[:, None] - y + WINDOW - 1, x[:, None] - x + WINDOW - 1
        biases = table[down * (2 * WINDOW - 1) + right].transpose(2, 0, 1)
        logits = logits + (biases.swapaxes(1, 2) if turns else biases)
    if has_mask:
        logits = logits + np.tile(region_mask(), (batch // 4, 1, 1))[:, None]
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    taken = powers / powers.sum(-1, keepdims=True) @ values
    return (taken.swapaxes(1, 2) if joins else taken).reshape(batch, count, -1)


def tokens_of(picture):
    return picture.reshape(*picture.shape[:2], -1).swapaxes(1, 2)


def picture_of(tokens):
    return tokens.swapaxes(1, 2).reshape(len(tokens), -1, 8, 8)


def add(a, b):
    return a + b


def add_then_relu(a, b):
    return np.maximum(a + b, 0)


# ---- the network

AROUND = (1, 1, 1, 1)


def build() -> Network:
    """The right network."""
    return {
        "normalised": Layer("preprocessing", ("image",), normalise),
        "stem.conv": Layer("Conv2d", ("normalised",), conv, {"stride": 2, "sides": AROUND}),
        "stem.norm": Layer("BatchNorm2d", ("stem.conv",), batch_norm),
        "stem.pool": Layer("MaxPool2d", ("stem.norm",), max_pool, {"stride": 1}),
        "stem.act": Layer("ReLU", ("stem.pool",), relu),
        "block.conv1": Layer("Conv2d", ("stem.act",), conv, {"sides": AROUND}),
        "block.norm1": Layer("FrozenBatchNorm2d", ("block.conv1",), batch_norm),
        "block.act": Layer("LeakyReLU", ("block.norm1",), leaky),
        "block.conv2": Layer("Conv2d", ("block.act",), conv, {"sides": AROUND}),
        "block.norm2": Layer("BatchNorm2d", ("block.conv2",), batch_norm),
        "block": Layer("BasicBlock", ("block.norm2", "stem.act"), add_then_relu),
        "wide.conv": Layer("Conv2d", ("block",), conv, {"sides": (2, 2, 2, 2), "dilation": 2, "groups": 2}),
        "wide.norm": Layer("GroupNorm", ("wide.conv",), group_norm),
        "wide.act": Layer("SiLU", ("wide.norm",), silu),
        "wide.pool": Layer("AvgPool2d", ("wide.act",), mean_pool),
        "wide.side": Layer("Conv2d", ("wide.pool",), conv),
        "embed": Layer("function", ("wide.side",), tokens_of, is_seen=False),
        "mixer.norm1": Layer("LayerNorm", ("embed",), layer_norm),
        "mixer.windows": Layer("function", ("mixer.norm1",), partition, is_seen=False),
        "mixer.attn.qkv": Layer("Linear", ("mixer.windows",), linear),
        "mixer.attn": Layer("function", ("mixer.attn.qkv",), attend, is_seen=False),
        "mixer.attn.proj": Layer("Linear", ("mixer.attn",), linear),
        "mixer.merged": Layer("function", ("mixer.attn.proj",), merge, is_seen=False),
        "mixer.sum": Layer("function", ("mixer.merged", "embed"), add, is_seen=False),
        "mixer.norm2": Layer("LayerNorm", ("mixer.sum",), layer_norm),
        "mixer.fc1": Layer("Linear", ("mixer.norm2",), linear),
        "mixer.act": Layer("GELU", ("mixer.fc1",), gelu),
        "mixer.fc2": Layer("Linear", ("mixer.act",), linear),
        "mixer": Layer("Block", ("mixer.fc2", "mixer.norm2"), add),
        "picture": Layer("function", ("mixer",), picture_of, is_seen=False),
        "up": Layer("Upsample", ("picture",), enlarge),
        "shrink": Layer("Conv2d", ("up",), conv, {"stride": 2, "sides": AROUND}),
        "pool": Layer("AvgPool2d", ("shrink",), mean_pool, {"sides": (0, 0, 0, 0)}),
        "flat": Layer("function", ("pool",), lambda x: x.reshape(len(x), -1), is_seen=False),
        "hidden": Layer("Linear", ("flat",), linear),
        "hidden2": Layer("Linear", ("hidden",), linear),
        "classes": Layer("Linear", ("hidden2",), linear),
    }


SHAPES = {
    "stem.conv": ((8, 3, 3, 3), False),
    "block.conv1": ((8, 8, 3, 3), False),
    "block.conv2": ((8, 8, 3, 3), True),
    "wide.conv": ((16, 4, 3, 3), True),
    "wide.side": ((16, 16, 1, 1), True),
    "mixer.attn.qkv": ((3 * WIDTH, WIDTH), True),
    "mixer.attn.proj": ((WIDTH, WIDTH), True),
    "mixer.fc1": ((2 * WIDTH, WIDTH), True),
    "mixer.fc2": ((WIDTH, 2 * WIDTH), True),
    "shrink": ((8, 16, 3, 3), True),
    "hidden": ((24, 72), True),
    "hidden2": ((24, 24), True),
    "classes": ((10, 24), True),
}
NORMS = {
    "stem.norm": 8,
    "block.norm1": 8,
    "block.norm2": 8,
    "wide.norm": 16,
    "mixer.norm1": WIDTH,
    "mixer.norm2": WIDTH,
}


def draw_parameters(seed: int) -> Arrays:
    """Parameters as training leaves them: scales of either sign, shifts, statistics of no round numbers."""
    rng = np.random.default_rng(seed)
    drawn: Arrays = {}
    for name, (shape, has_bias) in SHAPES.items():
        drawn[f"{name}.weight"] = rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))
        if has_bias:
            drawn[f"{name}.bias"] = 0.3 * rng.normal(size=shape[0])
    for name, count in NORMS.items():
        drawn[f"{name}.weight"] = rng.normal(size=count) + np.sign(rng.normal(size=count) + 0.8) * 0.5
        drawn[f"{name}.bias"] = 0.4 * rng.normal(size=count)
        if "mixer" not in name and name != "wide.norm":
            drawn[f"{name}.running_mean"] = 0.3 * rng.normal(size=count)
            drawn[f"{name}.running_var"] = rng.uniform(0.05, 1.5, count)
    drawn["mixer.attn.table"] = rng.normal(size=((2 * WINDOW - 1) ** 2, HEADS))
    return {name: array.astype(np.float32) for name, array in drawn.items()}


def draw_image(seed: int, count: int = 2) -> np.ndarray:
    """Pictures (N, 3, 32, 32) of 0..255: smooth colours with some grain."""
    rng = np.random.default_rng(1000 + seed)
    coarse = rng.uniform(0, 255, (count, 3, 9, 9))
    smooth = enlarge(coarse, 32)
    return np.clip(smooth + 25 * rng.normal(size=smooth.shape), 0, 255)
