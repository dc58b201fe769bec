"""From the same seed the three train commands see the same batches and log the same losses."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from common.data.shapes import write_shapes

ROOT = Path(__file__).parents[1]
REAL = ROOT.parent / "shared" / "data"
FRAMEWORKS = ("torch", "jittor", "mindspore")
STEPS = 20
# Norms stand still, YOLACT's because a batch is small. Trained on few images from random weights they multiply what
# rounding leaves by ten a step, in any two of the frameworks and from one order of summing to another in the same.
MODELS = {
    # From its warm-up's 1e-4 on rounding grows by thousands in ten steps, also between one and two threads of PyTorch.
    "yolact_tiny": ["schedule.learning_rate=0.00003", "schedule.warmup_iterations=0"],
    # Where two boxes overlap by just a threshold, rounding decides, and an image trains on another proposal among 64:
    # a jump of a thousandth. It comes once in hundreds of steps while weights that hardly move keep rounding small.
    # Without norms images need a deviation of about one.
    "mask_rcnn_tiny": [
        "schedule.learning_rate=0.0001",
        "network.frozen_norm=true",
        "preprocessing.deviation=[58.4,57.1,57.4]",
    ],
    "cascade_mask_rcnn_tiny": ["schedule.learning_rate=0.0001", "network.frozen_norm=true"],
    # At 1e-4 rounding pairs a query with another segment after some steps, and a term jumps by thousandths.
    "mask2former_tiny": ["schedule.learning_rate=0.00003"],
    "pose2seg_tiny": ["schedule.learning_rate=0.0001", "network.frozen_norm=true"],
}


def data_root(data: str, model: str, folder: Path) -> Path:
    """The folder of real images of this name where that is at hand, else a synthetic set."""
    if (REAL / data).is_dir():
        return REAL / data
    if data == "coco_panoptic":
        return write_shapes(folder / "shapes", images=40, seed=1, val_images=2, stuff=True)
    return write_shapes(folder / "shapes", images=40, seed=1, val_images=2, persons=model == "pose2seg_tiny")


def losses(model: str, framework: str, data: Path, output: Path) -> list[dict[str, float]]:
    command = [sys.executable, "-m", f"{framework}_impl.train", model, "--data", data, "--output", output]
    overrides = ["schedule.log_every=1", "schedule.batch_size=4", *MODELS[model]]
    command += ["--iterations", STEPS, "--seed", 5, "--device", "cpu", *overrides]
    done = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = map(json.loads, (output / "log.jsonl").read_text().splitlines())
    return [line["losses"] for line in lines if "losses" in line]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "data"),
    [
        ("yolact_tiny", "coco_persons"),
        ("mask_rcnn_tiny", "coco_persons"),
        ("pose2seg_tiny", "coco_persons"),
        ("cascade_mask_rcnn_tiny", "synthetic"),
        ("pose2seg_tiny", "ochuman"),
        ("mask2former_tiny", "coco_panoptic"),
    ],
)
def test_losses_of_twenty_steps_agree(model, data, tmp_path):
    root = data_root(data, model, tmp_path)
    runs = {framework: losses(model, framework, root, tmp_path / framework) for framework in FRAMEWORKS}
    for framework in FRAMEWORKS:
        assert len(runs[framework]) == STEPS, framework
        for step, (here, there) in enumerate(zip(runs[framework], runs["torch"], strict=True)):
            assert here == pytest.approx(there, rel=1e-3, abs=1e-5), f"{framework}, step {step}"
    first, last = (sum(runs["torch"][step].values()) for step in (0, -1))
    assert last < first, "nothing was learned"
