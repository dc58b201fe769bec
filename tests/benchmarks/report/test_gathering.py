"""The report reads what the commands write, and says what is wrong or missing in one line."""

import base64
import json
import sys

import cv2
import numpy as np
import pytest
from pycocotools import mask as rle_tools

from benchmarks.report.__main__ import main
from benchmarks.report.kinds import Found
from benchmarks.report.page import gather
from benchmarks.report.pictures import outline, rings
from benchmarks.report.scenes import disagreeing_pixels
from common.errors import UserError
from common.files import write_json
from tests.benchmarks.report.made_up import (
    IMAGES,
    ODD,
    write_everything,
    write_losses,
    write_panoptic_predictions,
    write_predictions,
    write_tables,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_everything(tmp_path_factory.mktemp("out"))


@pytest.fixture(scope="module")
def report(folder):
    return gather(folder, folder / "shapes", 24, 0)


def kinds_of(picture) -> dict[str, list[str]]:
    return {panel.framework: sorted(drawn.kind for drawn in panel.found) for panel in picture.panels}


def test_the_ratings_stand_beside_one_another(report):
    assert report.ratings.frameworks == ["torch", "jittor", "mindspore"]
    assert report.ratings.rows == [("mask AP", [31.25, 31.5, 31.5])]
    assert report.ratings.spread == 0.25


def test_verdicts_are_those_of_the_comparison(report):
    (model,) = report.verdicts
    assert model.gates == [("1 layers", [("failed", "7 passed, 2 failed, 0 cannot tell"), ("not run", "")])]
    assert model.notes == [
        "jittor departs first at backbone.conv1 (Conv)",
        "mindspore was not run: MindSpore is not installed",
    ]
    assert not model.passed and model.page == "parity/some_model/parity.html"


def test_losses_are_drawn_up_to_the_line_that_is_whole(report):
    (model,) = report.losses
    assert [model.total.title, *(plot.title for plot in model.terms)] == ["total", "box", "mask"]
    assert [len(line.points.split()) for line in model.total.lines] == [20, 20, 20]
    assert "jittor's total differs from torch's by 0 % at most" in model.distance
    assert "mindspore's total differs from torch's by 10 % at most (step 19)" in model.distance


def test_a_curve_lies_where_its_values_are(report):
    first, *_, last = report.losses[0].total.lines[0].points.split()
    (x, y), (end, low) = (map(float, point.split(",")) for point in (first, last))
    assert x < end and y < low  # a loss that falls goes down, in which direction y grows
    one, two = report.growth[0].lines[:2]
    assert one.name == "torch, exponent 2.00"
    # On a logarithmic axis a factor is a distance: 2 to 1 here, at each of the three points.
    heights = [[float(point.split(",")[1]) for point in line.points.split()] for line in (one, two)]
    distances = np.subtract(*heights)
    assert len(distances) == 3 and np.ptp(distances) <= 0.2 and distances[0] > 1


def test_bars_are_as_long_as_the_times_of_one_task(report):
    (model,) = report.bars
    ((task, bars),) = model.tasks
    assert (model.model, task) == (ODD, "training step")
    assert [bar.share for bar in bars] == [10.5 / 12.5, 11.5 / 12.5, 1.0]
    assert bars[2].text == "12.5 ms (1.19 ×)"


def test_known_tables_come_first_and_what_is_missing_is_named(report):
    assert [table.name for table in report.tables] == ["speed", "growth", "own"]
    assert [name for name, _ in report.missing] == ["Accuracy", "Published checkpoints"]
    assert [name for name, _ in report.headings][-3:] == ["predictions-0", "predictions-1", "missing"]
    assert [album.model for album in report.albums] == ["", "some_model"]


def test_the_images_that_disagree_come_first_with_their_errors(report):
    album = report.albums[0]
    first, *others = album.pictures
    assert len(album.pictures) == album.total == IMAGES
    assert first.pixels > 0 and not any(picture.pixels for picture in others)
    kinds = kinds_of(first)
    assert set(kinds["torch"]) == set(kinds["mindspore"]) == {"correct"}
    assert kinds["jittor"].count("wrong class") == 1 and len(kinds["mindspore"]) == len(kinds["torch"]) - 1
    covered = {panel.framework: panel.covered for panel in first.panels}
    assert covered["mindspore"].count(0.0) == covered["torch"].count(0.0) + 1
    faulty = [kinds_of(picture) for picture in others if "background" in kinds_of(picture)["torch"]]
    assert len(faulty) == 1 and all(each.count("duplicate") == 1 for each in faulty[0].values())


def test_the_pixels_that_disagree_are_those_of_the_changed_object(folder, report):
    picture = report.albums[0].pictures[0]
    entries = json.loads((folder / "torch/mask_results.json").read_text())
    kept = {json.dumps(each) for each in json.loads((folder / "mindspore/mask_results.json").read_text())}
    (lost,) = [each["segmentation"] for each in entries if json.dumps(each) not in kept]
    png = base64.b64decode(picture.differs.partition(",")[2])
    drawn = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)[..., 3] > 0
    # Where it lies below another object its class counts no more.
    mask = rle_tools.decode(lost).astype(bool)
    assert drawn.sum() == picture.pixels > 0.5 * mask.sum() and not drawn[~mask].any()


