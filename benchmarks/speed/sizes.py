"""Images of different sizes beside images of one: a framework that prepares itself for each new size takes longer."""

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from pathlib import Path

import numpy as np

from benchmarks.speed.made_up import Arrays, make_batch, make_inputs, make_learners
from benchmarks.speed.measuring import Figures, Task
from benchmarks.speed.table import split_by_success
from benchmarks.speed.work import train_without_moving
from benchmarks.tables import Table, about_this_run
from common.config import FreeSizePreprocessing, Settings
from common.errors import UserError

# The short side, in those of the settings, and the long side, in short sides.
SHORTEST, LONGEST = 0.8, 1.7
VARIED, EQUAL = "varied", "equal"


@dataclass
class SizesWork:
    """The tasks of a model on images of many sizes, each once, and on one of a size in between as often.

    sizes: (height, width) of the images as the network sees them, without padding.
    """

    settings: Settings
    seed: int
    sizes: list[tuple[int, int]]
    shortest_repetition = 0.0

    @property
    def title(self) -> str:
        """The number of sizes, in words."""
        multiple = self.settings.preprocessing.pad_multiple
        padded = {tuple(-(-side // multiple) * multiple for side in size) for size in self.sizes}
        return f"{len(self.sizes)} sizes with those that warm up, {len(padded)} when they are padded"

    def tasks(self, framework: str) -> dict[str, Task]:
        """The tasks in their order, with the networks of a framework."""
        learner, trained = make_learners(framework, self.settings, 1, self.seed)
        areas = np.array([height * width for height, width in self.sizes])
        middle = self.sizes[np.abs(areas - areas.mean()).argmin()]
        train = partial(train_without_moving, trained)
        return {
            f"inference, {EQUAL}": Task(learner.predict, repeat(self._make_sized(make_inputs, middle))),
            f"inference, {VARIED}": Task(learner.predict, self._make_all(make_inputs)),
            f"training, {EQUAL}": Task(train, repeat(self._make_sized(make_batch, middle))),
            f"training, {VARIED}": Task(train, self._make_all(make_batch)),
        }

    def _make_all(self, make: Callable[..., Arrays]) -> Iterator[Arrays]:
        return (self._make_sized(make, size) for size in self.sizes)

    def _make_sized(self, make: Callable[..., Arrays], size: tuple[int, int]) -> Arrays:
        """A batch of one image of this size, which the network sees as it is."""
        sides = {"short_side": min(size), "long_side": max(size)}
        preprocessing = self.settings.preprocessing.model_copy(update=sides)
        return make(self.settings.model_copy(update={"preprocessing": preprocessing}), 1, self.seed, size)


def make_sizes_work(settings: Settings, seed: int, count: int) -> SizesWork:
    """So many sizes: short sides as training draws them, and every proportion, upright and lying."""
    preprocessing = settings.preprocessing
    if not isinstance(preprocessing, FreeSizePreprocessing):
        raise UserError(f"--sizes: {settings.model} takes images of one size")
    rng = np.random.default_rng(seed)
    sizes: list[tuple[int, int]] = []
    while len(sizes) < count:
        short = round(preprocessing.short_side * rng.uniform(SHORTEST, 1))
        long = min(round(short * rng.uniform(1, LONGEST)), preprocessing.long_side)
        size = (short, long) if rng.random() < 0.5 else (long, short)
        if size not in sizes:
            sizes.append(size)
    return SizesWork(settings, seed, sizes)


def make_sizes_table(found: dict[str, Figures]) -> str:
    """A line a task: for each framework the time on different sizes as a ratio to that on equal ones."""
    lines, running = split_by_success(found)
    lines.append(f"{'':<32}" + "".join(f"{name:>11}{'cpu':>6}{'slowest':>9}" for name in running))
    for work in ("inference", "training"):
        line = f"{work + ', ' + VARIED + ' / ' + EQUAL:<32}"
        for name in running:
            row = _compare(found[name], work)
            line += f"{row['ratio']:>11.2f}{row['cpu_ratio']:>6.2f}{row['slowest']:>9.2f}"
        lines.append(line)
    return "\n".join(lines)


def write_sizes(found: dict[str, dict[str, Figures]], folder: Path) -> Path:
    """Writes the table `sizes` of the figures of each model by framework."""
    heads = {"ratio": "different / equal", "cpu_ratio": "processors' time", "slowest": "slowest / median"}
    rows = [
        {"model": model, "work": work, "framework": name} | _compare(figures[name], work)
        for model, figures in found.items()
        for work in ("inference", "training")
        for name in split_by_success(figures)[1]
    ]
    columns = {key: key for key in ("model", "work", "framework")} | heads
    return Table("sizes", "Images of different sizes beside equal ones", columns, rows, about_this_run()).write(folder)


def _compare(figures: Figures, work: str) -> dict[str, float]:
    """Of a framework: the ratios of the times on different sizes to those on equal ones, and of the longest step."""
    wall, cpu = (
        sum(figures[quantity][f"{work}, {VARIED}"]) / sum(figures[quantity][f"{work}, {EQUAL}"])
        for quantity in ("seconds", "cpu_seconds")
    )
    times = figures["cpu_seconds"][f"{work}, {VARIED}"]
    return {"ratio": wall, "cpu_ratio": cpu, "slowest": max(times) / statistics.median(times)}
