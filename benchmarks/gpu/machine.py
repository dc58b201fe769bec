"""Describes the machine: the card and its driver, the versions, the compilers."""

import importlib
import os
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.gpu.parts import Job
from benchmarks.gpu.report import Report
from common import kernels

ROOT = Path(__file__).parents[2]
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
    if commit := _commit():
        facts["commit"] = commit
    facts |= {name: found for name in PACKAGES if (found := _version(name))}
    with report.attempt("PyTorch"):
        facts |= _torch(report)
    facts["torchvision's operators"] = "load" if _loads("torchvision") else "do not load"
    facts["driver"] = _answer("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
    facts["nvcc"] = _answer("nvcc", "--version").rpartition("release ")[2].partition(",")[0]
    facts["g++"] = _answer("g++", "-dumpfullversion")
    facts["own kernels"] = kernels.problem() or "compiled"
    for name, value in facts.items():
        report.add("machine", what=name, value=value or "not there")


def _commit() -> str:
    """The commit that this tree is; with a remark where a tracked file differs from it, and empty without git."""
    git = ("git", "-C", str(ROOT))
    commit = _answer(*git, "rev-parse", "--short", "HEAD")
    changed = _answer(*git, "status", "--porcelain", "--untracked-files=no")
    return f"{commit}, and the tree differs from it" if commit and changed else commit


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


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _loads(package: str) -> bool:
    try:
        importlib.import_module(package)
    except (ImportError, RuntimeError):
        return False
    return True


def _answer(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
