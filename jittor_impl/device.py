"""Chooses the device of the Jittor wing, compiles ahead of time, and describes the device for the doctor.

Jittor is imported inside the functions: its first import compiles for minutes, and the doctor asks before that.
`python -m jittor_impl.device` does that one-time compilation; where it is done it takes a second.
"""

import shutil
import signal
import threading
from importlib.metadata import version

from common.errors import UserError, run_command
from common.kernels import onednn
from jittor_impl import _core_is_compiled


def select(name: str = "auto") -> str:
    """Sets Jittor's device and returns its name; "auto" is the best there is."""
    import jittor as jt

    if name not in ("auto", "cpu", "cuda"):
        raise UserError(f"device {name}: Jittor runs on cpu or cuda here")
    if name == "cuda" and not jt.has_cuda:
        raise UserError("device cuda: this Jittor sees no GPU, or no nvcc to compile for it")
    chosen = "cuda" if name != "cpu" and jt.has_cuda else "cpu"
    jt.flags.use_cuda = int(chosen == "cuda")
    _take_signals_back()
    return chosen


def describe() -> dict:
    """Tells the doctor the version and the device, a list of what `works`, and what the wing `lacks`.

    `lacks` maps what is missing or slow to the command that mends it, or to "" where there is none.
    """
    if not _core_is_compiled():
        lacks = {"core not compiled yet, three minutes": "python -m jittor_impl.device"}
        return {"version": version("jittor"), "device": "cpu", "works": [], "lacks": lacks}
    import jittor as jt

    works, lacks = ["core compiled"], {}
    if jt.compile_extern.mkl_ops is not None:
        works.append("oneDNN on")
    else:
        lacks["oneDNN off, convolutions are 200 times slower"] = onednn.INSTALLATION
    if jt.compile_extern.has_mpi and shutil.which("mpirun"):
        works.append("mpirun")
    else:
        lacks["no mpirun for several processes"] = "apt-get install openmpi-bin libopenmpi-dev"
    if jt.has_cuda:
        works.append("GPU")
    else:
        lacks["no GPU"] = ""
    return {"version": jt.__version__, "device": "cuda" if jt.has_cuda else "cpu", "works": works, "lacks": lacks}


def prepare() -> None:
    """Does ahead of time what the first command would wait for: compiles Jittor's core and its oneDNN operators."""
    import jittor as jt

    jt.zeros((1,)).numpy()


def _take_signals_back() -> None:
    """Jittor ends the process at once on an interrupt and when a child is killed: nothing is tidied, nobody named."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


if __name__ == "__main__":
    run_command(prepare)
