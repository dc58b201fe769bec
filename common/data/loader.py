"""Makes batches in worker processes: the same ones, in the same order, whatever the number of workers.

A batch depends on the seed and the step alone, so workers share no queue: worker k of W makes the batches of the steps
k, k + W, k + 2 W, ..., a few of them ahead, and the loader takes one from each worker in turn.
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

_BATCHES_AHEAD = 2  # batches that a worker makes before they are asked for
_NO_SAMPLE = -1


class MakeSample(Protocol):
    """Makes the sample of an index. It must be picklable, and may have two more attributes.

    `describe(index)` names a sample in errors, such as "image 139". With `groups` (length,) int nearly every training
    batch holds samples of one group.
    """

    def __call__(self, index: int, rng: np.random.Generator) -> dict: ...


@dataclass(frozen=True, eq=False)
class _ShuffledPlan:
    """Plans epoch after epoch without end, each in an order of its own; a batch may reach into the next epoch."""

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
            epoch, rank_in_epoch = divmod(position, self.length)
            index = int(_cached_order(self, epoch)[rank_in_epoch])
            drawn.append((index, stream(self.seed, position, "augmentation")))
        return drawn


@lru_cache(maxsize=2)
def _cached_order(plan: _ShuffledPlan, epoch: int) -> np.ndarray:
    return epoch_order(plan.length, plan.batch_size, plan.seed, epoch, plan.groups)


@dataclass(frozen=True)
class _OrderedPlan:
    """Plans all samples once, in order; the last batch may be smaller."""

    length: int
    batch_size: int

    def indices(self, step: int) -> list[tuple[int, np.random.Generator]]:
        indices = range(step * self.batch_size, min((step + 1) * self.batch_size, self.length))
        return [(index, stream(0, index, "evaluation")) for index in indices]


class Loader:
    """Yields `(step, batch)`: shuffled batches for training, without end.

    make_sample(index, rng) makes one of the data set's `length` samples, and collate(samples) joins some of them to a
    batch, a dictionary of arrays. Sample i of a step's batch has the position p = step * batch_size + i in the run: it
    belongs to epoch p // length, and its generator is keyed by the seed and p. Each of `world` ranks takes an equal
    part of every batch. A run that was stopped continues at `start_step`; the attribute `step` is that of the next
    batch. With `workers` 0 this process makes the batches.
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
        plan = _ShuffledPlan(length, batch_size, seed, rank, world, getattr(make_sample, "groups", None))
        self.step = start_step
        self._maker = _start_maker(_Job(make_sample, collate, plan), workers, start_step)

    def __iter__(self) -> Iterator[tuple[int, Batch]]:
        return self

    def __next__(self) -> tuple[int, Batch]:
        batch = self._maker.batch(self.step)
        self.step += 1
        return self.step - 1, batch

    def close(self) -> None:
        """Ends the workers; this also happens when a loader is garbage-collected."""
        self._maker.close()

    def __enter__(self) -> "Loader":
        return self

    def __exit__(self, *_) -> None:
        self.close()


