"""MindSpore's names of parameters, and those that they have everywhere else."""

_CANONICAL = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


def canonical(name: str) -> str:
    """The canonical name of a parameter, of which MindSpore's norms call the last part otherwise."""
    path, dot, leaf = name.rpartition(".")
    return f"{path}{dot}{_CANONICAL.get(leaf, leaf)}"
