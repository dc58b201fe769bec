"""Several processes that share a batch see what one sees, step by step, and stop together."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from common.data.shapes import forms_of, write_shapes
from common.models import load_settings
from common.training import checkpoints
from common.training.ranks import sum_of_one
from tests.goldens import golden
from tests.wings.rcnn_batch import batch_of_bitmaps, on_ranks

ROOT = Path(__file__).parents[2]
STEPS = 10
# The cascade's norms, of all ranks' regions, and Mask2Former's normalisers show a fault at once.
FEW_STEPS = {"cascade_mask_rcnn_tiny": 3, "mask2former_tiny": 3}
# Norms that stand still: those that train see only their own process's images, but for the cascade's. As such norms
# of first weights keep no value small, pixels must come small themselves. With the model's own deviation the first loss
# of Mask R-CNN is 40, and ten steps make a difference of 2e-2 out of a rounding, also out of that between one thread
# and two; YOLACT's make 8e-5.
STILL = {
    "yolact_tiny": ["preprocessing.deviation=[200, 200, 200]"],
    "mask_rcnn_tiny": ["network.frozen_norm=true", "preprocessing.deviation=[50, 50, 50]"],
    "point_rend_tiny": ["network.frozen_norm=true"],
    # Its norms are over the regions of all processes, and train. Each process pads its own images, which tokens see.
    "cascade_mask_rcnn_tiny": ["augmentation.crop=null", "augmentation.short_sides=[]"],
    # Less to compile: its layers are all alike.
    "mask2former_tiny": ["network.encoder_layers=1", "network.decoder_layers=1", "augmentation.size=64"],
}
CRASHED_RANK = "exit with exception. Error code: -11"  # what MindSpore's launcher says of it
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


def start(command: list[str], data: Path, output: Path, *more: object, model: str = "yolact_tiny") -> subprocess.Popen:
    overrides = ["schedule.log_every=1", "schedule.batch_size=4", "schedule.learning_rate=0.001", *STILL[model]]
    command = [*command, model, "--data", data, "--output", output, "--device", "cpu", *more, *overrides]
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    environment["PYTHONFAULTHANDLER"] = "1"  # where a rank crashes, its log has the lines
    said = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(list(map(str, command)), cwd=ROOT, env=environment, **said)


def losses(output: Path) -> list[dict[str, float]]:
    path = output / "log.jsonl"
    lines = map(json.loads, path.read_text().splitlines() if path.exists() else ())
    return [line["losses"] for line in lines if "losses" in line]


def finished(
    command: list[str], data: Path, output: Path, *more: object, model: str = "yolact_tiny"
) -> list[dict[str, float]]:
    """The losses of a run that has come to its end."""
    before = losses(output)
    process = start(command, data, output, *more, model=model)
    said, _ = process.communicate(timeout=PATIENCE)
    if CRASHED_RANK in said and losses(output) == before:
        # A rank of MindSpore's crashes while it joins the others, in less than one of a hundred starts.
        print(f"started once more, after:\n{said}")
        if not before:
            shutil.rmtree(output, ignore_errors=True)
        process = start(command, data, output, *more, model=model)
        said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said[-3000:]
    return losses(output)


def ranks_of(launched: subprocess.Popen, module: str) -> list[int]:
    """The processes below a launcher that run the module themselves, in the order in which they were started.

    Below each of them are its loader's workers, which in Jittor are forks with the same words.
    """
    found, family = [], {launched.pid}
    for pid in sorted(int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
            parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent in family:
            if module in words and Path(words[0]).name.startswith("python"):
                found.append(pid)
            else:
                family.add(pid)
    return found


@pytest.mark.parametrize(
    ("model", "overrides"),
    [("mask_rcnn_tiny", []), ("point_rend_tiny", []), ("point_rend_tiny", ["network.masks_alone=true"])],
    ids=["Mask R-CNN", "PointRend", "PointRend's masks alone"],
)
def test_the_shares_of_ranks_sum_up(model, overrides, wing):
    """Losses and gradients, without a launcher; the second rank has an image without objects alone."""
    few = ["losses.regions_per_image=32", "rpn.training.total=60", "schedule.batch_size=3"]
    settings = load_settings(model, [*few, *STILL[model], *overrides])
    learner = wing("learner").Learner(settings, "cpu", training=True)
    learner.load_weights({name: golden.weight(name, shape) for name, shape in learner.shapes().items()})

    def step(batch, sum_over_ranks):
        learner.sum_over_ranks = sum_over_ranks
        losses, gradients = learner.gradients(batch)
        return losses | gradients

    whole = step(batch_of_bitmaps(settings), sum_of_one)
    of_ranks = on_ranks(step, [batch_of_bitmaps(settings, images) for images in ((0, 1), (2,))])
    assert of_ranks[1]["masks"] == 0 and whole["masks"] > 0
    for name, value in whole.items():
        scale = max(np.abs(value).max(), 1e-3)
        np.testing.assert_allclose(sum(each[name] for each in of_ranks), value, rtol=0, atol=1e-5 * scale, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("model", STILL)
def test_two_processes_see_what_one_sees(model, framework, tmp_path):
    form = forms_of(load_settings(model).data_kind)
    data = write_shapes(tmp_path / "shapes", images=16, seed=2, val_images=3, **form)
    module = f"{framework}_impl.train"
    steps = FEW_STEPS.get(model, STEPS)
    count = ("--iterations", steps)
    alone = finished([sys.executable, "-m", module], data, tmp_path / "alone", *count, model=model)
    launched = [*launcher(framework, tmp_path / "logs"), module]
    together = finished(launched, data, tmp_path / "together", *count, model=model)
    assert len(alone) == len(together) == steps
    for step, (one, two) in enumerate(zip(alone, together, strict=True)):
        assert two == pytest.approx(one, rel=1e-4, abs=1e-6), f"step {step}"


@pytest.mark.slow
@pytest.mark.parametrize("which", [0, -1], ids=["the first", "the last"])
def test_a_request_to_one_process_stops_them_all(framework, tmp_path, which):
    """None waits for the other: they stop after the same step, of which there is a checkpoint."""
    data = write_shapes(tmp_path / "shapes", images=16, seed=2, val_images=1)
    module, output = f"{framework}_impl.train", tmp_path / "run"
    process = start([*launcher(framework, tmp_path / "logs"), module], data, output, "--skip-test")
    until = time.monotonic() + PATIENCE
    while len(losses(output)) < 2:
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.1)
    ranks = ranks_of(process, module)[-2:]  # MindSpore's scheduler, which trains nothing, is started before them
    assert len(ranks) == 2
    os.kill(ranks[which], signal.SIGTERM)
    said, _ = process.communicate(timeout=120)
    steps = len(losses(output))
    assert checkpoints.existing(output / "checkpoints")[-1].name == f"step_{steps:06d}", said[-3000:]
    more = ("--skip-test", "--iterations", steps + 1, "--resume")
    assert len(finished([*launcher(framework, tmp_path / "more"), module], data, output, *more)) == steps + 1
