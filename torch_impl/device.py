"""Chooses the device of the PyTorch wing, and describes it for the doctor."""

import os
from importlib.metadata import version

import torch

from common import kernels
from common.errors import UserError
from torch_impl import _kernels


def select(name: str = "auto") -> str:
    """The device's name for PyTorch; "auto" is the best there is. One launched process of several takes its own GPU."""
    if name not in ("auto", "cpu", "cuda"):
        raise UserError(f"device {name}: PyTorch runs on cpu or cuda here")
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device cuda: this PyTorch sees no GPU")
    if name == "cpu" or not torch.cuda.is_available():
        return "cpu"
    index = int(os.environ.get("LOCAL_RANK", "0"))
    torch.cuda.set_device(index)
    return f"cuda:{index}"


def describe() -> dict:
    """Tells the doctor the version and the device, a list of what `works`, and what the wing `lacks`.

    `lacks` maps what is missing or slow to the command that mends it, or to "" where there is none.
    """
    gpu = torch.cuda.is_available()
    works, lacks = [torch.cuda.get_device_name()] if gpu else [], {} if gpu else {"no GPU": ""}
    if _kernels.torchvision_ops() is not None:
        works.append(f"torchvision {version('torchvision')}")
    else:
        lacks["no torchvision"] = "pip install torchvision" if gpu else ""
    if kernels.problem() is None:
        works.append("own kernels compiled")
    else:
        lacks[f"{kernels.problem()}, some operations are slow"] = "apt-get install g++"
    return {"version": torch.__version__, "device": "cuda" if gpu else "cpu", "works": works, "lacks": lacks}


def prepare() -> None:
    """Does ahead of time what the first command would wait for: compiles the C++ kernels."""
    kernels.library()
