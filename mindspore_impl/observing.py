"""Hooks on a network's modules, which let an observer see and change what flows between them."""

from collections.abc import Iterator
from contextlib import contextmanager

from mindspore import nn

import mindspore_impl.ops  # noqa: F401  an observer reads the network's arrays through it
from common.observing import Observer


@contextmanager
def observed(network: nn.Cell, observer: Observer) -> Iterator[None]:
    """Calls the observer for the modules that it watches, within this context.

    A norm is a module of its own only where `layers.unfolded` is entered, too.
    """
    handles = []
    for path, module in network.cells_and_names():
        if observer.watches(path):
            handles.append(module.register_forward_pre_hook(_before(observer, path)))
            handles.append(module.register_forward_hook(_after(observer, path)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _before(observer: Observer, path: str):
    def hook(module: nn.Cell, inputs: tuple):
        value = observer.entering(path, type(module).__name__, inputs[0] if inputs else None)
        return None if value is None else (value, *inputs[1:])

    return hook


def _after(observer: Observer, path: str):
    def hook(module: nn.Cell, inputs: tuple, output):
        return observer.leaving(path, type(module).__name__, output)

    return hook
