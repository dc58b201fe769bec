"""`python -m benchmarks.gpu OUT`: what only a CUDA machine can tell, in a few minutes; needs a clone of the project.

Golden cases, the array contract's operators, training and resuming are held against the CPU's numbers with TF32 off;
then the models' speed is measured, beside torchvision's Mask R-CNN, and what an inference does is counted. Each part is
a process of its own, so that one that breaks leaves the others, and the last ones are left out when time is short.
OUT gets results.json, page.md and log.txt. Without a GPU it says what it skipped; `--device cpu --small` tries it out.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.gpu.page import DONE, Results, has_failed, page
from benchmarks.gpu.parts import MACHINE, PARTS, Part
from common.errors import UserError, run_command
from common.files import atomic_path

EXAMPLES = """
examples:
  python -m benchmarks.gpu gpu
  python -m benchmarks.gpu gpu --parts goldens,operators --minutes 3
  python -m benchmarks.gpu gpu --device cpu --small
"""
CORES_A_PART = 3
EMPTY: dict[str, Any] = {"checks": [], "tables": {}, "notes": [], "errors": [], "details": {}}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description=__doc__.partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=EXAMPLES.strip(),
    )
    add = parser.add_argument
    add("output", type=Path, metavar="OUT", help="folder for the results")
    add("--minutes", type=float, default=8.0, help="parts that find no time in so many are left out (default: 8)")
    add("--device", choices=("cuda", "cpu"), default="cuda")
    add("--parts", type=_chosen_parts, default=PARTS, metavar="A,B", help="default: all")
    add("--small", action="store_true", help="tiny models and few repetitions")
    arguments = parser.parse_args()
    run = Run(arguments.output, arguments.minutes, arguments.device, arguments.small)
    run.all(arguments.parts)
    print(page(run.results))
    sys.exit(1 if has_failed(run.results) else 0)


def _chosen_parts(text: str) -> tuple[Part, ...]:
    names = text.split(",")
    known = [part.name for part in PARTS]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UserError(f"--parts {unknown[0]}: there are {', '.join(known)}")
    return tuple(part for part in PARTS if part.name in names)


class Run:
    """Runs parts in their processes and keeps the results on disk as they come."""

    def __init__(self, output: Path, minutes: float, device: str, small: bool):
        self.output = output
        self._began = time.monotonic()
        self._writing = threading.Lock()
        self.results: Results = {"minutes": minutes, "device": device, "small": small, "seconds": 0.0, "parts": {}}
        output.mkdir(parents=True, exist_ok=True)
        self._log = (output / "log.txt").open("w")

    def all(self, parts: tuple[Part, ...]) -> None:
        """The machine first; then what compares numbers, side by side; then what measures time, one after the other."""
        with tempfile.TemporaryDirectory(prefix="triseg-gpu-") as folder:
            self._one(MACHINE, Path(folder), 1)
            wanted = [part for part in parts if part is not MACHINE]
            if self.results["device"] == "cuda" and not self._machine_has_gpu():
                for part in wanted:
                    self._store(part, EMPTY | {"state": "skipped: PyTorch sees no GPU here", "seconds": 0.0})
                return
            together = [part for part in wanted if not part.alone]
            cores = len(os.sched_getaffinity(0))
            beside = max(1, min(len(together), cores // CORES_A_PART))
            with ThreadPoolExecutor(beside) as pool:
                list(pool.map(lambda part: self._one(part, Path(folder), cores // beside), together))
            for part in wanted:
                if part.alone:
                    self._one(part, Path(folder), cores)

    def _machine_has_gpu(self) -> bool:
        return bool(self.results["parts"][MACHINE.name]["details"].get("gpu"))

    def _one(self, part: Part, folder: Path, threads: int) -> None:
        # What the machine is has to be known in any case.
        left = part.most if part is MACHINE else 60 * self.results["minutes"] - self._seconds()
        if left < part.least:
            self._store(part, EMPTY | {"state": "left out: no time left", "seconds": 0.0})
            return
        self._say(f"{part.title} ...")
        began, result = time.monotonic(), folder / f"{part.name}.json"
        command = [sys.executable, "-m", "benchmarks.gpu.worker", part.name, str(result)]
        command += ["--device", self.results["device"], *(["--small"] if self.results["small"] else [])]
        state = self._state_of(command, _environment(part, threads), min(part.most, left))
        found = json.loads(result.read_text()) if result.is_file() else dict(EMPTY)
        if state != DONE:
            found["errors"] = [*found["errors"], state]
        self._store(part, found | {"state": state, "seconds": time.monotonic() - began})

    def _state_of(self, command: list[str], environment: dict[str, str], seconds: float) -> str:
        """Runs a part's process and ends it, with those that it has started, when its time is over."""
        where = {"cwd": Path(__file__).parents[2], "env": environment, "start_new_session": True}
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, **where)
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return "ended: took too long"
        return DONE if code == 0 else f"broke off with code {code}"

    def _store(self, part: Part, found: dict[str, Any]) -> None:
        with self._writing:
            parts = self.results["parts"] | {part.name: {"title": part.title} | found}
            self.results["parts"] = {each.name: parts[each.name] for each in PARTS if each.name in parts}
            self.results["seconds"] = self._seconds()
            with atomic_path(self.output / "results.json") as path:
                path.write_text(json.dumps(self.results, indent=1))
            with atomic_path(self.output / "page.md") as path:
                path.write_text(page(self.results))
        failed = sum(not check["passed"] for check in found["checks"])
        self._say(
            f"{part.title}: {found['state']}, {len(found['checks'])} checks, {failed} failed, "
            f"{len(found['errors'])} errors, {found['seconds']:.0f} s"
        )

    def _seconds(self) -> float:
        return time.monotonic() - self._began

    def _say(self, text: str) -> None:
        print(f"[{self._seconds():5.0f} s] {text}", file=sys.stderr, flush=True)


def _environment(part: Part, threads: int) -> dict[str, str]:
    """TF32 is off, in processes that a part starts too, where it does not say otherwise."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    if part.tf32:
        environment.pop("NVIDIA_TF32_OVERRIDE", None)
    else:
        environment["NVIDIA_TF32_OVERRIDE"] = "0"
    return environment


if __name__ == "__main__":
    run_command(main)
