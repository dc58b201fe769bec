"""MindSpore's names for the arrays of norms, and those that they have everywhere else."""

CANONICAL = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


def canonical(name: str) -> str:
    """The canonical name of a parameter, of which MindSpore's norms call the last part otherwise."""
    path, dot, leaf = name.rpartition(".")
    return f"{path}{dot}{CANONICAL.get(leaf, leaf)}"
