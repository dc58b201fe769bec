"""Batches from worker processes: the same ones, in the same order, whatever the number of workers.

A batch is a function of the seed and the step alone. So workers need no queue between them: worker k of W makes the
batches of the steps k, k + W, k + 2 W ..., a few ahead, and the loader takes from each in turn.
"""

import contextlib
import multiprocessing
import os
import signal
import traceback
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import connection
from typing import Protocol

import cv2
import numpy as np

from common.data.order import epoch_order
from common.data.shared import SharedArrays
from common.errors import UserError
from common.training.randomness import stream

Batch = dict[str, np.ndarray]
Collate = Callable[[list[dict]], Batch]

_AHEAD = 2  # batches that a worker makes before they are asked for
_NOTHING = -1


class MakeSample(Protocol):
    """Makes the sample of an index; picklable. If it has `describe(index)`, errors name it by that: "image 139".

    If it has `groups`, (length,) int, training batches are of one group each, but for a few.
    """

    def __call__(self, index: int, rng: np.random.Generator) -> dict: ...


@dataclass(frozen=True, eq=False)
class _Shuffled:
    """Epoch after epoch without end, each in an order of its own; a batch may reach into the next epoch."""

    length: int
    batch_size: int  # over all ranks
    seed: int
    rank: int
    world: int
    groups: np.ndarray | None

    def indices(self, step: int) -> list[tuple[int, np.random.Generator]]:
        share = self.batch_size // self.world
        begin = step * self.batch_size + self.rank * share
        drawn = []
        for position in range(begin, begin + share):
            epoch, place = divmod(position, self.length)
            index = int(_order(self, epoch)[place])
            drawn.append((index, stream(self.seed, position, "augmentation")))
        return drawn


@lru_cache(maxsize=2)
def _order(plan: _Shuffled, epoch: int) -> np.ndarray:
    return epoch_order(plan.length, plan.batch_size, plan.seed, epoch, plan.groups)


@dataclass(frozen=True)
class _InOrder:
    """Once through; the last batch may be smaller."""

    length: int
    batch_size: int

    def indices(self, step: int) -> list[tuple[int, np.random.Generator]]:
        indices = range(step * self.batch_size, min((step + 1) * self.batch_size, self.length))
        return [(index, stream(0, index, "evaluation")) for index in indices]


class Loader:
    """Endless shuffled batches for training: yields `(step, batch)`.

    make_sample(index, rng) makes a sample of the data set's `length`, collate(samples) a dictionary of arrays. The
    sample at global position p = step * batch_size + i belongs to epoch p // length; its generator is keyed by the seed
    and p. Rank r of `world` takes its share of each batch. A run that was stopped continues with `start_step`; `step`
    is the next one to come. `workers` 0 makes the batches in this process.
    """

    def __init__(
        self,
        make_sample: MakeSample,
        collate: Collate,
        length: int,
        batch_size: int,
        seed: int,
        workers: int,
        rank: int = 0,
        world: int = 1,
        start_step: int = 0,
    ) -> None:
        if length < 1:
            raise UserError("the data set has nothing to train on")
        if batch_size < 1 or batch_size % world:
            raise UserError(f"a batch of {batch_size} does not divide among {world} ranks")
        plan = _Shuffled(length, batch_size, seed, rank, world, getattr(make_sample, "groups", None))
        self.step = start_step
        self._maker = _maker(_Job(make_sample, collate, plan), workers, start_step)

    def __iter__(self) -> Iterator[tuple[int, Batch]]:
        return self

    def __next__(self) -> tuple[int, Batch]:
        batch = self._maker.batch(self.step)
        self.step += 1
        return self.step - 1, batch

    def close(self) -> None:
        """Ends the workers; a loader that is dropped does so by itself."""
        self._maker.close()

    def __enter__(self) -> "Loader":
        return self

    def __exit__(self, *_) -> None:
        self.close()


