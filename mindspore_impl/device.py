"""Chooses the device of the MindSpore wing, and describes it for the doctor."""

import signal
import threading
from pathlib import Path

import mindspore as ms

from common import kernels
from common.errors import UserError
from common.kernels import onednn
from mindspore_impl._threads import stop_spinning


def select(name: str = "auto") -> str:
    """Sets MindSpore's device and mode and returns the device's name; "auto" is the best there is."""
    if name not in ("auto", "cpu", "ascend"):
        raise UserError(f"device {name}: MindSpore runs on cpu or ascend here")
    if name == "ascend" and not _ascend():
        raise UserError("device ascend: this MindSpore sees no Ascend processor")
    chosen = "ascend" if name != "cpu" and _ascend() else "cpu"
    ms.set_device({"cpu": "CPU", "ascend": "Ascend"}[chosen])
    ms.set_context(mode=ms.PYNATIVE_MODE)
    if chosen == "cpu":
        # Handing each operation to another thread takes longer than most operations do.
        ms.runtime.launch_blocking()
        (ms.Tensor([0.0, 1.0]) + 1).asnumpy()  # MindSpore's threads are there from its first operation on
        stop_spinning()
    if threading.current_thread() is threading.main_thread():
        # Once MindSpore has compiled a graph it answers an interrupt with SIGTERM to itself: nothing would be tidied.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    return chosen


def describe() -> dict:
    """Tells the doctor the version and the device, a list of what `works`, and what the wing `lacks`.

    `lacks` maps what is missing or slow to the command that mends it, or to "" where there is none.
    """
    works, lacks = ["Ascend processor"] if _ascend() else [], {} if _ascend() else {"no Ascend processor": ""}
    if kernels.problem() is None:
        works.append("own kernels compiled")
    else:
        lacks[f"{kernels.problem()}, some operations are slow"] = "apt-get install g++"
    if isinstance(onednn.compiled(), Path):
        works.append("oneDNN on")
    elif kernels.problem() is None:
        lacks[f"{onednn.compiled()}, convolutions take twice as long"] = onednn.INSTALLATION
    return {"version": ms.__version__, "device": "ascend" if _ascend() else "cpu", "works": works, "lacks": lacks}


def prepare() -> None:
    """Does ahead of time what the first command would wait for: compiles the C++ kernels."""
    kernels.library()
    onednn.compiled()


def _ascend() -> bool:
    return ms.hal.is_available("Ascend")