def test_where_objects_overlap_the_better_one_counts():
    left, right = np.zeros((2, 4, 10), np.uint8)
    left[:, :6], right[:, 4:] = 1, 1
    masks = [rle_tools.encode(np.asfortranarray(each)) for each in (left, right)]
    one, other = ([Found(0, first, masks[0]), Found(1, 0.5, masks[1])] for first in (0.9, 0.4))
    differs = disagreeing_pixels([one, sorted(other, key=lambda each: -each.score)], (4, 10))
    assert differs[:, 4:6].all() and differs.sum() == 8
    alone = disagreeing_pixels([one, one[:1]], (4, 10))
    assert alone[:, 6:].all() and not alone[:, :6].any()
    # What scores less than 0.3 does not count.
    assert not disagreeing_pixels([one[:1], [*one[:1], Found(2, 0.29, masks[1])]], (4, 10)).any()


def test_a_panoptic_result_is_held_against_segments(tmp_path):
    write_panoptic_predictions(tmp_path)
    (album,) = gather(tmp_path, tmp_path / "shapes", 24, 0).albums
    assert album.panoptic and {"sky", "grass"} <= set(album.class_names)
    first, second = album.pictures
    assert first.pixels and not second.pixels
    kinds = kinds_of(first)
    assert set(kinds["torch"]) == {"correct"} and len(kinds["mindspore"]) == len(kinds["torch"]) - 1


def test_few_pixels_have_rings_around_them_and_many_have_none():
    chosen = np.zeros((100, 200), bool)
    chosen[50, 120] = chosen[10:12, 20:26] = True
    (x, y, radius), (left, top, other) = sorted(rings(chosen), reverse=True)
    assert (x, y) == (120.5, 50.5) and (left, top) == (23.0, 11.0)
    assert radius > 2 and other > 3
    chosen[60:80] = True
    assert rings(chosen) == []


def test_an_outline_has_the_pixels_of_its_mask():
    pixels = np.zeros((40, 60), np.uint8, order="F")
    pixels[10:30, 5:50] = 1
    pixels[15:25, 20:30] = 0
    path = outline(rle_tools.encode(pixels))
    rings = [np.array([point.split() for point in ring.split("L")], float) for ring in path.strip("MZ").split("ZM")]
    filled = np.zeros(pixels.shape, np.uint8)
    cv2.fillPoly(filled, [np.round(ring * 16 - 8).astype(np.int32) for ring in rings], 1, shift=4)
    assert len(rings) == 2 and (filled != pixels).mean() < 0.06


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["nowhere"], "folder not found: nowhere"),
        (["."], "has nothing that a report shows"),
        (["full", "--data", "gone"], "data folder not found: gone"),
    ],
)
def test_bad_input_gets_one_line(tmp_path, monkeypatch, words, line):
    write_json(tmp_path / "full/torch/mask_results.json", [])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["report", *words])
    with pytest.raises(UserError, match=line):
        main()


def test_results_of_other_images_and_broken_files_are_named(tmp_path):
    write_predictions(tmp_path, tmp_path / "shapes")
    write_json(tmp_path / "speed.json", {"torch": 1})
    assert gather(tmp_path, tmp_path / "shapes", 1, 0).faults == ["speed.json is not a table of figures"]
    path = tmp_path / "jittor/mask_results.json"
    entries = json.loads(path.read_text())
    write_json(path, [entries[0] | {"image_id": 7}])
    with pytest.raises(UserError, match=r"jittor/mask_results.json: image 7 is not in .*--data"):
        gather(tmp_path, tmp_path / "shapes", 1, 0)
    write_json(path, [{"image_id": 7, "bbox": [0, 0, 1, 1]}])
    with pytest.raises(UserError, match="not a file of results with masks"):
        gather(tmp_path, tmp_path / "shapes", 1, 0)
    write_json(path, [entries[0] | {"category_id": 99}])
    with pytest.raises(UserError, match="has no category 99"):
        gather(tmp_path, tmp_path / "shapes", IMAGES, 0)


def test_figures_alone_make_a_report(tmp_path, monkeypatch, capsys):
    write_tables(tmp_path)
    write_losses(tmp_path)
    monkeypatch.setattr(sys, "argv", ["report", str(tmp_path)])
    main()
    page = (tmp_path / "report.html").read_text()
    assert capsys.readouterr().out == f"report: {tmp_path / 'report.html'}\n"
    assert "<script" not in page and "python -m X_impl.evaluate MODEL" in page
    assert "<b>odd</b>" not in page and "&lt;b&gt;odd&lt;/b&gt;" in page
