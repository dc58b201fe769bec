"""The network alone, as each framework runs it: nothing is left to be computed when the call returns."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from common.config import Settings
from common.families import family_of

Run = Callable[[Any], Any]  # a framework's images -> the network's outputs


def make_forward(learner: Any, image: np.ndarray) -> Callable[[], None]:
    """A call that runs a learner's network on images (N, 3, H, W), up to where the host has a part."""
    run = partial(family_of(learner.settings).speed.forward, learner.network)
    return _MAKERS[learner.framework](run, image)


def count_operations(settings: Settings, image: np.ndarray) -> int:
    """The floating-point operations of the network on images (N, 3, H, W): two for each product that is summed up.

    PyTorch counts those of convolutions and matrix products. It counts them in float64, in which the networks compute
    with PyTorch's operations alone: of kernels of this project it knows nothing.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from torch_impl.learner import Learner

    network = Learner(settings, "cpu", dtype="float64").network.requires_grad_(False)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        family_of(settings).speed.forward(network, torch.from_numpy(image).to(torch.float64))
    return counter.get_total_flops()


def _in_torch(run: Run, image: np.ndarray) -> Callable[[], None]:
    import torch

    given = torch.from_numpy(image).to(memory_format=torch.channels_last)

    def forward() -> None:
        with torch.inference_mode():
            run(given)

    return forward


def _in_jittor(run: Run, image: np.ndarray) -> Callable[[], None]:
    import jittor as jt

    given = jt.array(image)

    def forward() -> None:
        with jt.no_grad():
            # Jittor computes nothing before it is asked to.
            jt.sync(list(_arrays(run(given))))

    return forward


def _in_mindspore(run: Run, image: np.ndarray) -> Callable[[], None]:
    import mindspore as ms

    given = ms.Tensor(image)

    def forward() -> None:
        # MindSpore may compute in the background until it is asked for the values.
        for array in _arrays(run(given)):
            array.asnumpy()

    return forward


def _arrays(outputs: Any) -> Iterator[Any]:
    """The arrays in outputs, which are dictionaries and sequences of them, of any depth."""
    if isinstance(outputs, dict):
        outputs = list(outputs.values())
    if isinstance(outputs, list | tuple):
        for each in outputs:
            yield from _arrays(each)
    elif outputs is not None:
        yield outputs


_MAKERS = {"torch": _in_torch, "jittor": _in_jittor, "mindspore": _in_mindspore}
