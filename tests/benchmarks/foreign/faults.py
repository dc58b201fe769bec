"""The table of foreign faults: what is planted in the small network, where it is first seen, and what is to be said."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tests.benchmarks.foreign import small_network as net

Planter = Callable[[net.Network, net.Arrays], None]


@dataclass(frozen=True)
class Fault:
    """name: what is wrong. layer: the first that departs. words: all of them stand in one of the two printed causes.

    plant: changes the network or its parameters.
    """

    name: str
    layer: str
    words: tuple[str, ...]
    plant: Planter


def settings(layer: str, compute: Callable[..., np.ndarray] | None = None, **changed: object) -> Planter:
    """Other settings of a layer, or another computation."""

    def plant(network: net.Network, parameters: net.Arrays) -> None:
        network[layer] = network[layer].but(compute, **changed)

    return plant


def inputs(layer: str, *names: str, compute: Callable[..., np.ndarray] | None = None) -> Planter:
    """Other inputs of a layer."""

    def plant(network: net.Network, parameters: net.Arrays) -> None:
        old = network[layer]
        network[layer] = net.Layer(old.kind, names, compute or old.compute, old.settings, old.is_seen)

    return plant


def change(name: str, to: Callable[[np.ndarray], np.ndarray]) -> Planter:
    """Another value of one parameter."""

    def plant(network: net.Network, parameters: net.Arrays) -> None:
        parameters[name] = np.ascontiguousarray(to(parameters[name]))

    return plant


def exchange(first: str, second: str) -> Planter:
    """Two parameters change places, or all parameters of two layers do."""

    def plant(network: net.Network, parameters: net.Arrays) -> None:
        pairs = [(first, second)]
        if first not in parameters:
            pairs = [(name, second + name[len(first) :]) for name in parameters if net.is_of(first, name)]
        for one, other in pairs:
            parameters[one], parameters[other] = parameters[other], parameters[one]

    return plant


def copy(name: str, source: str) -> Planter:
    """Another's parameter in a place."""

    def plant(network: net.Network, parameters: net.Arrays) -> None:
        parameters[name] = parameters[source]

    return plant


def drop(name: str) -> Planter:
    def plant(network: net.Network, parameters: net.Arrays) -> None:
        del parameters[name]

    return plant


def together(*planters: Planter) -> Planter:
    def plant(network: net.Network, parameters: net.Arrays) -> None:
        for each in planters:
            each(network, parameters)

    return plant


def afresh(name: str) -> Planter:
    """A parameter that was not loaded: drawn."""
    rng = np.random.default_rng(99)
    return change(name, lambda array: (rng.normal(size=array.shape) * array.std()).astype(np.float32))


def by_itself(x: np.ndarray, *rest: np.ndarray, **more: object) -> np.ndarray:
    """A layer that is left out."""
    return x


def unbiased(x: np.ndarray, weight, bias, running_mean, running_var) -> np.ndarray:
    """The batch's variance as a training step counts it."""
    count = x.size // x.shape[1]
    return net.batch_norm(x, weight, bias, running_mean, running_var * count / (count - 1) * 1.02)


def moved(x: np.ndarray, weight, bias, running_mean, running_var) -> np.ndarray:
    """Statistics that moved by one batch before they were used."""
    count = x.size // x.shape[1]
    mean = 0.9 * running_mean + 0.1 * x.mean((0, 2, 3))
    variance = 0.9 * running_var + 0.1 * x.var((0, 2, 3)) * count / (count - 1)
    return net.batch_norm(x, weight, bias, mean, variance)


def rootless(x: np.ndarray, weight, bias, running_mean, running_var) -> np.ndarray:
    by_channel = [array[:, None, None] for array in (weight, bias, running_mean, running_var)]
    weight, bias, mean, variance = by_channel
    return weight * (x - mean) / (variance + 1e-5) + bias


def interleaved_groups(x: np.ndarray, weight, bias, **more) -> np.ndarray:
    mixed = x.reshape(len(x), 2, -1, *x.shape[2:]).swapaxes(1, 2).reshape(x.shape)
    return net.conv(mixed, weight, bias, **more)


