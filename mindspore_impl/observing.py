"""Hooks on a network's modules, which let an observer see and change what flows between them."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from common.errors import UserError
from common.norm_names import canonical
from common.observing import Observer
from mindspore_impl import ops  # an observer reads the network's arrays through it


@contextmanager
def observed(network: nn.Cell, observer: Observer) -> Iterator[None]:
    """Calls the observer for the modules that it watches, within this context.

    A norm is a module of its own only where `layers.unfolded` is entered, too.
    """
    handles = []
    watched = [(path, module) for path, module in network.cells_and_names() if observer.watches(path)]
    if watched and os.environ.get("MS_JIT") != "0":
        _refuse_compiled(network)
    for path, module in watched:
        handles.append(module.register_forward_pre_hook(_before(observer, path)))
        handles.append(module.register_forward_hook(_after(observer, path)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def parameters_of(network: nn.Cell) -> dict[str, np.ndarray]:
    """The network's parameters and statistics by their canonical names, copied."""
    return {canonical(name): ops.to_numpy(value) for name, value in network.parameters_and_names()}


def gradients_of(network: nn.Cell, computed: Sequence[Tensor]) -> dict[str, np.ndarray]:
    """The gradients of the network's parameters by their canonical names, copied; of those that have one.

    computed: what `mindspore.value_and_grad` gave for `network.trainable_params()`, in their order.
    """
    names = [canonical(name) for name, value in network.parameters_and_names() if value.requires_grad]
    return {name: ops.to_numpy(gradient) for name, gradient in zip(names, computed, strict=True)}


def _refuse_compiled(network: nn.Cell) -> None:
    """Raises an error where MindSpore would compile the network: what is compiled calls no hook."""
    remedy = "run it as Python, with MS_JIT=0 in the environment"
    if ms.get_context("mode") == ms.GRAPH_MODE:
        raise UserError(
            f"the network is compiled in GRAPH_MODE, and its layers cannot be observed: {remedy}, or with "
            "mindspore.set_context(mode=mindspore.PYNATIVE_MODE)"
        )
    for path, module in network.cells_and_names():
        if hasattr(type(module).construct, "__wrapped_by_jit__"):
            where = f"its {path}" if path else "it"
            raise UserError(f"the network is compiled, for {where} is marked with mindspore.jit: {remedy}")


def _before(observer: Observer, path: str):
    def hook(module: nn.Cell, inputs: tuple):
        value = observer.entering(path, type(module).__name__, inputs[0] if inputs else None)
        return None if value is None else (value, *inputs[1:])

    return hook


def _after(observer: Observer, path: str):
    def hook(module: nn.Cell, inputs: tuple, output):
        return observer.leaving(path, type(module).__name__, output)

    return hook
