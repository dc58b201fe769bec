"""Every golden case of the PyTorch wing on the GPU, with its distances beside the CPU's."""

import os
from functools import lru_cache
from pathlib import Path

import torch

from benchmarks.gpu.parts import Job
from benchmarks.gpu.report import Report
from benchmarks.gpu.timing import allow_tf32
from tests.goldens import golden, runner
from torch_impl import device as devices
from torch_impl import ops

FOLDER = Path(os.environ.get("GOLDENS", Path(golden.__file__).parent))


def run(job: Job, report: Report) -> None:
    allow_tf32(False)
    # Both devices read the same weights, which take a while to make.
    golden.checkpoint = lru_cache(maxsize=1)(golden.checkpoint)
    cases = sorted(manifest.parent for manifest in FOLDER.glob("*/manifest.json"))
    cases = [case for case in cases if runner.concerns(case, "torch")]
    if job.small:
        cases = [case for case in cases if "keys" not in golden.manifest(case) or case.name.endswith("_tiny")]
    for case in cases:
        sides = {}
        for device in dict.fromkeys(("cpu", job.device)):
            with report.attempt(f"{case.name} on {device}"):
                sides[device] = _distances(case, device, job.folder)
        for name, distance in sides.get(job.device, {}).items():
            report.check(f"{case.name}: {name}", distance.value, distance.tolerance)
        report.add("golden cases", case=case.name, **{device: _worst(found) for device, found in sides.items()})
        report.keep(case.name, {device: {n: d.value for n, d in found.items()} for device, found in sides.items()})


def _distances(case: Path, device: str, folder: Path) -> dict[str, runner.Distance]:
    like = torch.zeros(1, device=devices.select(device))
    work = folder / device / case.name
    work.mkdir(parents=True)
    return runner.measure(case, "torch", device, ops, like, work)


def _worst(found: dict[str, runner.Distance]) -> str:
    """The output whose distance comes nearest to its tolerance, or goes farthest beyond it, in words."""
    name, distance = max(found.items(), key=lambda item: item[1].value / item[1].tolerance)
    return f"{distance.value:.1e} of {distance.tolerance:.0e} ({name})"