def last_flat(x: np.ndarray) -> np.ndarray:
    return x.transpose(0, 2, 3, 1).reshape(len(x), -1)


def _same(array: np.ndarray, *axes: int) -> np.ndarray:
    return array.transpose(axes).reshape(array.shape)


NORMS = [
    Fault("epsilon 1e-3", "stem.norm", ("epsilon", "0.001"), settings("stem.norm", epsilon=1e-3)),
    Fault("scale and shift exchanged", "stem.norm", ("scale and shift", "exchanged"),
          exchange("stem.norm.weight", "stem.norm.bias")),
    Fault("train mode", "stem.norm", ("train mode",), settings("stem.norm", trains=True)),
    Fault("stale statistics", "block.norm2", ("running statistics", "stale"), together(
        change("block.norm2.running_mean", lambda a: 0.7 * a + 0.1),
        change("block.norm2.running_var", lambda a: a**0.8 + 0.02))),
    Fault("stale mean", "block.norm2", ("running mean", "stale"),
          change("block.norm2.running_mean", lambda a: 0.8 * a + 0.1)),
    Fault("biased variance for the unbiased", "stem.norm", ("variance", "biased"),
          change("stem.norm.running_var", lambda a: a * 127 / 128)),
    Fault("statistics not loaded", "block.norm1", ("statistics", "not loaded"), together(
        change("block.norm1.running_mean", np.zeros_like), change("block.norm1.running_var", np.ones_like))),
    Fault("norm's scale not loaded", "block.norm1", ("scale (weight)", "not loaded"),
          change("block.norm1.weight", np.ones_like)),
    Fault("norm's shift left out", "block.norm1", ("shift (bias)", "left out"),
          change("block.norm1.bias", np.zeros_like)),
    Fault("frozen norm moves", "block.norm1", ("moved", "frozen"), settings("block.norm1", compute=moved)),
    Fault("frozen norm without epsilon", "block.norm1", ("epsilon is 0",), settings("block.norm1", epsilon=0.0)),
    Fault("root of the variance missing", "block.norm2", ("root",), settings("block.norm2", compute=rootless)),
    Fault("weights of two norms exchanged", "block.norm1", ("exchanged", "block.norm2"),
          exchange("block.norm1", "block.norm2")),
    Fault("LayerNorm's epsilon 1e-3", "mixer.norm1", ("epsilon",), settings("mixer.norm1", epsilon=1e-3)),
    Fault("LayerNorm's scale and shift exchanged", "mixer.norm1", ("scale and shift", "exchanged"),
          exchange("mixer.norm1.weight", "mixer.norm1.bias")),
    Fault("LayerNorm over other axes", "mixer.norm1", ("normalises over",), settings("mixer.norm1", axes=(1, 2))),
    Fault("LayerNorm with the unbiased variance", "mixer.norm1", ("unbiased",), settings("mixer.norm1", ddof=1)),
    Fault("LayerNorm without the mean", "mixer.norm1", ("mean is not subtracted",),
          settings("mixer.norm1", is_centred=False)),
    Fault("LayerNorm not loaded", "mixer.norm1", ("not loaded: ones and zeros",), together(
        change("mixer.norm1.weight", np.ones_like), change("mixer.norm1.bias", np.zeros_like))),
    Fault("GroupNorm with other groups", "wide.norm", ("8 groups", "4 groups"), settings("wide.norm", groups=8)),
    Fault("GroupNorm's epsilon 1e-2", "wide.norm", ("epsilon",), settings("wide.norm", epsilon=1e-2)),
]  # fmt: skip

