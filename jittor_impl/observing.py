"""Hooks on a network's modules, which let an observer see and change what flows between them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from jittor import Var, nn
from jittor.optim import Optimizer

from common.observing import Observer
from jittor_impl import ops  # an observer reads the network's arrays through it


@contextmanager
def observed(network: nn.Module, observer: Observer) -> Iterator[None]:
    """Calls the observer for the modules that it watches, within this context.

    A norm is a module of its own only where `layers.unfolded` is entered, too.
    """
    watched = {path: module for path, module in network.named_modules() if observer.watches(path)}
    for path, module in watched.items():
        module.register_pre_forward_hook(_before(observer, path))
        module.register_forward_hook(_after(observer, path))
    try:
        yield
    finally:
        for module in watched.values():
            module.remove_pre_forward_hook()
            module.remove_forward_hook()


def parameters_of(network: nn.Module) -> dict[str, np.ndarray]:
    """The network's parameters and statistics by their canonical names, copied."""
    return {name: ops.to_numpy(value) for name, value in network.named_parameters()}


def gradients_of(network: nn.Module, computed: Optimizer | Sequence[Var]) -> dict[str, np.ndarray]:
    """The gradients of the network's parameters by their canonical names, copied; of those that have one.

    computed: the optimizer after its `backward(loss)`, or what `jittor.grad` gave for the trained parameters in their
    order.
    """
    trained = {name: value for name, value in network.named_parameters() if not value.is_stop_grad()}
    if isinstance(computed, Optimizer):
        computed = [value.opt_grad(computed) for value in trained.values()]
    return {name: ops.to_numpy(gradient) for name, gradient in zip(trained, computed, strict=True)}


def _before(observer: Observer, path: str):
    # Jittor gives the arguments by name only where there are some, and wants both kinds back.
    def hook(module: nn.Module, inputs: tuple, named: dict | None = None):
        value = observer.entering(path, type(module).__name__, inputs[0] if inputs else None)
        return None if value is None else ((value, *inputs[1:]), named or {})

    return hook


def _after(observer: Observer, path: str):
    def hook(module: nn.Module, inputs: tuple, output, named: dict | None = None):
        return observer.leaving(path, type(module).__name__, output)

    return hook
