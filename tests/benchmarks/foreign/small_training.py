"""A small network that NumPy trains, with every fault that a test asks for; the right one is the reference."""

from pathlib import Path

import numpy as np

from benchmarks.foreign import Recorder

_RNG = np.random.default_rng(0)
IMAGE = _RNG.standard_normal((16, 8)).astype(np.float32)
CLASSES = np.arange(16) % 4
START = {
    "fc1.weight": 0.5 * _RNG.standard_normal((6, 8)).astype(np.float32),
    "fc1.bias": 0.1 * _RNG.standard_normal(6).astype(np.float32),
    "norm.weight": _RNG.uniform(0.5, 1.5, 6).astype(np.float32),
    "norm.bias": 0.1 * _RNG.standard_normal(6).astype(np.float32),
    "norm.running_mean": np.zeros(6, np.float32),
    "norm.running_var": np.ones(6, np.float32),
    "fc2.weight": 0.5 * _RNG.standard_normal((4, 6)).astype(np.float32),
    "fc2.bias": 0.1 * _RNG.standard_normal(4).astype(np.float32),
}
STATISTICS = ("norm.running_mean", "norm.running_var")
ENTRIES = [
    {
        "image_id": 7,
        "category_id": 1 + number % 3,
        "bbox": [10.0 * number, 5.0, 20.0, 30.0],
        "score": 0.9 - 0.1 * number,
    }
    for number in range(5)
]


def record_training(
    folder: Path,
    dtype: type = np.float32,
    steps: int = 4,
    optimizer: str = "sgd",
    rate: float = 0.05,
    momentum: float = 0.9,
    decay: float = 1e-3,
    epsilon_of_adam: float = 1e-8,
    epsilon: float = 1e-5,
    norm_momentum: float = 0.1,
    penalty: float = 1e-2,
    slip: float = 1.0,
    unbiased: bool = True,
    undecayed: tuple[str, ...] = (),
) -> None:
    """Writes the dump of a training; slip: by what a fault multiplies the gradient behind the norm."""
    weights = {name: value.astype(dtype) for name, value in START.items()}
    memory = {name: [np.zeros_like(value), np.zeros_like(value)] for name, value in weights.items()}
    record = Recorder(folder, {"image": IMAGE.astype(dtype)}, weights, "numpy")
    for step in range(1, steps + 1):
        losses, gradients, statistics = _pass(weights, dtype, record, epsilon, penalty, slip)
        record.backward(losses, gradients)
        for name, batch in zip(STATISTICS, statistics, strict=True):
            batch = batch * (16 / 15) if unbiased and name.endswith("var") else batch
            weights[name] = ((1 - norm_momentum) * weights[name] + norm_momentum * batch).astype(dtype)
        for name, gradient in gradients.items():
            own_decay = 0.0 if name.endswith(undecayed or ("/",)) else decay
            if optimizer == "sgd":
                memory[name][0] = momentum * memory[name][0] + gradient + own_decay * weights[name]
                moved = memory[name][0]
            else:
                first, second = memory[name]
                memory[name] = [0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2]
                mean, square = memory[name][0] / (1 - 0.9**step), memory[name][1] / (1 - 0.999**step)
                moved = mean / (np.sqrt(square) + epsilon_of_adam) + own_decay * weights[name]
            weights[name] = (weights[name] - dtype(rate) * moved).astype(dtype)
        record.step(weights, rate=rate)
    record.results(ENTRIES)


def record_reference(folder: Path, **options) -> Path:
    """The dump of a right training, and the same in float64."""
    record_training(folder, **options)
    record_training(folder / "float64", np.float64, **options)
    return folder


def _pass(weights, dtype, record, epsilon, penalty, slip):
    """(losses, gradients, (mean, variance) of the batch) of one pass forwards and back."""
    image = IMAGE.astype(dtype)
    hidden = image @ weights["fc1.weight"].T + weights["fc1.bias"]
    mean, variance = hidden.mean(axis=0), hidden.var(axis=0)
    root = np.sqrt(variance + dtype(epsilon))
    centred = (hidden - mean) / root
    normed = centred * weights["norm.weight"] + weights["norm.bias"]
    active = np.maximum(normed, 0)
    logits = active @ weights["fc2.weight"].T + weights["fc2.bias"]
    for name, kind, array in (
        ("fc1", "Linear", hidden),
        ("norm", "BatchNorm1d", normed),
        ("relu", "ReLU", active),
        ("fc2", "Linear", logits),
    ):
        record.layer(name, array, kind)
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares = exponents / exponents.sum(axis=1, keepdims=True)
    losses = {
        "ce": -np.log(shares[np.arange(16), CLASSES]).mean(),
        "penalty": dtype(penalty) * np.square(logits).mean(),
    }
    of_logits = (shares - np.eye(4, dtype=dtype)[CLASSES]) / 16 + dtype(2 * penalty) * logits / logits.size
    of_normed = (of_logits @ weights["fc2.weight"]) * (normed > 0)
    of_centred = dtype(slip) * of_normed * weights["norm.weight"]
    of_hidden = (of_centred - of_centred.mean(0) - centred * (of_centred * centred).mean(0)) / root
    gradients = {
        "fc1.weight": of_hidden.T @ image,
        "fc1.bias": of_hidden.sum(axis=0),
        "norm.weight": (of_normed * centred).sum(axis=0),
        "norm.bias": of_normed.sum(axis=0),
        "fc2.weight": of_logits.T @ active,
        "fc2.bias": of_logits.sum(axis=0),
    }
    return losses, gradients, (mean, variance)
