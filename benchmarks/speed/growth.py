"""How a model's cost grows with the image's side, the batch and the instances, and how near it is to the machine.

The forward pass runs on square images of several sides and in several batches, the whole inference with several numbers
of instances. A series of times t on values v is fitted by t = c * v^e; the exponent e is its slope in logarithms.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np

from benchmarks.ops import first_array
from benchmarks.speed.forward import count_operations, make_forward
from benchmarks.speed.made_up import make_inputs, make_learners
from benchmarks.speed.measuring import Figures, Task
from benchmarks.speed.table import split_by_success
from benchmarks.tables import Table, about_this_run
from common.array import namespace
from common.config import FreeSizePreprocessing, Settings
from common.families import family_of

SIDE, BATCH, INSTANCES, MATRICES = "image side", "batch", "instances", "matrix product"
SHARES = (0.5, 0.75, 1.0, 1.25)  # of the side that the model's settings have
BATCHES = (1, 2, 4)
COUNTS = (1, 3, 10, 30, 100)
MULTIPLE = 32  # of which sides are, in pixels: networks halve them five times
MATRIX = 2048  # rows and columns of the matrices whose product shows what the machine can do

COLUMNS = {
    "model": "model",
    "quantity": "what grows",
    "value": "value",
    "task": "task",
    "framework": "framework",
    "seconds": "median, s",
    "low": "lower quartile, s",
    "high": "upper quartile, s",
    "cpu_seconds": "processors' time, s",
    "exponent": "exponent",
    "cpu_exponent": "exponent of processors' time",
    "gflops": "GFLOP/s",
    "matmul_gflops": "GFLOP/s of a matrix product",
    "share": "share",
}


@dataclass
class GrowthWork:
    """The tasks of a model whose times are fitted, and a product of two large matrices as the framework has it."""

    settings: Settings
    seed: int
    shortest_repetition = 0.2

    @property
    def title(self) -> str:
        """What grows, in words."""
        return f"images of {', '.join(map(str, self._sides()))} pixels, and so on"

    def tasks(self, framework: str) -> dict[str, Task]:
        """The tasks in their order, with the networks of a framework; the first is the inference of most instances."""
        learner, _ = make_learners(framework, self.settings, 1, self.seed)
        tasks = {}
        for count, inputs, threshold in self._instances(learner):
            tasks[f"{INSTANCES} {count}"] = Task(
                lambda _, inputs=inputs, threshold=threshold: learner.predict(inputs, threshold),
                repeat(None),
                {"quantity": INSTANCES, "value": count, "task": "whole inference"},
            )
        squares = [(SIDE, side, self._square(side, 1)) for side in self._sides()]
        base = self._sides()[SHARES.index(1.0)]
        squares += [(BATCH, images, self._square(base, images)) for images in BATCHES]
        operations: dict[tuple[int, ...], int] = {}  # of one image, by its shape
        for quantity, value, image in squares:
            shape = image.shape[1:]
            if framework == "torch" and shape not in operations:
                operations[shape] = count_operations(self.settings, image[:1])
            forward, count = make_forward(learner, image), operations.get(shape)
            facts = {"quantity": quantity, "value": value, "task": "forward"}
            facts["operations"] = count * len(image) if count else None
            tasks[f"{quantity} {value}"] = Task(lambda _, forward=forward: forward(), repeat(None), facts)
        tasks[MATRICES] = self._make_product(framework)
        return tasks

    def _sides(self) -> list[int]:
        """The sides of the images in pixels, ascending."""
        preprocessing = self.settings.preprocessing
        side = preprocessing.short_side if isinstance(preprocessing, FreeSizePreprocessing) else preprocessing.size
        return [max(1, round(side * share / MULTIPLE)) * MULTIPLE for share in SHARES]

    def _square(self, side: int, images: int) -> np.ndarray:
        """Prepared images (N, 3, side, side)."""
        preprocessing = self.settings.preprocessing
        keys = ("short_side", "long_side") if isinstance(preprocessing, FreeSizePreprocessing) else ("size",)
        resized = preprocessing.model_copy(update=dict.fromkeys(keys, side))
        settings = self.settings.model_copy(update={"preprocessing": resized})
        return make_inputs(settings, images, self.seed, (side, side))["image"]

    def _instances(self, learner: Any) -> list[tuple[int, dict[str, np.ndarray], float]]:
        """Numbers of instances, the largest first, with the inputs and the score's threshold of which so many come out.

        A model that is told its objects is told of so many; of one that finds them, a threshold leaves the best.
        """
        make = family_of(self.settings).speed.prompted
        if make:
            return [(count, make(self.settings, count, self.seed), 0.0) for count in reversed(COUNTS)]
        inputs = make_inputs(self.settings, 1, self.seed)
        found = learner.predict(inputs)[0]
        # A panoptic result has instances beside its segments, and the threshold is for their scores.
        scores = np.sort(getattr(found, "instances", found).scores)[::-1]
        fewer = [count for count in reversed(COUNTS) if count < len(scores) and scores[count - 1] > scores[count]]
        return [(len(scores), inputs, 0.0), *((count, inputs, float(scores[count])) for count in fewer)]

    def _make_product(self, framework: str) -> Task:
        rng = np.random.default_rng(self.seed)
        like = first_array(framework)
        xp = namespace(like)
        first, second = (xp.asarray(rng.normal(size=(MATRIX, MATRIX)).astype(np.float32), like) for _ in range(2))
        facts = {"quantity": MATRICES, "operations": 2 * MATRIX**3}
        return Task(lambda _: xp.to_numpy(xp.matmul(first, second)), repeat(None), facts)


def make_growth_table(found: dict[str, dict[str, Figures]]) -> Table:
    """The table `growth` of the figures of each model by framework: a row for each point of a series and framework."""
    about = about_this_run(
        exponent="slope of the time over the value, both in logarithms, by least squares",
        share="operations of the forward pass in a second to those of a product of two matrices of"
        f" {MATRIX} x {MATRIX} in the same framework and run",
        precision="float32",
    )
    rows = [{"model": model} | row for model, figures in found.items() for row in _rows(figures)]
    return Table("growth", "How the cost grows", COLUMNS, rows, about)


def _rows(found: dict[str, Figures]) -> Iterator[dict[str, Any]]:
    """The rows of one model, series by series."""
    _, running = split_by_success(found)
    operations: dict[str, int | None] = {}
    for name in running:
        for task, facts in found[name]["facts"].items():
            operations[task] = operations.get(task) or facts.get("operations")
    for quantity in (SIDE, BATCH, INSTANCES):
        for name in running:
            yield from _series(found[name], name, quantity, operations)


def _series(figures: Figures, name: str, quantity: str, operations: dict[str, int | None]) -> Iterator[dict[str, Any]]:
    """The rows of one series in one framework."""
    facts = {task: facts for task, facts in figures["facts"].items() if task in figures["seconds"]}
    # Where nothing is found there is no number of instances to speak of.
    tasks = [task for task in facts if facts[task].get("quantity") == quantity and facts[task]["value"] > 0]
    tasks.sort(key=lambda task: facts[task]["value"])
    values = [facts[task]["value"] for task in tasks]
    medians = {key: [float(np.median(figures[key][task])) for task in tasks] for key in ("seconds", "cpu_seconds")}
    exponents = {key: fit_exponent(values, times) for key, times in medians.items()}
    peak = operations[MATRICES] / float(np.median(figures["seconds"][MATRICES])) / 1e9
    for position, task in enumerate(tasks):
        low, high = np.percentile(figures["seconds"][task], (25, 75)).tolist()
        count, seconds = operations[task], medians["seconds"][position]
        rate = count / seconds / 1e9 if count else None
        yield {
            "quantity": quantity,
            "value": values[position],
            "task": facts[task]["task"],
            "framework": name,
            "seconds": seconds,
            "low": low,
            "high": high,
            "cpu_seconds": medians["cpu_seconds"][position],
            "exponent": exponents["seconds"],
            "cpu_exponent": exponents["cpu_seconds"],
            "gflops": rate,
            "matmul_gflops": peak if rate else None,
            "share": rate / peak if rate else None,
        }


def fit_exponent(values: list[float], times: list[float]) -> float | None:
    """The exponent e of times = c * values^e by least squares in logarithms; None of fewer than two points."""
    if len(values) < 2:
        return None
    return float(np.polyfit(np.log(values), np.log(times), 1)[0])


def print_growth(rows: list[dict[str, Any]]) -> str:
    """A line for each point of a series: the milliseconds in each framework, and at its end the exponents."""
    lines = []
    for quantity in dict.fromkeys(row["quantity"] for row in rows):
        series = [row for row in rows if row["quantity"] == quantity]
        names = list(dict.fromkeys(row["framework"] for row in series))
        lines.append(f"{quantity + ', ' + series[0]['task']:<32}" + "".join(f"{name + ' ms':>14}" for name in names))
        for value in dict.fromkeys(row["value"] for row in series):
            times = {row["framework"]: row["seconds"] * 1e3 for row in series if row["value"] == value}
            lines.append(f"{value:<32}" + "".join(f"{times[name]:>14.1f}" for name in names))
        for title, key in (("exponent", "exponent"), ("share of a matrix product", "share")):
            last = {row["framework"]: row[key] for row in series}
            if all(last.values()):
                lines.append(f"{title:<32}" + "".join(f"{last[name]:>14.2f}" for name in names))
    return "\n".join(lines)
