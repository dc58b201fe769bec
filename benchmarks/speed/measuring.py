"""Measures what frameworks take for the same work: each has a process of its own, and they are asked in turn."""

import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Protocol

from common.errors import UserError

Figures = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """Something to measure: a call, and its arguments, each time the next one; making these is not measured."""

    call: Callable[[Any], Any]
    given: Iterator[Any]


class Work(Protocol):
    """The work that every framework gets to do. It is sent to their processes, so nothing in it is a framework's.

    title: the size of what is worked on, in words.
    shortest_repetition: seconds; a repetition of something shorter is several calls.
    """

    title: str
    shortest_repetition: float

    def tasks(self, framework: str) -> dict[str, Task]:
        """The tasks in their order, of which the first answers with a list of Instances."""


def measure(work: Work, frameworks: Sequence[str], repetitions: int, warmup: int) -> dict[str, Figures]:
    """framework -> its `seconds` and `cpu_seconds` by task, one a repetition, `peak_mib`, `detections`; or `error`."""
    workers = {framework: _Worker(framework, work) for framework in frameworks}
    try:
        # One after the other: they compile, and each with all cores.
        found = {framework: worker.start() for framework, worker in workers.items()}
        running = [framework for framework in frameworks if "error" not in found[framework]]
        tasks = found[running[0]].pop("tasks") if running else []
        for framework in running[1:]:
            del found[framework]["tasks"]
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


def make_table(found: dict[str, Figures]) -> str:
    """A line a task: the first framework's milliseconds, and the ratios of each framework to it."""
    lines, running = split_by_success(found)
    if not running:
        return "\n".join(lines)
    first = running[0]
    heads = "".join(f"{name:>11}{'cpu':>6}" for name in running)
    lines.append(f"{'':<32}{first + ' ms':>13}{heads}")
    for task, seconds in found[first]["seconds"].items():
        ratios = ""
        for name in running:
            wall, cpu = (_ratio(found, name, first, quantity, task) for quantity in ("seconds", "cpu_seconds"))
            ratios += f"{wall:>11.2f}{cpu:>6.2f}"
        lines.append(f"{task:<32}{statistics.median(seconds) * 1e3:>13.1f}{ratios}")
    for title, key in (("peak memory, MiB", "peak_mib"), ("detections", "detections")):
        lines.append(f"{title:<45}" + "".join(f"{found[name][key]:>11.0f}{'':>6}" for name in running).rstrip())
    return "\n".join(lines)


def split_by_success(found: dict[str, Figures]) -> tuple[list[str], list[str]]:
    """A line for each framework that did not run, and the names of those that did."""
    running = [framework for framework in found if "error" not in found[framework]]
    return [f"not run: {name}: {found[name]['error']}" for name in found if name not in running], running


def _ratio(found: dict[str, Figures], name: str, first: str, quantity: str, task: str) -> float:
    """The median over the rounds of a framework's time to the first framework's."""
    pairs = zip(found[name][quantity][task], found[first][quantity][task], strict=True)
    return statistics.median(mine / its for mine, its in pairs)


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
    connection.send({"detections": len(answers[0][0].scores), "tasks": list(tasks)})
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


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _report(text: str) -> None:
    print(f"{text} ...", file=sys.stderr, flush=True)
