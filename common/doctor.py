"""`python -m common.doctor`: what this machine has for the three wings, and the commands that mend what it lacks.

One line a framework, each asked in a process of its own (two frameworks in one process crash). Never fails itself.
"""

import argparse
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version

WINGS = {"torch": "PyTorch", "jittor": "Jittor", "mindspore": "MindSpore"}
PATIENCE = 300  # seconds; a framework that answers later than that is reported as such


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m common.doctor",
        description="Says for each framework its version, its device, what is missing or slow, and how to mend it.",
        epilog="Example: python -m common.doctor",
    )
    parser.parse_args()
    print(f"{'TriSeg':<11}{describe_machine()}")
    for framework, name in WINGS.items():
        print(f"{name:<11}{describe_framework(framework)}", flush=True)


def describe_machine() -> str:
    """The line about Python, the compiler and the cores."""
    try:
        installed = f"{version('triseg')}, "
    except PackageNotFoundError:
        installed = ""  # run from a clone that was not installed
    return f"{installed}Python {platform.python_version()}, {_compiler()}, {os.cpu_count()} cores"


def describe_framework(framework: str) -> str:
    """The line about one framework."""
    if importlib.util.find_spec(framework) is None:
        return f'not installed (pip install ".[{framework}]")'
    question = f"import json; from {framework}_impl import device; print(); print(json.dumps(device.describe()))"
    try:
        answer = subprocess.run(
            [sys.executable, "-c", question], capture_output=True, text=True, errors="replace", timeout=PATIENCE
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"broken: {error}"
    if answer.returncode != 0:
        return f"broken: {_last_line(answer.stderr) or f'its process ended with code {answer.returncode}'}"
    try:
        return _describe_answer(json.loads(_last_line(answer.stdout)))
    except (ValueError, KeyError):
        return f"broken: it answered {_last_line(answer.stdout)!r}"


def _describe_answer(answer: dict) -> str:
    """The line about a framework whose wing has answered what it runs on, what works and what it lacks."""
    lacks = [f"{lack} ({command})" if command else lack for lack, command in answer["lacks"].items()]
    return "; ".join([f"{answer['version']} on {answer['device']}", *answer["works"], *lacks])


def _compiler() -> str:
    """The C++ compiler and its version, or the command that installs it."""
    path = shutil.which("g++")
    if path is None:
        return "no g++ (apt-get install g++)"
    answer = subprocess.run([path, "-dumpfullversion"], capture_output=True, text=True)
    return f"g++ {answer.stdout.strip()}"


def _last_line(text: str) -> str:
    """The last line that is not blank; empty where there is none."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""


if __name__ == "__main__":
    main()
