"""A device that stands in for a GPU: its tensors lie on the CPU, but mixing them with the CPU's is an error.

PyTorch calls it "meta". A tensor that is created on it or moved to it becomes a `Held` tensor around the CPU's own. An
operation on held tensors is done with the tensors that they hold, and refused when a tensor of the CPU is among its
arguments.
"""

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only, tree_unflatten

NAME = "meta"
aten = torch.ops.aten
# The operations that carry values from one device to another.
_COPIES = (aten.copy_, aten._to_copy, aten.to)


class Held(torch.Tensor):
    """A tensor on the stand-in device; `held` is the CPU's tensor with its values."""

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> "Held":
        facts = {"strides": held.stride(), "storage_offset": held.storage_offset(), "dtype": held.dtype}
        made = torch.Tensor._make_wrapper_subclass(cls, held.shape, device=NAME, **facts)
        made.held = held
        return made

    def tolist(self) -> Any:  # PyTorch refuses it for a class of one's own
        return self.held.tolist()

    def __repr__(self) -> str:
        return f"Held({self.held})"

    @classmethod
    def __torch_dispatch__(cls, operation, types, arguments=(), options=None) -> Any:
        return _run(operation, arguments, options or {})


class StandInDevice(TorchDispatchMode):
    """The mode in which the device exists, as a context."""

    def __torch_dispatch__(self, operation, types, arguments=(), options=None) -> Any:
        return _run(operation, arguments, options or {})


def _run(operation: Any, arguments: tuple, options: dict[str, Any]) -> Any:
    flat, form = tree_flatten((arguments, options))
    held = [x for x in flat if isinstance(x, Held)]
    strangers = [x for x in flat if isinstance(x, torch.Tensor) and not isinstance(x, Held) and x.ndim > 0]
    if held and strangers and operation.overloadpacket not in _COPIES:
        shapes = [tuple(x.shape) for x in (*held, *strangers)]
        raise RuntimeError(f"{operation}: arrays of two devices, of the shapes {shapes}")
    targets = [x for x in flat if isinstance(x, torch.device)]
    is_on_stand_in = targets[0].type == NAME if targets else bool(held)
    flat = [torch.device("cpu") if isinstance(x, torch.device) else x for x in flat]
    plain = tree_unflatten([x.held if isinstance(x, Held) else x for x in flat], form)
    answer = operation(*plain[0], **plain[1])
    if operation._schema.is_mutable and isinstance(arguments[0], torch.Tensor):  # in place
        return arguments[0]
    return tree_map_only(torch.Tensor, Held, answer) if is_on_stand_in else answer
