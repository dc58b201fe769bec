"""What was measured of models' speed as a table: printed with ratios, and row by row for those who read it again."""

from collections.abc import Iterator
from statistics import median
from typing import Any

import numpy as np

from benchmarks.machine import package_version
from benchmarks.speed.measuring import Figures
from benchmarks.speed.work import FORWARD, POST_PROCESSING
from benchmarks.tables import Table, about_this_run

COLUMNS = {
    "model": "model",
    "task": "task",
    "framework": "framework",
    "version": "version",
    "ms": "median, ms",
    "low": "lower quartile, ms",
    "high": "upper quartile, ms",
    "cpu_ms": "processors' time, ms",
    "ratio": "ratio to PyTorch",
    "cpu_ratio": "ratio of processors' time",
    "repetitions": "repetitions",
    "batch": "batch",
    "size": "size",
    "precision": "precision",
    "threads": "threads",
    "inside": "inside the timer",
    "peak_mib": "peak memory of the process, MiB",
    "detections": "objects found",
    "machine": "machine",
}


def make_speed_table(found: dict[str, dict[str, Figures]], sizes: dict[str, str], warmup: int) -> Table:
    """The table `speed` of the figures of each model by framework; `sizes` says how large the models' images are.

    A ratio is to the first framework that ran, which is PyTorch unless it was left out.
    """
    about = about_this_run(
        measured=f"a process for each framework, one repetition in each in turn, after {warmup} rounds that warm up",
        ratios="medians over the rounds of a framework's time to that of the first framework in the same round",
    )
    rows = [
        row | {"model": model, "size": sizes[model], "machine": about["machine"]}
        for model, figures in found.items()
        for row in _rows(figures)
    ]
    return Table("speed", "Speed of the models", COLUMNS, rows, about)


def _rows(found: dict[str, Figures]) -> Iterator[dict[str, Any]]:
    """A row for each task and framework, of one model."""
    _, running = split_by_success(found)
    for task in tasks_in_order(found[running[0]]) if running else ():
        for name in running:
            milliseconds = np.array(found[name]["seconds"][task]) * 1e3
            low, middle, high = np.percentile(milliseconds, (25, 50, 75)).tolist()
            yield found[name]["facts"][task] | {
                "task": task,
                "framework": name,
                "version": package_version(name),
                "ms": middle,
                "low": low,
                "high": high,
                "cpu_ms": median(found[name]["cpu_seconds"][task]) * 1e3,
                "ratio": ratio(found, name, running[0], "seconds", task),
                "cpu_ratio": ratio(found, name, running[0], "cpu_seconds", task),
                "repetitions": len(milliseconds),
                "precision": "float32",
                "threads": found[name]["threads"],
                "peak_mib": found[name]["peak_mib"],
                "detections": found[name]["detections"] if task.startswith("whole inference") else None,
            }


def make_table(found: dict[str, Figures]) -> str:
    """A line a task: the first framework's milliseconds, and the ratios of each framework to it."""
    lines, running = split_by_success(found)
    if not running:
        return "\n".join(lines)
    first = running[0]
    heads = "".join(f"{name:>11}{'cpu':>6}" for name in running)
    lines.append(f"{'':<32}{first + ' ms':>13}{heads}")
    for task in tasks_in_order(found[first]):
        ratios = ""
        for name in running:
            wall, cpu = (ratio(found, name, first, quantity, task) for quantity in ("seconds", "cpu_seconds"))
            ratios += f"{_shown(wall):>11}{_shown(cpu):>6}"
        lines.append(f"{task:<32}{median(found[first]['seconds'][task]) * 1e3:>13.1f}{ratios}")
    for title, key in (("peak memory, MiB", "peak_mib"), ("detections", "detections")):
        lines.append(f"{title:<45}" + "".join(f"{found[name][key]:>11.0f}{'':>6}" for name in running).rstrip())
    return "\n".join(lines)


def tasks_in_order(figures: Figures) -> list[str]:
    """The titles of the tasks that were measured in a framework, the parts of an inference first."""
    tasks = list(figures["seconds"])
    return [task for task in (FORWARD, POST_PROCESSING) if task in tasks] + [
        task for task in tasks if task not in (FORWARD, POST_PROCESSING)
    ]


def split_by_success(found: dict[str, Figures]) -> tuple[list[str], list[str]]:
    """A line for each framework that did not run, and the names of those that did."""
    running = [framework for framework in found if "error" not in found[framework]]
    return [f"not run: {name}: {found[name]['error']}" for name in found if name not in running], running


def ratio(found: dict[str, Figures], name: str, first: str, quantity: str, task: str) -> float | None:
    """The median over the rounds of a framework's time to the first framework's.

    None where one of them is not positive, as a difference of two times may be that is mostly noise.
    """
    pairs = list(zip(found[name][quantity][task], found[first][quantity][task], strict=True))
    return median(mine / its for mine, its in pairs) if all(min(pair) > 0 for pair in pairs) else None


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