CONVOLUTIONS = [
    Fault("`same` padding", "stem.conv", ("padding", "`same`"), settings("stem.conv", sides=(0, 1, 0, 1))),
    Fault("one-sided padding", "block.conv1", ("padding", "one-sided"), settings("block.conv1", sides=(0, 2, 0, 2))),
    Fault("no padding", "stem.conv", ("padding is missing",), settings("stem.conv", sides=(0, 0, 0, 0))),
    Fault("padding mirrored", "block.conv2", ("padding", "reflect"), settings("block.conv2", mode="reflect")),
    Fault("padding repeated from the border", "block.conv2", ("padding", "edge"), settings("block.conv2", mode="edge")),
    Fault("stride missing", "stem.conv", ("stride",), settings("stem.conv", stride=1)),
    Fault("dilation missing", "wide.conv", ("dilation",), settings("wide.conv", dilation=1, sides=net.AROUND)),
    Fault("groups by every other channel", "wide.conv", ("groups",), settings("wide.conv", compute=interleaved_groups)),
    Fault("kernel flipped", "block.conv1", ("flipped",), change("block.conv1.weight", lambda a: a[..., ::-1, ::-1])),
    Fault("kernel (in, out)", "block.conv1", ("(in, out)",), change("block.conv1.weight", lambda a: a.swapaxes(0, 1))),
    Fault("kernel (w, h)", "block.conv1", ("width for height",),
          change("block.conv1.weight", lambda a: a.swapaxes(2, 3))),
    Fault("kernel of the layout (h, w, in, out)", "shrink", ("(h, w, in, out)",),
          change("shrink.weight", lambda a: _same(a, 2, 3, 1, 0))),
    Fault("convolution's bias left out", "block.conv2", ("bias", "missing"), drop("block.conv2.bias")),
    Fault("another's bias", "block.conv2", ("bias", "shrink.bias"),
          copy("block.conv2.bias", "shrink.bias")),
    Fault("kernel not loaded", "block.conv1", ("weight", "not loaded"), afresh("block.conv1.weight")),
    Fault("kernels of two layers exchanged", "block.conv1", ("weight", "block.conv2"),
          exchange("block.conv1.weight", "block.conv2.weight")),
    Fault("BGR for RGB in the first kernel", "stem.conv", ("RGB",), change("stem.conv.weight", lambda a: a[:, ::-1])),
]  # fmt: skip

POOLS = [
    Fault("max pool padded with zeros", "stem.pool", ("padding value of a maximum",), settings("stem.pool", value=0.0)),
    Fault("max pool padded on one side", "stem.pool", ("padding", "(0, 2, 0, 2)"),
          settings("stem.pool", sides=(0, 2, 0, 2))),
    Fault("mean for maximum", "stem.pool", ("average pool", "max pool"), settings("stem.pool", compute=net.mean_pool)),
    Fault("pool of another kernel", "stem.pool", ("kernel is 2",), settings("stem.pool", kernel=2, sides=(0, 1, 0, 1))),
    Fault("ceil mode", "pool", ("ceil mode is on",), settings("pool", sides=(0, 1, 0, 1), counts_padding=False)),
    Fault("padding not counted in the mean", "wide.pool", ("count_include_pad",),
          settings("wide.pool", counts_padding=False)),
    Fault("maximum for mean", "pool", ("max pool",), settings("pool", compute=net.max_pool)),
]  # fmt: skip

LINEARS = [
    Fault("classifier's bias left out", "classes", ("bias", "missing"), drop("classes.bias")),
    Fault("square weight transposed", "hidden2", ("square", "transposed"), change("hidden2.weight", lambda a: a.T)),
    Fault("weight not loaded", "mixer.fc1", ("weight", "not loaded"), afresh("mixer.fc1.weight")),
    Fault("inputs flattened channels last", "hidden", ("flattened", "channels last"),
          settings("flat", compute=last_flat)),
    Fault("weight read as (in, out)", "classes", ("(in, out)",),
          change("classes.weight", lambda a: a.T.reshape(a.shape))),
    Fault("wrong bias", "mixer.fc2", ("bias has other values",), afresh("mixer.fc2.bias")),
]  # fmt: skip

