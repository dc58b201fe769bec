"""The contract's operators on the GPU: its tests with torchvision and without, and their times beside each other."""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import torch
from torch import Tensor

from benchmarks.gpu.parts import Job
from benchmarks.gpu.report import Report
from benchmarks.gpu.timing import allow_tf32, timed
from common import kernels
from tests.goldens import golden
from torch_impl import _kernels, ops
from torch_impl import device as devices

ROOT = Path(__file__).parents[2]
# A pytest whose process finds no torchvision.
_WITHOUT = "import sys; sys.modules['torchvision'] = None; import pytest; sys.exit(pytest.main())"
_WITH = "import sys, pytest; sys.exit(pytest.main())"


def run(job: Job, report: Report) -> None:
    allow_tf32(False)
    with report.attempt("the contract's tests"):
        _contract(job, report)
    device = devices.select(job.device)
    for name, (call, arrays) in _cases(job.small).items():
        with report.attempt(name):
            _compare(name, call, arrays, device, report)


def _contract(job: Job, report: Report) -> None:
    """Both runs at once, in processes of their own."""
    running = {}
    for name, code in (("with torchvision", _WITH), ("without torchvision", _WITHOUT)):
        path = job.folder / f"{name}.xml"
        command = [sys.executable, "-c", code, "tests/contract", "--framework", "torch", "--device", job.device]
        command += ["-q", f"--junitxml={path}", "-p", "no:cacheprovider"]
        command += ["-k", "nms or roi_align"] if job.small else []
        running[name] = path, subprocess.Popen(command, cwd=ROOT, stdout=sys.stderr, env=dict(os.environ))
    for name, (path, process) in running.items():
        process.wait()
        tests = list(ElementTree.parse(path).iter("testcase")) if path.is_file() else []
        failed = [test.get("name") for test in tests if any(child.tag in ("failure", "error") for child in test)]
        report.add("the contract's tests", run=name, tests=len(tests), failed=", ".join(failed) or "none")
        report.check(f"the contract's tests {name}: failures", len(failed) if tests else 1, 0)


Case = tuple[Callable[..., Tensor], tuple[np.ndarray, ...]]


def _cases(small: bool) -> dict[str, Case]:
    """What is called with (*arrays), each of which has a gradient if it is of floats and the answer has one."""
    rng = np.random.default_rng(0)
    channels, side, count = (16, 40, 64) if small else (256, 200, 1000)
    features = rng.standard_normal((1, channels, side, side), np.float32)
    boxes = _boxes(rng, count, 4 * side)
    rois = np.concatenate([np.zeros((count, 1), np.float32), boxes], axis=1)
    half = features[:, :, ::2, ::2].copy()
    offset = rng.standard_normal((1, 18, *half.shape[2:]), np.float32)
    mask = rng.uniform(size=(1, 9, *half.shape[2:])).astype(np.float32)
    weight = rng.standard_normal((channels, channels, 3, 3), np.float32) / np.float32(3 * channels**0.5)
    found: dict[str, Case] = {}
    for name, (ratio, aligned) in {"roi_align": (2, False), "roi_align, adaptive": (0, True)}.items():
        found[name] = (lambda x, r, s=ratio, a=aligned: ops.roi_align(x, r, (7, 7), 0.25, s, a)), (features, rois)
    found["deform_conv2d"] = (
        (lambda x, o, m, w: ops.deform_conv2d(x, o, m, w, None, 1, 1, 1)),
        (
            half,
            offset,
            mask,
            weight,
        ),
    )
    for size in (count, 2 * count, 12 * count):
        crowd = _boxes(rng, size, 4 * side)
        scores = rng.permutation(np.linspace(0, 1, size, dtype=np.float32))
        found[f"nms of {size}"] = (lambda b, s: ops.nms(b, s, 0.7, offset=1.0)), (crowd, scores)
        classes = rng.integers(0, 80, size).astype(np.int32)
        found[f"nms of {size} in classes"] = (lambda b, s, c: ops.nms(b, s, 0.5, c)), (crowd, scores, classes)
    return found


def _boxes(rng: np.random.Generator, count: int, side: int) -> np.ndarray:
    """(count, 4) xyxy: crowds around some places, as proposals are."""
    places = rng.uniform(0, 0.8 * side, (max(1, count // 20), 2))
    corner = places[rng.integers(0, len(places), count)] + rng.normal(0, 8, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(16, 0.4 * side, (count, 2))], axis=1).astype(np.float32)


@contextmanager
def _without_torchvision():
    before = _kernels.torchvision_ops
    _kernels.torchvision_ops = lambda: None
    try:
        yield
    finally:
        _kernels.torchvision_ops = before


def _compare(name: str, call: Callable, arrays: tuple[np.ndarray, ...], device: str, report: Report) -> None:
    """Answers and gradients against the CPU's kernels, and the time of the call."""
    expected = _answers(call, arrays, "cpu")
    is_choice = expected[0].dtype.kind != "f"
    if device == "cpu":  # to try the script: the kernels against the operations
        kernels.library = lambda: None
    for way in ("as it is", "without torchvision"):
        if way == "as it is" or not is_choice:
            with report.attempt(f"{name}, {way}"):
                if way == "as it is":
                    found, milliseconds = _answers(call, arrays, device), _time(call, arrays, device)
                else:
                    with _without_torchvision():
                        found, milliseconds = _answers(call, arrays, device), _time(call, arrays, device)
                apart = [_apart(mine, theirs) for mine, theirs in zip(found, expected, strict=True)]
                report.add("operators", operator=name, way=way, ms=milliseconds, distance=f"{max(apart):.1e}")
                report.check(f"{name}, {way}", max(apart), 0 if is_choice else 1e-4)
    if is_choice and (vision := _kernels.torchvision_ops()) is not None and device != "cpu":
        milliseconds = _torchvision_nms(vision, arrays, device)
        report.add("operators", operator=name, way="torchvision's own", ms=milliseconds, distance="")


def _answers(call: Callable, arrays: tuple[np.ndarray, ...], device: str) -> list[np.ndarray]:
    """The answer, and the gradients of its sum weighed at random."""
    given = [torch.from_numpy(array).to(device) for array in arrays]
    answer = call(*given)
    if not answer.is_floating_point():
        return [answer.cpu().numpy()]
    free = [given[0], *(x for x in given[1:] if len(given) > 2)]
    for leaf in free:
        leaf.requires_grad_()
    answer = call(*given)
    weights = torch.from_numpy(np.random.default_rng(1).standard_normal(tuple(answer.shape), np.float32)).to(device)
    gradients = torch.autograd.grad((answer * weights).sum(), free)
    return [x.detach().cpu().numpy() for x in (answer, *gradients)]


def _apart(mine: np.ndarray, theirs: np.ndarray) -> float:
    if theirs.dtype.kind != "f":
        return 0.0 if np.array_equal(mine, theirs) else 1.0
    return golden.distance(mine, theirs)


def _time(call: Callable, arrays: tuple[np.ndarray, ...], device: str) -> float:
    given = [torch.from_numpy(array).to(device) for array in arrays]
    return timed(lambda: call(*given), device, seconds=0.2).milliseconds


def _torchvision_nms(vision, arrays: tuple[np.ndarray, ...], device: str) -> float:
    boxes, scores, *classes = [torch.from_numpy(array).to(device) for array in arrays]
    if classes:
        return timed(lambda: vision.batched_nms(boxes, scores, classes[0], 0.5), device, seconds=0.2).milliseconds
    return timed(lambda: vision.nms(boxes, scores, 0.7), device, seconds=0.2).milliseconds
