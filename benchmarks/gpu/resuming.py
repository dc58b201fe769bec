"""The train command on the GPU: a run that is killed and resumed logs the losses of one that never stopped."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.demo import MODEL
from benchmarks.gpu.parts import Job
from benchmarks.gpu.report import Report
from common.data.shapes import write_shapes

ROOT = Path(__file__).parents[2]
PATIENCE = 90  # seconds for one run


def run(job: Job, report: Report) -> None:
    steps = 12 if job.small else 60
    data = write_shapes(job.folder / "shapes", images=24, seed=0, val_images=4)
    whole, killed = job.folder / "whole", job.folder / "killed"
    began = _start(job, data, whole, steps), _start(job, data, killed, steps)
    reached = _kill_on_the_way(began[1], killed, steps // 2)
    _finish(began[0])
    _finish(_start(job, data, killed, steps, "--resume"))
    expected, found = _losses(whole), _losses(killed)
    both = expected.keys() & found.keys()
    farthest = np.max(
        [
            abs(found[step][term] - value) / max(1.0, abs(value))
            for step in both
            for term, value in expected[step].items()
        ]
    )
    equal = sum(found[step] == expected[step] for step in both)
    report.add("killed and resumed", steps=steps, killed_at=reached, equal_to_the_bit=equal, farthest=f"{farthest:.1e}")
    report.check("killed and resumed: steps that are missing", len(set(expected) ^ set(found)), 0)
    # A GPU's sums have no fixed order.
    report.check("killed and resumed: losses", farthest, 1e-3)


def _start(job: Job, data: Path, output: Path, steps: int, *more: str) -> subprocess.Popen:
    # Norms stand still with so few images; at this rate rounding, in any order on a GPU, stays small in all steps.
    arguments = [MODEL, "--data", data, "--output", output, "--iterations", steps, "--workers", 1, *more]
    overrides = ["batch_size=4", "log_every=1", "checkpoint_every=4", "warmup_iterations=0", "learning_rate=5e-5"]
    command = [sys.executable, "-m", "torch_impl.train", *map(str, arguments), "--device", job.device, "--skip-test"]
    command += [f"schedule.{override}" for override in overrides]
    return subprocess.Popen(command, cwd=ROOT, stdout=sys.stderr, stderr=subprocess.PIPE, text=True)


def _kill_on_the_way(process: subprocess.Popen, output: Path, goal: int) -> int:
    """Kills a run once it has logged `goal` steps -> how many it had logged."""
    until = time.monotonic() + PATIENCE
    while len(_losses(output)) < goal and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    _, errors = process.communicate()
    if process.returncode != -signal.SIGKILL:
        raise RuntimeError(f"the run was over before it could be killed: {errors[-1000:]}")
    return len(_losses(output))


def _finish(process: subprocess.Popen) -> None:
    _, errors = process.communicate(timeout=PATIENCE)
    sys.stderr.write(errors)
    if process.returncode != 0:
        raise RuntimeError(f"the train command ended with code {process.returncode}: {errors.strip()[-1000:]}")


def _losses(output: Path) -> dict[int, dict[str, float]]:
    """The logged losses by step; a line that was cut short does not count."""
    path = output / "log.jsonl"
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return {line["step"]: line["losses"] for line in map(json.loads, lines) if "losses" in line}
