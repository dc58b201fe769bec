"""Gate 5: key points and panoptic results are compared as detections are, one object beside the other."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from benchmarks.foreign import Recorder
from benchmarks.parity.finding import Run
from benchmarks.parity.summary import passed
from common.data.panoptic import encode_ids
from common.errors import UserError
from tests.benchmarks.foreign.judged_dumps import judge, refusal

POINTS = np.random.default_rng(0).uniform(10, 90, (3, 17, 2))
PERSONS = [
    {
        "image_id": 7,
        "category_id": 1,
        "score": 0.9 - 0.1 * number,
        "keypoints": np.concatenate([points + 100 * number, np.full((17, 1), 0.5)], 1).reshape(-1).tolist(),
    }
    for number, points in enumerate(POINTS)
]
MAP = np.zeros((40, 60), np.int32)
MAP[:20], MAP[25:, :30] = 300, 9
SEGMENTS = [{"id": 300, "category_id": 2}, {"id": 9, "category_id": 5}]


def written(folder: Path, entries: Sequence[dict[str, Any]]) -> Path:
    Recorder(folder).results(entries)
    return folder


def panoptic(folder: Path, maps: dict[int, np.ndarray], segments: Sequence[dict[str, Any]] = SEGMENTS) -> Path:
    """A dump of panoptic results, one map (H, W) of ids for each image."""
    pngs = folder / "written/predictions"
    pngs.mkdir(parents=True)
    annotations = []
    for image, ids in maps.items():
        cv2.imwrite(str(pngs / f"{image}.png"), encode_ids(ids)[:, :, ::-1])
        annotations.append({"image_id": image, "file_name": f"{image}.png", "segments_info": segments})
    pngs.with_suffix(".json").write_text(json.dumps({"annotations": annotations}))
    Recorder(folder).panoptic_results(pngs.with_suffix(".json"))
    return folder


def compared(reference: Path, other: Path) -> Run:
    return judge(reference, other).run


def test_key_points_are_compared_by_detection(tmp_path):
    reference = written(tmp_path / "reference", PERSONS)
    run = compared(reference, written(tmp_path / "right", PERSONS[::-1]))
    names = ["detections", "scores", "key points", "key points' scores"]
    assert passed([run]) and [finding.name for finding in run.findings] == names

    one_moved = [dict(person) for person in PERSONS]
    one_moved[1]["keypoints"] = [value + 4 * (place in (9, 10)) for place, value in enumerate(PERSONS[1]["keypoints"])]
    run = compared(reference, written(tmp_path / "moved", one_moved))
    assert [finding.name for finding in run.failures()] == ["key points"]

    unsure = [
        person
        | {"keypoints": [value / 2 if place % 3 == 2 else value for place, value in enumerate(person["keypoints"])]}
        for person in PERSONS
    ]
    run = compared(reference, written(tmp_path / "unsure", unsure))
    assert [finding.name for finding in run.failures()] == ["key points' scores"]


def test_key_points_of_boxes_stand_beside_these(tmp_path):
    boxed = [person | {"bbox": [100.0 * number, 10, 90, 90]} for number, person in enumerate(PERSONS)]
    reference = written(tmp_path / "reference", boxed)
    run = compared(reference, written(tmp_path / "right", boxed))
    assert passed([run]) and {"boxes", "key points"} <= {finding.name for finding in run.findings}
    other = written(tmp_path / "bare", PERSONS)
    assert "has key points; the reference's has boxes and key points" in refusal(reference, other)


def test_other_key_points_are_refused(tmp_path):
    reference = written(tmp_path / "reference", PERSONS)
    fewer = [person | {"keypoints": person["keypoints"][:39]} for person in PERSONS]
    assert "13 key points; the reference's have 17" in refusal(reference, written(tmp_path / "fewer", fewer))
    odd = [person | {"keypoints": [1, 2]} for person in PERSONS]
    assert "entry 0: keypoints are not three numbers each" in refusal(reference, written(tmp_path / "odd", odd))


def test_panoptic_results_are_compared_by_segment(tmp_path):
    reference = panoptic(tmp_path / "reference", {1: MAP, 2: MAP[::-1]})
    run = compared(reference, panoptic(tmp_path / "right", {2: MAP[::-1], 1: MAP}))
    names = ["images", "segments", "segment IoU", "pixels in the same segment"]
    assert passed([run]) and [finding.name for finding in run.findings] == names

    smaller = MAP.copy()
    smaller[17:20] = 0
    run = compared(reference, panoptic(tmp_path / "smaller", {1: MAP, 2: smaller[::-1]}))
    assert [finding.name for finding in run.failures()] == ["segment IoU", "pixels in the same segment"]

    run = compared(reference, panoptic(tmp_path / "fewer", {1: MAP}))
    assert [finding.name for finding in run.failures()] == ["images"]

    others = [segment | {"category_id": 1} for segment in SEGMENTS]
    run = compared(reference, panoptic(tmp_path / "others", {1: MAP, 2: MAP[::-1]}, others))
    assert run.first().name == "segments"


def test_scores_of_segments_are_compared_where_both_have_them(tmp_path):
    scored, unsure = ([segment | {"score": score} for segment in SEGMENTS] for score in (0.9, 0.8))
    reference = panoptic(tmp_path / "reference", {1: MAP}, scored)
    run = compared(reference, panoptic(tmp_path / "unsure", {1: MAP}, unsure))
    assert [finding.name for finding in run.failures()] == ["segment scores"]
    assert passed([compared(reference, panoptic(tmp_path / "bare", {1: MAP}))])


def test_results_that_cannot_be_compared_are_refused(tmp_path):
    reference = panoptic(tmp_path / "reference", {1: MAP})
    detections = written(tmp_path / "detections", PERSONS)
    assert "has detections; the reference's has panoptic results" in refusal(reference, detections)
    other = panoptic(tmp_path / "size", {1: MAP[:, :50]})
    assert "the PNG of image 1 is 50 x 40; the reference's is 60 x 40" in refusal(reference, other)
    (tmp_path / "size/results/1.png").unlink()
    assert "1.png: No such file" in refusal(reference, tmp_path / "size")
    (tmp_path / "size/results.json").write_text("{}")
    assert "not a list of COCO results" in refusal(reference, tmp_path / "size")


def test_panoptic_results_that_were_written_into_the_dump_stay(tmp_path):
    record = Recorder(panoptic(tmp_path / "written", {1: MAP}) / "again")
    for source in (tmp_path / "written/results.json", tmp_path / "written/again/results.json"):
        record.panoptic_results(source)
        assert (tmp_path / "written/again/results/1.png").is_file()
    record.panoptic_results(panoptic(tmp_path / "other", {2: MAP}) / "results.json")
    assert [path.name for path in (tmp_path / "written/again/results").iterdir()] == ["2.png"]


@pytest.mark.parametrize("name", ["nothing.json", "alone.json"])
def test_panoptic_results_without_their_pngs_are_not_recorded(tmp_path, name):
    (tmp_path / "alone.json").write_text("{}")
    with pytest.raises(UserError, match=name.split(".")[0]):
        Recorder(tmp_path / "mine").panoptic_results(tmp_path / name)
