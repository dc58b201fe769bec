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
from common.errors import UserError
from tests.frameworks import wing_of

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


@pytest.mark.slow
def test_mask_rcnn_is_trained_evaluated_and_put_to_work(framework, tmp_path, shapes, capsys):
    """Two steps find nothing worth it; that they run through, and that every image is answered, is what counts."""
    run, found = tmp_path / "run", tmp_path / "found"
    wing, given = wing_of(framework), ["mask_rcnn_tiny", "--device=cpu"]
    data = [f"--data={shapes}", "--workers=0"]
    train.main(wing, [*given, *data, f"--output={run}", "--iterations=2", "--batch-size=2", "--skip-test"])
    losses = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert all(np.isfinite(value) for line in losses for value in line.values() if isinstance(value, float))
    weights = f"--weights={run / 'weights.safetensors'}"
    settings = ["detection.score_threshold=0.0"]
    evaluate.main(wing, [*given, *data, weights, f"--output={tmp_path}", "--batch-size=2", *settings])
    assert "mask AP (COCO segm" in capsys.readouterr().out
    results = json.loads((tmp_path / "mask_results.json").read_text())
    assert {entry["image_id"] for entry in results} == set(resolve(shapes, "val").image_ids.tolist())
    assert {entry["category_id"] for entry in results} <= set(resolve(shapes, "val").category_ids)
    predict.main(wing, [*given, weights, str(shapes / "val"), f"--output={found}", "--save=npz", *settings])
    arrays = [np.load(path) for path in sorted(found.iterdir())]
    assert len(arrays) == 3 and all(each["masks"].shape[1:] == (128, 160) for each in arrays)


@pytest.fixture
def persons(tmp_path) -> Path:
    """The first image of a split has nobody, the next three have persons with 0, 1 and 2 key points."""
    root = write_shapes(tmp_path / "persons", images=5, seed=3, val_images=5, size=(64, 80), persons=True)
    for split in ("train", "val"):
        path = root / f"annotations/person_keypoints_{split}.json"
        whole = json.loads(path.read_text())
        images = [each["id"] for each in whole["images"]]
        whole["annotations"] = [each for each in whole["annotations"] if each["image_id"] != images[0]]
        for each in whole["annotations"]:
            if (count := images.index(each["image_id"]) - 1) < 3:
                each["num_keypoints"] = count
                each["keypoints"] = [20.0, 30.0, 2, 25.0, 40.0, 1][: 3 * count] + [0] * (51 - 3 * count)
        path.write_text(json.dumps(whole))
    return root


@pytest.mark.slow
def test_pose2seg_takes_persons_of_hardly_any_key_points(framework, tmp_path, persons, capsys):
    run, found = tmp_path / "run", tmp_path / "found"
    wing, given = wing_of(framework), ["pose2seg_tiny", "--device=cpu"]
    small = ["preprocessing.size=64", "network.align_size=32"]
    data = [f"--data={persons}", "--workers=0", *small]
    shown = resolve(persons, "val", "person_keypoints")
    train.main(wing, [*given, *data, f"--output={run}", "--iterations=2", "--batch-size=4", "--skip-test"])
    losses = [json.loads(line)["losses"]["mask"] for line in (run / "log.jsonl").read_text().splitlines()]
    assert losses and np.isfinite(losses).all()

    weights = f"--weights={run / 'weights.safetensors'}"
    evaluate.main(wing, [*given, *data, weights, f"--output={tmp_path}", "--batch-size=3"])
    assert "mask AP (COCO segm" in capsys.readouterr().out
    results = json.loads((tmp_path / "mask_results.json").read_text())
    annotations = json.loads(shown.annotations.read_text())["annotations"]
    assert [each["image_id"] for each in results] == [each["image_id"] for each in annotations]

    images, keypoints = persons / "val", f"--keypoints={shown.annotations}"
    predict.main(wing, [*given, weights, str(images), keypoints, f"--output={found}", "--save=npz", *small])
    counts = [len(np.load(path)["scores"]) for path in sorted(found.iterdir())]
    assert counts == [sum(each["image_id"] == image for each in annotations) for image in shown.image_ids]
    assert counts[0] == 0

    strangers = tmp_path / "strangers.json"
    strangers.write_text(json.dumps([{"image_id": 7, "keypoints": [1.0] * 51}]))
    with pytest.raises(UserError, match=r"strangers\.json: none of its 1 image ids \(7, \.\.\.\) is in "):
        evaluate.main(wing, [*given, *data, weights, f"--keypoints={strangers}"])
    with pytest.raises(UserError, match=r"strangers\.json: no key points for 0+1000001\.png or 4 others"):
        predict.main(wing, [*given, weights, str(images), f"--keypoints={strangers}", f"--output={found}"])
