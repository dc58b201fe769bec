"""Runs the project's own commands, each in a process of its own, for benchmarks that put them together."""

import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from common.config import DataKind
from common.data.shapes import forms_of
from common.errors import UserError


@dataclass(frozen=True)
class Cost:
    """The minutes that a command took by the clock, and those of all processors in it and in what it started."""

    minutes: float
    cpu_minutes: float


def run_module(module: str, *arguments: object, accepted: tuple[int, ...] = (0,)) -> Cost:
    """Runs `python -m module` with its output on the terminal; refuses to go on after another exit code."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    print(f"\n$ python {' '.join(command[1:])}", flush=True)
    began, cpu_began = time.monotonic(), _children_seconds()
    code = subprocess.run(command).returncode
    if code not in accepted:
        raise UserError(f"python -m {module} ended with exit code {code}")
    return Cost((time.monotonic() - began) / 60, (_children_seconds() - cpu_began) / 60)


def make_shapes(folder: Path, kind: DataKind, images: int, seed: int) -> Path:
    """Makes the synthetic set with a kind of annotations, where it is not there yet -> its folder."""
    forms = [f"--{form}" for form, is_so in forms_of(kind).items() if is_so]
    run_module("common.data.shapes", folder, "--images", images, "--seed", seed, *forms)
    return folder


def _children_seconds() -> float:
    """The processors' seconds of all processes that were started here and have ended, with what they started."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
