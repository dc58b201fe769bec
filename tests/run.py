"""`python -m tests.run`: every test, a process for each framework and group; `--quick` leaves out the slow ones.

The quick tests keep so little that a framework runs all of its groups in one process, and starts once. MindSpore, which
compiles a network anew for each learner and each shape, runs them as Python but for the tests marked `compiled`.

Two processes run side by side. Jittor compiles its kernels one after the other, under a lock that all its processes
share, so one of the two runs Jittor's processes and the other one the rest. What follows `--` goes to pytest. The last
line counts the tests of all processes.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from common.errors import run_command
from tests.groups import FRAMEWORKS, groups
from tests.touched import Process, changed_files, choose

ROOT = Path(__file__).parents[1]
PATIENCE = 75 * 60  # seconds for one process; one that hangs is a failure
NO_TESTS = 5  # pytest's exit code where what follows `--` leaves none of a group
SLOWEST = 10  # tests that are listed at the end

_printing = threading.Lock()


@dataclass
class Outcome:
    """What one process found: how many tests ended how, the names of those that failed, the seconds of each by name."""

    counts: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def fail(self, name: str) -> None:
        """Counts a failure that is no test's."""
        self.counts["failed"] += 1
        self.failed.append(name)

    def add(self, other: "Outcome") -> None:
        self.counts += other.counts
        self.failed += other.failed
        self.seconds |= other.seconds


def main() -> int:
    arguments = _parser().parse_args()
    frameworks = arguments.only or FRAMEWORKS
    processes = choose_processes(frameworks, arguments.group, arguments.quick)
    files = {process: [] for process in processes}  # all: pytest's testpaths
    if arguments.touched is not None:
        changed = changed_files(arguments.touched)
        files = choose(changed, processes)
        print(f"{len(changed)} changed files reach")
        print("".join(f"  {process}: {' '.join(found)}\n" for process, found in files.items()) or "  no test")
    total = Outcome()
    outcomes = run_all(files, arguments.quick, arguments.pytest)
    for outcome in outcomes.values():
        total.add(outcome)
    for framework in frameworks:
        counts = sum((each.counts for process, each in outcomes.items() if process.framework == framework), Counter())
        if not counts["passed"] and not counts["failed"] and arguments.touched is None:
            total.fail(f"{framework}: no test passed")
    slowest = sorted(total.seconds.items(), key=lambda each: -each[1])[:SLOWEST]
    print("\nslowest:\n" + "".join(f"{seconds:7.1f} s  {name}\n" for name, seconds in slowest), end="")
    print("\n" + "".join(f"FAILED {name}\n" for name in total.failed), end="")
    counts = total.counts
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped", flush=True)
    return 1 if counts["failed"] else 0


def choose_processes(frameworks: Sequence[str], chosen_groups: Sequence[str] | None, quick: bool) -> list[Process]:
    """The processes of some frameworks: one for each chosen group, else one for each group or, if `quick`, for all.

    NumPy's tests are neutral: they keep nothing, and share their work among processes of their own.
    """
    in_wings = chosen_groups or ([None] if quick else groups())
    return [
        Process(framework, group)
        for framework in frameworks
        for group in ([None] if framework == "numpy" else in_wings)
    ]


def run_all(files: dict[Process, list[str]], quick: bool, extra: Sequence[str]) -> dict[Process, Outcome]:
    """The outcome of every process, two at a time and never two of Jittor; without files a process runs all tests.

    NumPy's comes last, for it alone keeps both cores busy when nothing else is left.
    """
    jittor = deque(process for process in files if process.framework == "jittor")
    rest = [process for process in files if process.framework != "jittor"]
    others = deque(sorted(rest, key=lambda process: process.framework == "numpy"))
    lanes = [lane for lane in ([jittor, others], [others]) if any(lane)] if len(files) > 1 else [[jittor, others]]
    outcomes: dict[Process, Outcome] = {}

    def work(lane: list[deque[Process]]) -> None:
        while waiting := next(filter(None, lane), None):
            try:
                process = waiting.popleft()
            except IndexError:  # the other lane was faster
                continue
            outcomes[process] = run(process, files[process], quick, extra)

    with ThreadPoolExecutor(len(lanes)) as pool:
        list(pool.map(work, lanes))
    return {process: outcomes[process] for process in files}


def run(process: Process, files: Sequence[str], quick: bool, extra: Sequence[str]) -> Outcome:
    """Runs one process and prints what it printed."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report, printed = Path(folder, "report.xml"), Path(folder, "printed.txt")
        command = [sys.executable, "-m", "pytest", *files, "--framework", process.framework, f"--junitxml={report}"]
        command += ["-q", "-rs", "--durations=8", "--durations-min=3"]
        command += ["--group", process.group] if process.group else []
        # A file's tests stay together: they share what is slow to set up.
        command += ["-n", "2", "--dist", "loadscope"] if process.framework == "numpy" else []
        command += ["-m", "not slow"] if quick else []
        # Both lanes use all cores, for a sum's last digits depend on how many threads share it. A thread that waits for
        # the others must not keep a core from the other lane.
        environment = {"OMP_WAIT_POLICY": "PASSIVE"} | ({"MS_JIT": "0"} if quick else {}) | os.environ
        with printed.open("wb") as output:
            streams = {"stdout": output, "stderr": subprocess.STDOUT}
            started = subprocess.Popen([*command, *extra], cwd=ROOT, env=environment, **streams)
            code, peak = wait_for(started)
        outcome = read(report, str(process))
        text = printed.read_text(errors="replace")
    if code not in (0, NO_TESTS) and not outcome.counts["failed"]:
        outcome.fail(f"{process}: the process ended with code {code}")
    seconds = time.monotonic() - began
    with _printing:
        print(f"\n== {process} ==\n{text}", end="")
        print(f"-- {process}: {seconds:.0f} s, at most {peak:.1f} GiB, exit code {code}", flush=True)
    return outcome


def wait_for(process: subprocess.Popen) -> tuple[int, float]:
    """The exit code of a process, -1 for one that had to be ended, and the most memory that it held, in GiB."""
    ending = threading.Timer(PATIENCE, process.kill)
    ending.start()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    ending.cancel()
    return (process.returncode if process.returncode >= 0 else -1), usage.ru_maxrss / 2**20


def read(report: Path, process: str) -> Outcome:
    """The outcome out of pytest's report; nothing where the process died before it wrote one."""
    outcome = Outcome()
    if not report.is_file():
        return outcome
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{process}: {case.get('classname')}::{case.get('name')}".replace(": ::", ": ")
        outcome.seconds[name] = float(case.get("time", 0))
        outcomes = {child.tag for child in case}
        if outcomes & {"failure", "error"}:
            outcome.fail(name)
        elif "skipped" in outcomes:
            outcome.counts["skipped"] += 1
        else:
            outcome.counts["passed"] += 1
    return outcome


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.run", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="leave out the tests marked slow")
    parser.add_argument(
        "--touched",
        nargs="?",
        const="main",
        metavar="BASE",
        help="only test files that what has changed since BASE (default: main), committed or not, has to do with",
    )
    parser.add_argument("--only", choices=FRAMEWORKS, action="append", help="run this framework's processes alone")
    parser.add_argument("--group", choices=groups(), action="append", help="of the wings' tests this group alone")
    parser.add_argument("pytest", nargs="*", help="arguments for pytest, after --")
    return parser


if __name__ == "__main__":
    run_command(lambda: sys.exit(main()))
