"""Compiles C++ files for this machine, once, into the user's cache folder."""

import functools
import hashlib
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from common.files import atomic_path

SOURCES = Path(__file__).parent
FLAGS = ("-std=c++17", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fopenmp", "-fPIC", "-shared")


@functools.cache
def compile_library(name: str, more_flags: Sequence[str] = ()) -> Path | str:
    """The shared library of this folder's NAME.cpp, compiled on the first call on this machine; or why there is none.

    more_flags: what the compiler is given after the source: folders to include, libraries to link.
    """
    wanted = os.environ.get("CXX") or "g++"
    compiler = shutil.which(wanted)
    if compiler is None:
        return f"no C++ compiler: {wanted} not found"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "triseg"
    source = SOURCES / f"{name}.cpp"
    try:
        path = cache / f"{name}-{_fingerprint(compiler, source, more_flags)}.so"
        if not path.exists():
            with atomic_path(path) as temporary:
                command = [compiler, *FLAGS, str(source), *more_flags, "-o", str(temporary)]
                subprocess.run(command, check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or ["no message"]
        reason = next((line for line in lines if "error" in line), lines[-1])
        return f"{wanted} could not compile the {name}: {reason}"
    except OSError as error:
        return f"the kernels' cache folder cannot be used: {error}"
    return path


def _fingerprint(compiler: str, source: Path, more_flags: Sequence[str]) -> str:
    """Gives a text that differs where the library must: for other sources, compilers, flags or instruction sets."""
    parts = [compiler, *FLAGS, *more_flags, platform.machine(), _instruction_set()]
    parts.append(subprocess.run([compiler, "--version"], check=True, capture_output=True, text=True).stdout)
    parts += [path.read_text() for path in [*sorted(SOURCES.glob("*.h")), source]]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _instruction_set() -> str:
    """Describes the instructions that this machine's processor has."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")
