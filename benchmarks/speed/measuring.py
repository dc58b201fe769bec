"""Measures what frameworks take for the same work: each has a process of its own, and they are asked in turn."""

import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Protocol

from common.errors import UserError

Figures = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """Something to measure: a call, and its arguments, each time the next one; making these is not measured.

    facts: what a table says of the task beside its times, such as the size of the batch.
    """

    call: Callable[[Any], Any]
    given: Iterator[Any]
    facts: dict[str, Any] = field(default_factory=dict)


class Work(Protocol):
    """The work that every framework gets to do. It is sent to their processes, so nothing in it is a framework's.

    title: the size of what is worked on, in words.
    shortest_repetition: seconds; a repetition of something shorter is several calls.
    """

    title: str
    shortest_repetition: float

    def tasks(self, framework: str) -> dict[str, Task]:
        """The tasks by their titles, in their order, of which the first answers with a list of Instances."""


def measure(work: Work, frameworks: Sequence[str], repetitions: int, warmup: int) -> dict[str, Figures]:
    """framework -> what was measured in it: its figures, or the one entry `error` where it did not run.

    The figures are `seconds` and `cpu_seconds` by task, one for each repetition; the tasks' `facts`; the `threads` that
    a framework may use, the `peak_mib` of memory that its process took, and the `detections` that the first task found.
    """
    workers = {framework: _Worker(framework, work) for framework in frameworks}
    try:
        # One after the other: they compile, and each with all cores.
        found = {framework: worker.start() for framework, worker in workers.items()}
        running = [framework for framework in frameworks if "error" not in found[framework]]
        # How many objects a model finds may differ by rounding, and with it what can be measured.
        known = [found[framework]["facts"] for framework in running]
        tasks = [task for task in known[0] if all(task in each for each in known)] if running else []
        for round_ in range(warmup + repetitions):
            for task in tasks:
                for framework in running:
                    for quantity, value in workers[framework].ask(task).items():
                        if round_ >= warmup:
                            found[framework].setdefault(quantity, {}).setdefault(task, []).append(value)
            _report(f"round {round_ + 1} of {warmup + repetitions}")
        for framework in running:
            found[framework]["peak_mib"] = workers[framework].ask("peak_mib")
    finally:
        for worker in workers.values():
            worker.stop()
    return found


class _Worker:
    """A framework's process, seen from outside: it does one task when it is asked, and answers with the time."""

    def __init__(self, framework: str, work: Work):
        self.framework = framework
        self._work = work
        self._process = None

    def start(self) -> Figures:
        """Waits until it has done everything once."""
        _report(f"{self.framework} starts and compiles")
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, self.framework, self._work), daemon=True)
        self._process.start()
        other.close()
        return self._answer()

    def ask(self, task: str) -> Any:
        self._connection.send(task)
        return self._answer()

    def stop(self) -> None:
        if self._process is not None:
            self._connection.close()
            self._process.join(5)
            self._process.kill()

    def _answer(self) -> Any:
        try:
            return self._connection.recv()
        except EOFError:
            self._process.join()
            raise UserError(f"{self.framework}'s process ended with code {self._process.exitcode}") from None


def _serve(connection: Connection, framework: str, work: Work) -> None:
    """The worker's side; it ends when the other does."""
    try:
        tasks = work.tasks(framework)
    except UserError as error:
        connection.send({"error": str(error)})
        return
    answers = [task.call(next(task.given)) for task in tasks.values()]
    facts = {name: task.facts for name, task in tasks.items()}
    connection.send({"detections": len(answers[0][0].scores), "facts": facts, "threads": _threads()})
    try:
        while True:
            name = connection.recv()
            connection.send(_peak_mib() if name == "peak_mib" else _timed(tasks[name], work.shortest_repetition))
    except (EOFError, KeyboardInterrupt):
        return


def _timed(task: Task, shortest: float) -> dict[str, float]:
    """The seconds of a call, on average over a repetition."""
    calls, seconds, cpu_seconds = 0, 0.0, 0.0
    while calls == 0 or seconds < shortest:
        given = next(task.given)
        began, cpu_began = time.perf_counter(), time.process_time()
        task.call(given)
        seconds += time.perf_counter() - began
        cpu_seconds += time.process_time() - cpu_began
        calls += 1
    return {"seconds": seconds / calls, "cpu_seconds": cpu_seconds / calls}


def _threads() -> int:
    """The threads that a framework computes with: what OMP_NUM_THREADS says, or else one for each core."""
    return int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _report(text: str) -> None:
    print(f"{text} ...", file=sys.stderr, flush=True)
