"""The contract's operators on the GPU: its tests with torchvision and without, and their times beside each other."""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import torch
from torch import Tensor

from benchmarks.gpu.parts import Job
from benchmarks.gpu.report import Report
from benchmarks.gpu.timing import allow_tf32, timed
from benchmarks.ops import deformable_attention
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
    for name, case in _cases(job.small).items():
        with report.attempt(name):
            _compare(name, case, device, report)


def _contract(job: Job, report: Report) -> None:
    """Runs the contract's tests with torchvision and without, at once, in processes of their own."""
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


@dataclass(frozen=True)
class Case:
    """`call(*arrays)`, whose answer has gradients to the arrays if it is of floats; it is timed on `measured`.

    in_torchvision: whether torchvision has the operator, too.
    """

    call: Callable[..., Tensor]
    arrays: tuple[np.ndarray, ...]
    measured: tuple[np.ndarray, ...]
    in_torchvision: bool = True


def _cases(small: bool) -> dict[str, Case]:
    rng = np.random.default_rng(0)
    channels, side, count = (16, 40, 64) if small else (256, 200, 1000)
    features = rng.standard_normal((1, channels, side, side), np.float32)
    boxes = _boxes(rng, count, 4 * side)
    rois = np.concatenate([np.zeros((count, 1), np.float32), boxes], axis=1)
    half = features[:, :, ::2, ::2].copy()
    offset = rng.standard_normal((1, 18, *half.shape[2:]), np.float32)
    mask = rng.uniform(size=(1, 9, *half.shape[2:])).astype(np.float32)
    weight = rng.standard_normal((channels, channels, 3, 3), np.float32) / np.float32(3 * channels**0.5)
    few = features[:, :8].copy()  # of channels that are all alike, so that float64 finds memory
    found: dict[str, Case] = {}
    for name, (ratio, aligned) in {"roi_align": (2, False), "roi_align, adaptive": (0, True)}.items():
        pooled = lambda x, r, s=ratio, a=aligned: ops.roi_align(x, r, (7, 7), 0.25, s, a)  # noqa: E731
        found[name] = Case(pooled, (few, rois), (features, rois))
    deformed = (half, offset, mask, weight)
    found["deform_conv2d"] = Case(lambda x, o, m, w: ops.deform_conv2d(x, o, m, w, None, 1, 1, 1), deformed, deformed)
    found["ms_deform_attn"] = _deformable_attention(rng, small)
    for size in (count, 2 * count, 12 * count):
        crowd = _boxes(rng, size, 4 * side)
        scores = rng.permutation(np.linspace(0, 1, size, dtype=np.float32))
        plain, labelled = (crowd, scores), (crowd, scores, rng.integers(0, 80, size).astype(np.int32))
        found[f"nms of {size}"] = Case(lambda b, s: ops.nms(b, s, 0.7, offset=1.0), plain, plain)
        found[f"nms of {size} in classes"] = Case(lambda b, s, c: ops.nms(b, s, 0.5, c), labelled, labelled)
    return found


def _deformable_attention(rng: np.random.Generator, small: bool) -> Case:
    """An encoder's attention, timed on all cells of its maps and compared on some of them."""
    call, arrays = deformable_attention(rng, [(4, 5), (8, 10), (16, 20)]) if small else deformable_attention(rng)
    value, *of_queries = arrays
    some = [array[:, :: 1 if small else 40].copy() for array in of_queries]
    return Case(partial(call, ops), (value, *some), arrays, in_torchvision=False)


def _boxes(rng: np.random.Generator, count: int, side: int) -> np.ndarray:
    """(count, 4) xyxy: crowds around some points, as proposals are."""
    centres = rng.uniform(0, 0.8 * side, (max(1, count // 20), 2))
    corner = centres[rng.integers(0, len(centres), count)] + rng.normal(0, 8, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(16, 0.4 * side, (count, 2))], axis=1).astype(np.float32)


@contextmanager
def _without_torchvision():
    before = _kernels.torchvision_ops
    _kernels.torchvision_ops = lambda: None
    try:
        yield
    finally:
        _kernels.torchvision_ops = before


def _compare(name: str, case: Case, device: str, report: Report) -> None:
    """Answers and gradients, those of floats against float64's, and the time of the call."""
    expected = _answers(case.call, case.arrays, "cpu")
    is_choice = expected[0].dtype.kind != "f"
    exact = expected if is_choice else _answers(case.call, tuple(map(_in_float64, case.arrays)), "cpu")
    on_cpu = _largest_distance(expected, exact)
    # Positions lose bits where maps are wide, in any order of rounding: the CPU's kernel says how much that is.
    allowed = 0 if is_choice else max(1e-4, 4 * on_cpu)
    if device == "cpu":  # to try the script: the kernels against the operations
        kernels.library = lambda: None
    for way in ("as it is", "without torchvision"):
        if way == "without torchvision" and (is_choice or not case.in_torchvision):
            continue
        with report.attempt(f"{name}, {way}"), _without_torchvision() if way != "as it is" else nullcontext():
            found, milliseconds = _answers(case.call, case.arrays, device), _time(case.call, case.measured, device)
            distance = _largest_distance(found, exact)
            figures = {
                "from_kernel": _largest_distance(found, expected),
                "from_float64": distance,
                "kernel_from_float64": on_cpu,
            }
            report.add(
                "operators", operator=name, way=way, ms=milliseconds, **{n: f"{x:.1e}" for n, x in figures.items()}
            )
            report.check(f"{name}, {way}", distance, allowed)
    if is_choice and (vision := _kernels.torchvision_ops()) is not None and device != "cpu":
        milliseconds = _torchvision_nms(vision, case.arrays, device)
        blank = dict.fromkeys(("from_kernel", "from_float64", "kernel_from_float64"), "")
        report.add("operators", operator=name, way="torchvision's own", ms=milliseconds, **blank)


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
    weights = np.random.default_rng(1).standard_normal(tuple(answer.shape), np.float32)
    weights = torch.from_numpy(weights).to(device, answer.dtype)
    gradients = torch.autograd.grad((answer * weights).sum(), free)
    return [x.detach().cpu().numpy() for x in (answer, *gradients)]


def _largest_distance(mine: list[np.ndarray], theirs: list[np.ndarray]) -> float:
    """The largest distance of an answer or a gradient; of choices 0 where they are equal."""
    if theirs[0].dtype.kind != "f":
        return 0.0 if np.array_equal(mine[0], theirs[0]) else 1.0
    return max(map(golden.distance, mine, theirs))


def _in_float64(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float64) if array.dtype == np.float32 else array


def _time(call: Callable, arrays: tuple[np.ndarray, ...], device: str) -> float:
    given = [torch.from_numpy(array).to(device) for array in arrays]
    return timed(lambda: call(*given), device, seconds=0.2).milliseconds


def _torchvision_nms(vision, arrays: tuple[np.ndarray, ...], device: str) -> float:
    boxes, scores, *classes = [torch.from_numpy(array).to(device) for array in arrays]
    if classes:
        return timed(lambda: vision.batched_nms(boxes, scores, classes[0], 0.5), device, seconds=0.2).milliseconds
    return timed(lambda: vision.nms(boxes, scores, 0.7), device, seconds=0.2).milliseconds