ATTENTION = [
    Fault("queries for keys", "mixer.attn.proj", ("order", "keys, queries, values"),
          settings("mixer.attn", order=(1, 0, 2))),
    Fault("values first", "mixer.attn.proj", ("order", "values"), settings("mixer.attn", order=(2, 0, 1))),
    Fault("scale by all channels", "mixer.attn.proj", ("scale", "all channels"),
          settings("mixer.attn", scale=net.WIDTH**-0.5)),
    Fault("no scale", "mixer.attn.proj", ("scale", "none"), settings("mixer.attn", scale=1.0)),
    Fault("no table of positions", "mixer.attn.proj", ("table", "left out"), settings("mixer.attn", has_bias=False)),
    Fault("table of positions turned", "mixer.attn.proj", ("table", "j - i"), settings("mixer.attn", turns=True)),
    Fault("no mask", "mixer.attn.proj", ("mask", "left out"), settings("mixer.attn", has_mask=False)),
    Fault("heads joined wrongly", "mixer.attn.proj", ("heads", "joined"), settings("mixer.attn", joins=False)),
    Fault("q, k, v by head", "mixer.attn.proj", ("heads and parts",), settings("mixer.attn", is_interleaved=True)),
    Fault("windows not shifted", "mixer.attn.qkv", ("windows", "not shifted"),
          settings("mixer.windows", compute=lambda tokens: net.partition_shifted(tokens, 0))),
    Fault("windows shifted the other way", "mixer.attn.qkv", ("windows", "the other way"),
          settings("mixer.windows", compute=lambda tokens: net.partition_shifted(tokens, -net.SHIFT))),
    Fault("parts of the projection in another order", "mixer.attn.qkv", ("parts", "order"), together(
        change("mixer.attn.qkv.weight", lambda a: np.roll(a, net.WIDTH, 0)),
        change("mixer.attn.qkv.bias", lambda a: np.roll(a, net.WIDTH, 0)))),
]  # fmt: skip

ACTIVATIONS = [
    Fault("GELU by tanh", "mixer.act", ("tanh",), settings("mixer.act", by_tanh=True)),
    Fault("SiLU for GELU", "mixer.act", ("SiLU", "GELU"), settings("mixer.act", compute=net.silu)),
    Fault("another slope", "block.act", ("slope 0.01", "slope 0.1"), settings("block.act", slope=0.01)),
    Fault("ReLU for leaky ReLU", "block.act", ("ReLU", "leaky"), settings("block.act", compute=net.relu)),
    Fault("leaky ReLU for ReLU", "stem.act", ("leaky",), settings("stem.act", compute=net.leaky)),
    Fault("ReLU6 for SiLU", "wide.act", ("ReLU6", "SiLU"), settings("wide.act", compute=lambda x: np.clip(x, 0, 6))),
    Fault("activation left out", "wide.act", ("activation", "missing"), settings("wide.act", compute=by_itself)),
]  # fmt: skip

BLOCKS = [
    Fault("shortcut dropped", "block", ("shortcut", "missing"), settings("block", compute=lambda a, b: net.relu(a))),
    Fault("shortcut after the activation", "block", ("shortcut", "after the activation"),
          settings("block", compute=lambda a, b: net.relu(a) + b)),
    Fault("shortcut from another layer", "block", ("shortcut", "stem.norm"),
          inputs("block", "block.norm2", "stem.norm")),
    Fault("block's activation left out", "block", ("activation", "missing"), settings("block", compute=net.add)),
    Fault("mixer's shortcut dropped", "mixer", ("shortcut", "missing"), settings("mixer", compute=by_itself)),
    Fault("attention's shortcut dropped", "mixer.norm2", ("shortcut",), settings("mixer.sum", compute=by_itself)),
]  # fmt: skip

PICTURES = [
    Fault("BGR for RGB", "normalised", ("RGB", "BGR"), settings("normalised", is_reversed=True)),
    Fault("mean not subtracted", "normalised", ("mean",), settings("normalised", mean=(0, 0, 0))),
    Fault("deviations in reverse order", "normalised", ("deviation",),
          settings("normalised", deviation=(0.3, 0.25, 0.2))),
    Fault("resize with align_corners", "up", ("align_corners",), settings("up", aligns=True)),
    Fault("nearest for bilinear", "up", ("nearest",), settings("up", is_nearest=True)),
]  # fmt: skip

FAULTS = [*NORMS, *CONVOLUTIONS, *POOLS, *LINEARS, *ATTENTION, *ACTIVATIONS, *BLOCKS, *PICTURES]
