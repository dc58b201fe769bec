"""What kind of layer a class of some framework is: `Dense` is a linear layer, `BatchNorm2d` a norm."""

from collections.abc import Iterable, Mapping

from benchmarks.foreign.paths import layer_of

# The first word that a class's name has in it, in small letters, tells its kind.
WORDS = {
    "preprocess": "preprocessing",
    "rescaling": "preprocessing",
    "identity": "identity",
    "dropout": "identity",
    "droppath": "identity",
    "stochasticdepth": "identity",
    "norm": "norm",
    "conv": "convolution",
    "linear": "linear",
    "dense": "linear",
    "pool": "pooling",
    "softmax": "softmax",
    "relu": "activation",
    "gelu": "activation",
    "silu": "activation",
    "swish": "activation",
    "sigmoid": "activation",
    "tanh": "activation",
    "mish": "activation",
    "elu": "activation",
    "activation": "activation",
    "upsampl": "resize",
    "resiz": "resize",
    "interpolat": "resize",
    "flatten": "flatten",
    "embedding": "embedding",
}
# Classes, in small letters, that mean something else than the words in them say. A sum is often what a block answers
# elsewhere, so that its kind says nothing.
_CLASSES = {"normalization": "preprocessing", "normalize": "preprocessing"} | dict.fromkeys(("add", "addition"), "")
# How layers are called where their classes are not known.
NAMES = WORDS | {"bn": "norm", "ln": "norm", "gn": "norm", "fc": "linear", "act": "activation"}

CONTAINER = "container"  # a layer that is made of layers, or of a class of its own
PASSING = {"identity", CONTAINER, "flatten"}  # kinds that compute nothing of their own
WITH_WEIGHTS = {"convolution", "linear", "norm", "embedding"}
# Two layers of such a kind at one place are one layer, however unlike they are.
TELLING = WITH_WEIGHTS | {"pooling", "resize", "preprocessing"}


def kinds_of(names: Iterable[str], classes: Mapping[str, str]) -> dict[str, str]:
    """The kind of each layer by its class, or else by its name; "" stands for what is not known."""
    names = list(names)
    parents = set()
    for name in names:
        parts = layer_of(name).split(".")
        parents |= {".".join(parts[:length]) for length in range(1, len(parts))}
    return {name: _kind(classes.get(name, ""), layer_of(name), parents) for name in names}


def _kind(class_name: str, path: str, parents: set[str]) -> str:
    if path in parents:
        return CONTAINER
    if class_name.lower() in _CLASSES:
        return _CLASSES[class_name.lower()]
    if class_name:
        return _first_in(WORDS, class_name) or CONTAINER
    return _first_in(NAMES, path.rpartition(".")[2])


def _first_in(kinds: Mapping[str, str], text: str) -> str:
    """The kind of the first word that the text has in it; "" where it has none."""
    small = text.lower().replace("_", "")
    return next((kind for word, kind in kinds.items() if word in small), "")
