"""`python -m tests.run`: every test, one framework a process; `--quick` leaves out those marked slow.

What follows `--` goes to pytest. The last line counts the tests of all processes.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[1]
FRAMEWORKS = ("numpy", "torch", "jittor", "mindspore")
PATIENCE = 45 * 60  # seconds for one process; one that hangs is a failure


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.run", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="leave out the tests marked slow")
    parser.add_argument("--only", choices=FRAMEWORKS, action="append", help="run this framework's process alone")
    parser.add_argument("pytest", nargs="*", help="arguments for pytest, after --")
    arguments = parser.parse_args()
    total: Counter[str] = Counter()
    failed: list[str] = []
    for framework in arguments.only or FRAMEWORKS:
        counts, names = run(framework, arguments.quick, arguments.pytest)
        total += counts
        failed += names
    print("\n" + "".join(f"FAILED {name}\n" for name in failed), end="")
    print(f"{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped", flush=True)
    return 1 if total["failed"] else 0


def run(framework: str, quick: bool, extra: list[str]) -> tuple[Counter[str], list[str]]:
    """(counts, names of what failed) of one framework's process, which prints as it goes."""
    print(f"\n== {framework} ==", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        command = [sys.executable, "-m", "pytest", "tests", "--framework", framework, f"--junitxml={report}", "-q"]
        command += ["-rs", "--durations=8", "--durations-min=3"]
        # The wings use all cores themselves. A file's tests stay together: they share what is slow to set up.
        command += ["-n", "2", "--dist", "loadscope"] if framework == "numpy" else []
        command += ["-m", "not slow"] if quick else []
        try:
            code = subprocess.run(command + extra, cwd=ROOT, timeout=PATIENCE).returncode
        except subprocess.TimeoutExpired:
            code = -1
        counts, names = read(report, framework)
    if code != 0 and not counts["failed"]:
        counts["failed"] += 1
        names.append(f"{framework}: the process ended with code {code}")
    elif not counts["passed"]:
        counts["failed"] += 1
        names.append(f"{framework}: no test passed")
    print(f"-- {framework}: {time.monotonic() - began:.0f} s, exit code {code}", flush=True)
    return counts, names


def read(report: Path, framework: str) -> tuple[Counter[str], list[str]]:
    """Counts and names out of pytest's report; nothing where the process died before it wrote one."""
    counts: Counter[str] = Counter()
    names = []
    if not report.is_file():
        return counts, names
    for case in ElementTree.parse(report).iter("testcase"):
        outcomes = {child.tag for child in case}
        if outcomes & {"failure", "error"}:
            counts["failed"] += 1
            names.append(f"{framework}: {case.get('classname')}::{case.get('name')}".replace(": ::", ": "))
        elif "skipped" in outcomes:
            counts["skipped"] += 1
        else:
            counts["passed"] += 1
    return counts, names


if __name__ == "__main__":
    sys.exit(main())
