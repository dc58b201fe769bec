"""Describes the machine: the card and its driver, the versions, the compilers."""

import importlib
import os
import platform

from benchmarks.gpu.parts import Job
from benchmarks.gpu.report import Report
from benchmarks.machine import answer_of, commit, package_version
from common import kernels

PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "opencv-python-headless",
    "opencv-python",
    "pillow",
    "pydantic",
    "safetensors",
    "jittor",
)


def run(job: Job, report: Report) -> None:
    facts = {
        "python": platform.python_version(),
        "cores": str(len(os.sched_getaffinity(0))),
    }
    if own := commit():
        facts["commit"] = own
    facts |= {name: found for name in PACKAGES if (found := package_version(name))}
    with report.attempt("PyTorch"):
        facts |= _torch(report)
    facts["torchvision's operators"] = "load" if _loads("torchvision") else "do not load"
    facts["driver"] = answer_of("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
    facts["nvcc"] = answer_of("nvcc", "--version").rpartition("release ")[2].partition(",")[0]
    facts["g++"] = answer_of("g++", "-dumpfullversion")
    facts["own kernels"] = kernels.problem() or "compiled"
    for name, value in facts.items():
        report.add("machine", what=name, value=value or "not there")


def _torch(report: Report) -> dict[str, str]:
    import torch

    report.keep("gpu", torch.cuda.is_available())
    if not torch.cuda.is_available():
        return {"card": ""}
    properties = torch.cuda.get_device_properties(0)
    return {
        "card": properties.name,
        "memory of the card": f"{properties.total_memory / 2**30:.0f} GiB",
        "CUDA of PyTorch": torch.version.cuda,
        "cuDNN": str(torch.backends.cudnn.version()),
    }


def _loads(package: str) -> bool:
    try:
        importlib.import_module(package)
    except (ImportError, RuntimeError):
        return False
    return True
