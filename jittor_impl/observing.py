"""Hooks on a network's modules, which let an observer see and change what flows between them."""

from collections.abc import Iterator
from contextlib import contextmanager

from jittor import nn

import jittor_impl.ops  # noqa: F401  an observer reads the network's arrays through it
from common.observing import Observer


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
