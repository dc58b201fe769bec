"""Two processes that share a batch see what one sees: the same losses, step by step."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from common.data.shapes import write_shapes

ROOT = Path(__file__).parents[2]
STEPS = 4
PATIENCE = 900  # seconds; Jittor compiles its operators for MPI the first time


def launcher(framework: str, logs: Path) -> list[str]:
    """What stands before the module's name to start two processes of it."""
    scripts = Path(sys.executable).parent
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    if framework == "torch":
        return [str(scripts / "torchrun"), "--nproc_per_node=2", f"--master_port={port}", "-m"]
    if framework == "mindspore":
        workers = ["--worker_num=2", "--local_worker_num=2", "--master_addr=127.0.0.1", f"--master_port={port}"]
        return [str(scripts / "msrun"), *workers, f"--log_dir={logs}", "--join=True", "python", "-m"]
    if shutil.which("mpirun") is None:
        pytest.skip("Jittor's ranks are started by mpirun: apt-get install openmpi-bin libopenmpi-dev")
    return ["mpirun", "--allow-run-as-root", "--oversubscribe", "-np", "2", sys.executable, "-m"]


def losses(command: list[str], data: Path, output: Path) -> list[dict[str, float]]:
    # Norms that stand still: those that train see only their own process's images.
    overrides = ["schedule.log_every=1", "schedule.batch_size=4", "schedule.learning_rate=0.001"]
    command = [*command, "yolact_tiny", "--data", data, "--output", output, "--iterations", STEPS, "--device", "cpu"]
    command = list(map(str, [*command, *overrides]))
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    lines = map(json.loads, (output / "log.jsonl").read_text().splitlines())
    return [line["losses"] for line in lines if "losses" in line]


@pytest.mark.slow
def test_two_processes_see_what_one_sees(framework, tmp_path):
    data = write_shapes(tmp_path / "shapes", images=16, seed=2, val_images=1)
    module = f"{framework}_impl.train"
    alone = losses([sys.executable, "-m", module], data, tmp_path / "alone")
    together = losses([*launcher(framework, tmp_path / "logs"), module], data, tmp_path / "together")
    assert len(alone) == len(together) == STEPS
    for step, (one, two) in enumerate(zip(alone, together, strict=True)):
        assert two == pytest.approx(one, rel=1e-4, abs=1e-6), f"step {step}"
