"""A wing's commands as somebody calls them: from data to results; and what is wrong is one line and exit code 2."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from common.commands import evaluate, predict, train
from common.data.coco import resolve
from common.data.shapes import write_shapes

ROOT = Path(__file__).parents[2]
WRONG = {
    "train": ["--data=absent", "--output=run"],
    "evaluate": ["--data=absent", "--weights=absent.pth", "--output=results"],
    "predict": ["absent.png", "--weights=absent.pth", "--output=out.png"],
    "trace": ["--inputs=absent.npz", "--weights=absent.pth", "--outputs=out.npz"],
}


@pytest.mark.parametrize("command", WRONG)
def test_bad_input_is_one_line(framework, tmp_path, command):
    program = [sys.executable, "-m", f"{framework}_impl.{command}", "yolact_tiny", *WRONG[command]]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(program, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert "absent" in done.stderr and not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def shapes(tmp_path_factory) -> Path:
    return write_shapes(tmp_path_factory.mktemp("data") / "shapes", images=4, seed=3, val_images=3)


def test_mask_rcnn_is_trained_evaluated_and_put_to_work(framework, tmp_path, shapes, capsys):
    """Two steps find nothing worth it; that they run through, and that every image is answered, is what counts."""
    run, found = tmp_path / "run", tmp_path / "found"
    given = ["mask_rcnn_tiny", "--device=cpu"]
    data = [f"--data={shapes}", "--workers=0"]
    train.main(framework, [*given, *data, f"--output={run}", "--iterations=2", "--batch-size=2", "--skip-test"])
    losses = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert all(np.isfinite(value) for line in losses for value in line.values() if isinstance(value, float))
    weights = f"--weights={run / 'weights.safetensors'}"
    settings = ["detection.score_threshold=0.0"]
    evaluate.main(framework, [*given, *data, weights, f"--output={tmp_path}", "--batch-size=2", *settings])
    assert "mask AP (COCO segm" in capsys.readouterr().out
    results = json.loads((tmp_path / "mask_results.json").read_text())
    assert {entry["image_id"] for entry in results} == set(resolve(shapes, "val").image_ids.tolist())
    assert {entry["category_id"] for entry in results} <= set(resolve(shapes, "val").category_ids)
    predict.main(framework, [*given, weights, str(shapes / "val"), f"--output={found}", "--save=npz", *settings])
    arrays = [np.load(path) for path in sorted(found.iterdir())]
    assert len(arrays) == 3 and all(each["masks"].shape[1:] == (128, 160) for each in arrays)
