"""The array contract's speed in each framework, as a ratio to the fastest.

Sizes are those of YOLACT at 550 pixels, of Mask R-CNN's second stage and of Mask2Former at 800 x 1088. A time is the
best of repeated calls after a first one, which is listed apart: Jittor compiles in it. Each framework runs in a process
of its own, on its CPU.
"""

import argparse
import importlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from benchmarks.frameworks import FRAMEWORKS
from common.errors import UserError, run_command
from common.files import atomic_path

SECONDS_PER_OPERATION = 0.3
FEWEST_CALLS = 5
MAPS = ((25, 34), (50, 68), (100, 136))  # of strides 32, 16 and 8, of an image of 800 x 1088

Case = tuple[Callable[..., Any], tuple[np.ndarray, ...]]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ops",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example:\n  python -m benchmarks.ops --output ops.json",
    )
    parser.add_argument("--output", type=Path, help="write the figures here as JSON")
    parser.add_argument("--framework", choices=FRAMEWORKS, help="measure this one alone and print its seconds as JSON")
    arguments = parser.parse_args()
    if arguments.framework:
        print(json.dumps(measure(arguments.framework)))
        return
    seconds = {framework: _in_a_process(framework) for framework in FRAMEWORKS}
    print(table(seconds))
    if arguments.output:
        with atomic_path(arguments.output) as path:
            path.write_text(json.dumps(seconds, indent=1))


def measure(framework: str) -> dict[str, dict[str, float]]:
    """operation -> seconds of the first call and the best of the later ones."""
    importlib.import_module(f"{framework}_impl.device").select("cpu")
    xp = importlib.import_module(f"{framework}_impl.ops")
    return {name: _time(partial(call, xp), inputs, xp, framework) for name, (call, inputs) in cases().items()}


def table(seconds: dict[str, dict[str, dict[str, float]]]) -> str:
    """One line an operation: the fastest's milliseconds, each framework's ratio to it, Jittor's first call."""
    lines = [
        f"{'operation':<36}{'fastest ms':>11}" + "".join(f"{name:>11}" for name in seconds) + f"{'jittor 1st s':>14}"
    ]
    for operation in next(iter(seconds.values())):
        times = {framework: found[operation]["best"] for framework, found in seconds.items()}
        fastest = min(times.values())
        ratios = "".join(f"{value / fastest:>11.1f}" for value in times.values())
        lines.append(f"{operation:<36}{fastest * 1e3:>11.2f}{ratios}{seconds['jittor'][operation]['first']:>14.1f}")
    return "\n".join(lines)


