"""One part in a process of its own: `python -m benchmarks.gpu.worker PART RESULT.json --device cuda`."""

import argparse
import importlib
import tempfile
from pathlib import Path

from benchmarks.gpu.parts import PARTS, Job
from benchmarks.gpu.report import Report


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.worker", description=__doc__)
    parser.add_argument("part", choices=[part.name for part in PARTS])
    parser.add_argument("result", type=Path)
    parser.add_argument("--device", required=True)
    parser.add_argument("--small", action="store_true")
    arguments = parser.parse_args()
    part = next(part for part in PARTS if part.name == arguments.part)
    report = Report(arguments.result)
    with tempfile.TemporaryDirectory(prefix="triseg-gpu-") as folder, report.attempt(part.name):
        job = Job(part.subject, arguments.device, arguments.small, Path(folder))
        importlib.import_module(f"benchmarks.gpu.{part.module}").run(job, report)


if __name__ == "__main__":
    main()
