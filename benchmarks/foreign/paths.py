"""The names of a dump's arrays: the layer's path in them, without what wrappers and calls add to it."""

# PyTorch's data-parallel models have the first, the files of `trace --layers` the second.
PREFIXES = ("module.", "layer.")


def bare(name: str) -> str:
    """A path without the prefixes that wrappers put before it."""
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def layer_of(name: str) -> str:
    """The layer's path without the number of the call (`@2`) or of the answer's part (`/0`)."""
    return name.partition("@")[0].partition("/")[0]
