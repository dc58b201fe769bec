"""`python -m tests.run`: every test, a process for each framework and model family; `--quick` leaves out the slow ones.

What follows `--` goes to pytest. The last line counts the tests of all processes.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

from tests.groups import groups

ROOT = Path(__file__).parents[1]
FRAMEWORKS = ("numpy", "torch", "jittor", "mindspore")
PATIENCE = 45 * 60  # seconds for one process; one that hangs is a failure
NO_TESTS = 5  # pytest's exit code where what follows `--` leaves none of a group


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.run", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="leave out the tests marked slow")
    parser.add_argument("--only", choices=FRAMEWORKS, action="append", help="run this framework's processes alone")
    parser.add_argument("--group", choices=groups(), action="append", help="of the wings' tests this group alone")
    parser.add_argument("pytest", nargs="*", help="arguments for pytest, after --")
    arguments = parser.parse_args()
    total: Counter[str] = Counter()
    failed: list[str] = []
    for framework in arguments.only or FRAMEWORKS:
        counts: Counter[str] = Counter()
        # NumPy's tests are neutral; they keep nothing, and share their work among processes of their own.
        for group in [None] if framework == "numpy" else arguments.group or groups():
            found, names = run(framework, group, arguments.quick, arguments.pytest)
            counts += found
            failed += names
        if not counts["passed"] and not counts["failed"]:
            counts["failed"] += 1
            failed.append(f"{framework}: no test passed")
        total += counts
    print("\n" + "".join(f"FAILED {name}\n" for name in failed), end="")
    print(f"{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped", flush=True)
    return 1 if total["failed"] else 0


def run(framework: str, group: str | None, quick: bool, extra: list[str]) -> tuple[Counter[str], list[str]]:
    """(counts, names of what failed) of one process, which prints as it goes."""
    process = framework if group is None else f"{framework} {group}"
    print(f"\n== {process} ==", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        command = [sys.executable, "-m", "pytest", "tests", "--framework", framework, f"--junitxml={report}", "-q"]
        command += ["-rs", "--durations=8", "--durations-min=3"]
        # The wings use all cores themselves. A file's tests stay together: they share what is slow to set up.
        command += ["-n", "2", "--dist", "loadscope"] if group is None else ["--group", group]
        command += ["-m", "not slow"] if quick else []
        code, peak = wait_for(subprocess.Popen(command + extra, cwd=ROOT))
        counts, names = read(report, process)
    if code not in (0, NO_TESTS) and not counts["failed"]:
        counts["failed"] += 1
        names.append(f"{process}: the process ended with code {code}")
    print(f"-- {process}: {time.monotonic() - began:.0f} s, at most {peak:.1f} GiB, exit code {code}", flush=True)
    return counts, names


def wait_for(process: subprocess.Popen) -> tuple[int, float]:
    """The exit code of a process, -1 for one that had to be ended, and the most memory that it held, in GiB."""
    ending = threading.Timer(PATIENCE, process.kill)
    ending.start()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    ending.cancel()
    return (process.returncode if process.returncode >= 0 else -1), usage.ru_maxrss / 2**20


def read(report: Path, process: str) -> tuple[Counter[str], list[str]]:
    """Counts and names out of pytest's report; nothing where the process died before it wrote one."""
    counts: Counter[str] = Counter()
    names = []
    if not report.is_file():
        return counts, names
    for case in ElementTree.parse(report).iter("testcase"):
        outcomes = {child.tag for child in case}
        if outcomes & {"failure", "error"}:
            counts["failed"] += 1
            names.append(f"{process}: {case.get('classname')}::{case.get('name')}".replace(": ::", ": "))
        elif "skipped" in outcomes:
            counts["skipped"] += 1
        else:
            counts["passed"] += 1
    return counts, names


if __name__ == "__main__":
    sys.exit(main())