def cases() -> dict[str, Case]:
    """operation -> what is called with (contract, *arrays), and the arrays."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(19248, 81)).astype(np.float32)
    mask = scores > 0
    boxes = _boxes(rng, 1000)
    found: dict[str, Case] = {
        "asarray": (lambda xp, like: xp.asarray(scores, like), (scores[:1],)),
        "to_numpy": (lambda xp, x: x, (scores,)),
        "astype": (lambda xp, x: xp.astype(x, "int32"), (scores,)),
        "zeros": (lambda xp, x: xp.zeros(scores.shape, x), (scores[:1],)),
        "full": (lambda xp, x: xp.full(scores.shape, 0.5, x), (scores[:1],)),
        "arange": (lambda xp, x: xp.arange(19248, x), (scores[:1],)),
    }
    for name in ("exp", "sqrt", "log"):
        found[name] = (partial(_call, name), (np.abs(scores) + 0.1,))
    for name in ("abs", "floor", "sigmoid", "tanh", "stop_gradient"):
        found[name] = (partial(_call, name), (scores,))
    for name in ("maximum", "minimum", "binary_cross_entropy_with_logits"):
        found[name] = (partial(_call, name), (scores, scores[::-1].copy()))
    for name in ("logical_and", "logical_or"):
        found[name] = (partial(_call, name), (mask, mask[::-1].copy()))
    for name in ("sum", "max", "logsumexp", "argmax", "softmax", "log_softmax"):
        found[name] = (partial(_call, name, axis=1), (scores,))
    found["any"] = (partial(_call, "any", axis=1), (mask,))
    found |= {
        "clip": (lambda xp, x: xp.clip(x, -1.0, 1.0), (scores,)),
        "where": (lambda xp, m, x: xp.where(m, x, 0.0), (mask, scores)),
        "reshape": (lambda xp, x: xp.reshape(x, (81, 19248)), (scores,)),
        "transpose": (lambda xp, x: xp.transpose(x, (1, 0)), (scores,)),
        "broadcast_to": (lambda xp, x: xp.broadcast_to(x, scores.shape), (scores[:1],)),
        "concatenate": (lambda xp, x, y: xp.concatenate([x, y], axis=0), (scores, scores)),
        "take": (partial(_call, "take"), (scores, rng.integers(0, 19248, 5000).astype(np.int32))),
        "take_along_axis": (
            partial(_call, "take_along_axis", axis=1),
            (scores, rng.integers(0, 81, (19248, 1)).astype(np.int32)),
        ),
        "put_along_axis": (
            partial(_call, "put_along_axis", axis=1),
            (
                np.zeros((100, 224**2), np.float32),
                _choose(rng, 100, 224**2, 784),
                rng.normal(size=(100, 784)).astype(np.float32),
            ),
        ),
        "nonzero": (partial(_call, "nonzero"), (mask[:, 0].copy(),)),
        "argsort": (partial(_call, "argsort", axis=0, descending=True), (scores[:, 0].copy(),)),
        "topk": (lambda xp, x: xp.topk(x, 200), (np.ascontiguousarray(scores.T[:80]),)),
        "matmul": (
            partial(_call, "matmul"),
            (rng.normal(size=(19044, 32)).astype(np.float32), scores[:32, :80].copy()),
        ),
        "nms": (lambda xp, b, s: xp.nms(b, s, 0.5), (boxes, scores[:1000, 0].copy())),
    }
    return found | _spatial_cases(rng)


def _choose(rng: np.random.Generator, rows: int, length: int, count: int) -> np.ndarray:
    """For each row so many different positions below `length`: (rows, count) int32."""
    return np.stack([rng.choice(length, count, replace=False) for _ in range(rows)]).astype(np.int32)


def _spatial_cases(rng: np.random.Generator) -> dict[str, Case]:
    features = rng.normal(size=(1, 256, 69, 69)).astype(np.float32)
    small = rng.normal(size=(1, 256, 35, 35)).astype(np.float32)
    rois = np.concatenate([np.zeros((256, 1), np.float32), _boxes(rng, 256)], axis=1)
    grid = rng.uniform(-1, 1, size=(1, 112, 112, 2)).astype(np.float32)
    offset = rng.normal(size=(1, 18, 35, 35)).astype(np.float32)
    modulation = rng.uniform(size=(1, 9, 35, 35)).astype(np.float32)
    weight = rng.normal(scale=0.02, size=(256, 256, 3, 3)).astype(np.float32)
    found: dict[str, Case] = {
        "resize": (lambda xp, x: xp.resize(x, (69, 69)), (small,)),
        "grid_sample": (lambda xp, x, grid: xp.grid_sample(x, grid), (features, grid)),
        "roi_align": (lambda xp, x, rois: xp.roi_align(x, rois, (7, 7), 1 / 8, 2, True), (features, rois)),
        "deform_conv2d": (
            lambda xp, x, offset, mask, weight: xp.deform_conv2d(x, offset, mask, weight, None, 1, 1, 1),
            (small, offset, modulation, weight),
        ),
    }
    found["ms_deform_attn"] = deformable_attention(rng)
    # The same with the gradient with respect to the arrays that have one.
    free = {"resize": 1, "grid_sample": 2, "roi_align": 1, "deform_conv2d": 4, "ms_deform_attn": 3}
    for name, count in free.items():
        call, inputs = found[name]
        found[f"value_and_grad of {name}"] = (partial(_gradient, call, count), inputs)
    return found


def deformable_attention(rng: np.random.Generator, shapes: Sequence[tuple[int, int]] = MAPS) -> Case:
    """Every cell of three maps is a query, which reads about its own place: 8 heads of 32, 4 points a map.

    shapes: the maps' (H, W).
    """
    places = [np.stack(np.mgrid[:h, :w][::-1], -1).reshape(-1, 2) + 0.5 for h, w in shapes]
    places = np.concatenate([place / (w, h) for place, (h, w) in zip(places, shapes, strict=True)])
    count = len(places)
    moves = rng.normal(scale=2, size=(1, count, 8, 3, 4, 2)) / np.array(shapes)[:, None, ::-1]
    attention = rng.dirichlet(np.ones(12), (1, count, 8)).reshape(1, count, 8, 3, 4)
    arrays = rng.normal(size=(1, count, 8, 32)), places[:, None, None, None] + moves, attention
    return (
        lambda xp, value, locations, attention: xp.ms_deform_attn(value, shapes, locations, attention),
        tuple(array.astype(np.float32) for array in arrays),
    )


def _gradient(call: Callable, count: int, xp: ModuleType, *arrays: Any) -> Any:
    fixed = arrays[count:]
    value, gradients = xp.value_and_grad(lambda *free: xp.sum(call(xp, *free, *fixed)), *arrays[:count])
    return (value, *gradients)


def _call(name: str, xp: ModuleType, *arrays: Any, **options: Any) -> Any:
    return getattr(xp, name)(*arrays, **options)


def _boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, 4) xyxy within 550 pixels."""
    corner = rng.uniform(0, 400, size=(count, 2))
    return np.concatenate([corner, corner + rng.uniform(10, 150, size=(count, 2))], axis=1).astype(np.float32)


def _time(call: Callable, inputs: tuple[np.ndarray, ...], xp: ModuleType, framework: str) -> dict[str, float]:
    like = first_array(framework)
    arrays = [xp.asarray(x, like) for x in inputs]
    for array in arrays:
        xp.to_numpy(array)
    times = []
    while len(times) < FEWEST_CALLS + 1 or sum(times[1:]) < SECONDS_PER_OPERATION:
        began = time.perf_counter()
        answer = call(*arrays)
        # Jittor computes when it is asked for the values, MindSpore in the background: both have to be asked.
        for array in answer if isinstance(answer, tuple | list) else (answer,):
            xp.to_numpy(array)
        times.append(time.perf_counter() - began)
    return {"first": times[0], "best": min(times[1:])}


def first_array(framework: str) -> Any:
    module = importlib.import_module(framework)
    return module.Tensor(np.zeros(1, np.float32)) if framework == "mindspore" else module.zeros(1)


def _in_a_process(framework: str) -> dict[str, dict[str, float]]:
    command = [sys.executable, "-m", "benchmarks.ops", "--framework", framework]
    print(f"measuring {framework} ...", file=sys.stderr, flush=True)
    answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if answer.returncode != 0:
        raise UserError(f"measuring {framework} ended with code {answer.returncode}")
    return json.loads(answer.stdout.splitlines()[-1])


if __name__ == "__main__":
    run_command(main)