def ordered(make_sample: MakeSample, collate: Collate, length: int, batch_size: int, workers: int) -> Iterator[Batch]:
    """Batches of all samples once, in order, for evaluation; the last one may be smaller."""
    plan = _InOrder(length, batch_size)
    steps = -(-length // batch_size)
    maker = _maker(_Job(make_sample, collate, plan), min(workers, steps), 0)
    try:
        for step in range(steps):
            yield maker.batch(step)
    finally:
        maker.close()


@dataclass(frozen=True)
class _Job:
    make_sample: MakeSample
    collate: Collate
    plan: _Shuffled | _InOrder

    def batch(self, step: int, current: np.ndarray) -> Batch | None:
        """The batch of a step, None after the last; `current` (1,) always holds the index that is worked on."""
        samples = []
        for index, rng in self.plan.indices(step):
            current[0] = index
            try:
                samples.append(self.make_sample(index, rng))
            except Exception as error:
                raise UserError(self._line(index, error)) from error
        current[0] = _NOTHING
        return self.collate(samples) if samples else None

    def name(self, index: int) -> str:
        describe = getattr(self.make_sample, "describe", None)
        return f"sample {index}" if describe is None else describe(index)

    def _line(self, index: int, error: Exception) -> str:
        """One line that names the sample."""
        text = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        name = self.name(index)
        return text if name in text else f"{name}: {text}"


def _maker(job: _Job, workers: int, start_step: int) -> "_Inline | _Workers":
    return _Workers(job, workers, start_step) if workers > 0 else _Inline(job)


class _Inline:
    """Makes each batch when it is asked for."""

    def __init__(self, job: _Job) -> None:
        self._job = job
        self._current = np.array([_NOTHING])

    def batch(self, step: int) -> Batch:
        return self._job.batch(step, self._current)

    def close(self) -> None:
        pass


class _Workers:
    """Processes that make batches ahead and hand them over in shared memory."""

    def __init__(self, job: _Job, workers: int, start_step: int) -> None:
        self._job, self._first = job, start_step
        self._current = [SharedArrays({"index": np.array([_NOTHING])}) for _ in range(workers)]
        self._pipes: list[connection.Connection] = []
        self._processes: list[multiprocessing.process.BaseProcess] = []
        self._stop = weakref.finalize(self, _stop, self._processes, self._pipes)
        # A forked worker would inherit a framework's threads and locks.
        context = multiprocessing.get_context("spawn")
        for worker in range(workers):
            ours, theirs = context.Pipe()
            self._pipes.append(ours)
            arguments = (theirs, job, start_step + worker, workers, self._current[worker])
            process = context.Process(target=_work, args=arguments, daemon=True, name=f"loader-{worker}")
            process.start()
            self._processes.append(process)
            theirs.close()
            for _ in range(_AHEAD):
                ours.send(None)

    def batch(self, step: int) -> Batch:
        worker = (step - self._first) % len(self._pipes)
        pipe = self._pipes[worker]
        try:
            failure = pipe.recv()
            shared = None if failure else SharedArrays.receive(pipe)
        except (EOFError, OSError):
            raise UserError(self._obituary(worker)) from None
        if failure:
            line, trace = failure
            raise UserError(line) from RuntimeError(f"in a loader worker\n{trace}")
        # Where the worker has died after this batch, the next one says so.
        with contextlib.suppress(OSError):
            pipe.send(None)
        return dict(shared)

    def close(self) -> None:
        self._stop()

    def _obituary(self, worker: int) -> str:
        process = self._processes[worker]
        process.join(timeout=5)
        code = process.exitcode or 0
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        index = int(self._current[worker]["index"][0])
        where = "between two samples" if index == _NOTHING else f"at {self._job.name(index)}"
        return f"a loader worker {how} {where}"


def _stop(processes: list, pipes: list[connection.Connection]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        process.join()
    for pipe in pipes:
        pipe.close()


def _work(pipe: connection.Connection, job: _Job, step: int, stride: int, current: SharedArrays) -> None:
    """A worker's life: a batch for every ticket, until the loader closes the pipe, by its own death too."""
    # A group of its own: what stops a run from outside, as Ctrl-C does, is for the trainer, which ends the workers.
    os.setpgid(0, 0)
    cv2.setNumThreads(0)
    try:
        while True:
            pipe.recv()
            try:
                batch = job.batch(step, current["index"])
                if batch is None:
                    return
                shared = SharedArrays(batch)
            except Exception as error:
                pipe.send((str(error), traceback.format_exc()))
                return
            pipe.send(None)
            shared.send(pipe)
            step += stride
    except (EOFError, OSError):
        return
