"""Hooks on a network's modules, which let an observer see and change what flows between them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from torch import Tensor, nn

from common.observing import Observer
from torch_impl import ops  # an observer reads the network's arrays through it


@contextmanager
def observed(network: nn.Module, observer: Observer) -> Iterator[None]:
    """Calls the observer for the modules that it watches, within this context.

    A norm is a module of its own only where `layers.unfolded` is entered, too.
    """
    handles = []
    for path, module in network.named_modules():
        if observer.watches(path):
            handles.append(module.register_forward_pre_hook(_before(observer, path)))
            handles.append(module.register_forward_hook(_after(observer, path)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def parameters_of(network: nn.Module) -> dict[str, np.ndarray]:
    """The network's parameters and statistics by their canonical names, copied."""
    values = dict(network.named_parameters()) | dict(network.named_buffers())
    # The counter of a norm's batches is no weight, and no other framework has it.
    return {name: ops.to_numpy(value) for name, value in values.items() if value.is_floating_point()}


def gradients_of(network: nn.Module, computed: Sequence[Tensor] | None) -> dict[str, np.ndarray]:
    """The gradients of the network's parameters by their canonical names, copied; of those that have one.

    computed: what `torch.autograd.grad` gave for the trained parameters in their order; None where `backward` has left
    the gradients at the parameters.
    """
    trained = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
    found = [parameter.grad for parameter in trained.values()] if computed is None else computed
    by_name = zip(trained, found, strict=True)
    return {name: ops.to_numpy(gradient) for name, gradient in by_name if gradient is not None}


def _before(observer: Observer, path: str):
    def hook(module: nn.Module, inputs: tuple):
        value = observer.entering(path, type(module).__name__, inputs[0] if inputs else None)
        return None if value is None else (value, *inputs[1:])

    return hook


def _after(observer: Observer, path: str):
    def hook(module: nn.Module, inputs: tuple, output):
        return observer.leaving(path, type(module).__name__, output)

    return hook
