"""Describes the machine and what is installed on it, for the heads of reports; imports no framework."""

import os
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).parents[1]


def describe_machine() -> str:
    """Processor, cores that this process may use, memory and system, in one line."""
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    parts = [_processor(), f"{cores} core{'s' if cores > 1 else ''}", f"{memory:.0f} GiB of memory", _system()]
    return ", ".join(filter(None, parts))


def package_version(package: str) -> str:
    """The version of an installed package; empty where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def commit() -> str:
    """The commit that this tree is; with a remark where a tracked file differs from it, and empty without git."""
    git = ("git", "-C", str(ROOT))
    name = answer_of(*git, "rev-parse", "--short", "HEAD")
    changed = answer_of(*git, "status", "--porcelain", "--untracked-files=no")
    return f"{name}, and the tree differs from it" if name and changed else name


def answer_of(*command: str) -> str:
    """What a command prints; empty where it is not installed or fails."""
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def _processor() -> str:
    """The processor's name as the kernel has it, else its architecture."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.machine()


def _system() -> str:
    """The distribution, where it is known, and the kernel."""
    kernel = f"{platform.system()} {platform.release()}"
    try:
        return f"{platform.freedesktop_os_release()['PRETTY_NAME']}, {kernel}"
    except (OSError, KeyError):
        return kernel