def ordered(make_sample: MakeSample, collate: Collate, length: int, batch_size: int, workers: int) -> Iterator[Batch]:
    """Yields batches of all samples once, in order, for evaluation; the last one may be smaller."""
    plan = _OrderedPlan(length, batch_size)
    steps = -(-length // batch_size)
    maker = _start_maker(_Job(make_sample, collate, plan), min(workers, steps), 0)
    try:
        for step in range(steps):
            yield maker.batch(step)
    finally:
        maker.close()


@dataclass(frozen=True)
class _Job:
    """All that a worker needs to make the batch of any step."""

    make_sample: MakeSample
    collate: Collate
    plan: _ShuffledPlan | _OrderedPlan

    def make_batch(self, step: int, current: np.ndarray) -> Batch | None:
        """Makes the batch of a step, or None after the last; `current` (1,) tells the index of the sample at hand."""
        samples = []
        for index, rng in self.plan.indices(step):
            current[0] = index
            try:
                samples.append(self.make_sample(index, rng))
            except Exception as error:
                raise UserError(self._describe_error(index, error)) from error
        current[0] = _NO_SAMPLE
        return self.collate(samples) if samples else None

    def describe(self, index: int) -> str:
        describe = getattr(self.make_sample, "describe", None)
        return f"sample {index}" if describe is None else describe(index)

    def _describe_error(self, index: int, error: Exception) -> str:
        """Says in one line what is wrong, and with which sample."""
        text = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        name = self.describe(index)
        return text if name in text else f"{name}: {text}"


def _start_maker(job: _Job, workers: int, start_step: int) -> "_InlineMaker | _WorkerMaker":
    return _WorkerMaker(job, workers, start_step) if workers > 0 else _InlineMaker(job)


class _InlineMaker:
    """Makes each batch in this process when it is asked for."""

    def __init__(self, job: _Job) -> None:
        self._job = job
        self._current = np.array([_NO_SAMPLE])

    def batch(self, step: int) -> Batch:
        return self._job.make_batch(step, self._current)

    def close(self) -> None:
        pass


class _WorkerMaker:
    """Has processes make batches ahead and takes these over in shared memory."""

    def __init__(self, job: _Job, workers: int, start_step: int) -> None:
        self._job, self._first = job, start_step
        self._current = [SharedArrays({"index": np.array([_NO_SAMPLE])}) for _ in range(workers)]
        self._pipes: list[connection.Connection] = []
        self._processes: list[multiprocessing.process.BaseProcess] = []
        self._stop = weakref.finalize(self, _stop_workers, self._processes, self._pipes)
        # A forked worker would inherit a framework's threads and locks.
        context = multiprocessing.get_context("spawn")
        for worker in range(workers):
            ours, theirs = context.Pipe()
            self._pipes.append(ours)
            arguments = (theirs, job, start_step + worker, workers, self._current[worker])
            process = context.Process(target=_run_worker, args=arguments, daemon=True, name=f"loader-{worker}")
            process.start()
            self._processes.append(process)
            theirs.close()
            for _ in range(_BATCHES_AHEAD):
                ours.send(None)

    def batch(self, step: int) -> Batch:
        worker = (step - self._first) % len(self._pipes)
        pipe = self._pipes[worker]
        try:
            failure = pipe.recv()
            shared = None if failure else SharedArrays.receive(pipe)
        except (EOFError, OSError):
            raise UserError(self._describe_death(worker)) from None
        if failure:
            line, trace = failure
            raise UserError(line) from RuntimeError(f"in a loader worker\n{trace}")
        # If the worker has died after this batch, asking for its next one says so.
        with contextlib.suppress(OSError):
            pipe.send(None)
        return dict(shared)

    def close(self) -> None:
        self._stop()

    def _describe_death(self, worker: int) -> str:
        """Says how a worker ended, and at which sample."""
        process = self._processes[worker]
        process.join(timeout=5)
        code = process.exitcode or 0
        end = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        index = int(self._current[worker]["index"][0])
        place = "between two samples" if index == _NO_SAMPLE else f"at {self._job.describe(index)}"
        return f"a loader worker {end} {place}"


def _stop_workers(processes: list, pipes: list[connection.Connection]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        process.join()
    for pipe in pipes:
        pipe.close()


def _run_worker(pipe: connection.Connection, job: _Job, step: int, stride: int, current: SharedArrays) -> None:
    """Makes a batch for every message in the pipe, until the loader closes it or dies."""
    # The worker has a process group of its own: Ctrl-C is for the trainer alone, which then ends the workers.
    os.setpgid(0, 0)
    cv2.setNumThreads(0)
    try:
        while True:
            pipe.recv()
            try:
                batch = job.make_batch(step, current["index"])
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
