import json

import numpy as np
import pytest
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from scipy import ndimage

from common.data.coco import CocoDataset
from common.errors import UserError
from common.evaluation.boundary import strip_of
from common.evaluation.coco import CocoAP, full_name, lines, summary
from common.results import Instances
from common.results.instances import coco_entries, encode_masks

CATEGORY_IDS = [3, 7, 20]
COCO_NAMES = {"box": "bbox", "mask": "segm"}
SIZE = (240, 320)


def box_mask(x1, y1, x2, y2):
    mask = np.zeros(SIZE, bool)
    mask[y1:y2, x1:x2] = True
    return mask


def write(path, annotations, images=(1,)):
    content = {
        "images": [{"id": i, "height": SIZE[0], "width": SIZE[1], "file_name": f"{i}.png"} for i in images],
        "categories": [{"id": c, "name": str(c)} for c in CATEGORY_IDS],
        "annotations": annotations,
    }
    path.write_text(json.dumps(content))
    return path


def rater(path, by_pycocotools=False, **options):
    return CocoAP(CocoDataset(path, path.parent), by_pycocotools, **options)


def judged(path, results, kind, limits=(1, 10, 100), evaluate=COCOeval):
    """pycocotools' own evaluation of results of a file, accumulated."""
    truth = COCO(path)
    rated = evaluate(truth, truth.loadRes([dict(each) for each in results]), kind)
    rated.params.maxDets = list(limits)
    rated.evaluate()
    rated.accumulate()
    return rated


def annotation(number, image_id, category, box, **more):
    x1, y1, x2, y2 = (int(value) for value in box)
    outline = [[x1, y1, x2, y1, x2, y2, x1, y2]]
    width, height = x2 - x1, y2 - y1
    shape = {"bbox": [x1, y1, width, height], "segmentation": outline, "area": width * height, "iscrowd": 0}
    return {"id": number, "image_id": image_id, "category_id": category} | shape | more


def random_case(seed):
    """Objects of all three areas, some of them crowds, and detections around them with many equal scores."""
    rng = np.random.default_rng(seed)
    annotations, found = [], {}
    for image_id in range(1, 13):
        boxes, labels = [], rng.integers(0, len(CATEGORY_IDS), rng.integers(0, 9))
        for label in labels:
            width, height = rng.choice([12, 25, 60, 130], 2)
            x1, y1 = rng.integers(0, SIZE[1] - width), rng.integers(0, SIZE[0] - height)
            boxes.append((x1, y1, x1 + width, y1 + height))
            mask = encode_masks(box_mask(*boxes[-1])[None])[0]
            crowd = {"iscrowd": 1, "segmentation": mask} if rng.random() < 0.15 else {}
            number = len(annotations) + 1
            annotations.append(annotation(number, image_id, CATEGORY_IDS[label], boxes[-1], **crowd))
        found[image_id] = detections(rng, boxes, labels, others=130 if image_id == 1 else 3)
    return annotations, found


def detections(rng, boxes, labels, others):
    """Some around each object, mostly of its class, and `others` anywhere."""
    times = rng.integers(0, 4, len(boxes))
    around = np.repeat(np.array(boxes, int).reshape(-1, 4), times, axis=0) + rng.integers(-6, 7, (times.sum(), 4))
    classes = np.where(rng.random(times.sum()) < 0.8, np.repeat(labels, times), 0)
    anywhere = np.array([5, 5, 60, 70]) + rng.integers(0, 150, (others, 1))
    moved = np.clip(np.concatenate([around, anywhere]), 0, [SIZE[1], SIZE[0], SIZE[1], SIZE[0]])
    moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
    classes = np.concatenate([classes, rng.integers(0, len(CATEGORY_IDS), others)])
    masks = np.stack([box_mask(x1, y1, x2, y2 - (y2 - y1) // 10) for x1, y1, x2, y2 in moved])
    order = rng.permutation(len(moved))
    scores = rng.choice([0.9, 0.5, 0.3, 0.1], len(moved)).astype(np.float32)
    return Instances(SIZE, moved[order].astype(np.float32), scores, classes[order], masks[order])


def results_of(found, shape):
    return [entry for image_id, one in found.items() for entry in coco_entries(image_id, one, CATEGORY_IDS, shape)]


@pytest.mark.parametrize("shape", ["box", "mask"])
@pytest.mark.parametrize("seed", range(4))
def test_the_figures_are_pycocotools_to_the_last_bit(tmp_path, seed, shape):
    annotations, found = random_case(seed)
    path = write(tmp_path / "a.json", annotations, range(1, 13))
    results = results_of(found, shape)
    fast, expected = rater(path).rate(results, shape), rater(path, by_pycocotools=True).rate(results, shape)
    own = judged(path, results, COCO_NAMES[shape])
    own.summarize()
    assert list(fast.values()) == list(expected.values()) == (100 * own.stats).tolist()
    values = np.array(list(expected.values()))
    # The case says something: no figure is trivial and the areas differ.
    assert np.all((values > 0) & (values < 100))
    assert len(set(values[3:6])) == 3


@pytest.mark.parametrize("shape", ["box", "mask"])
def test_a_breakdown_adds_up_to_the_figures(tmp_path, shape):
    annotations, found = random_case(2)
    rate = rater(write(tmp_path / "a.json", annotations, range(1, 13)))
    results = results_of(found, shape)
    figures, made = rate.rate(results, shape), rate.analyse(results, shape)
    assert made.ap50 == pytest.approx(figures["AP50"], abs=1e-9)
    for name in ("AP", "AP50", "AP75", "AR100"):
        assert np.mean([each[name] for each in made.classes.values()]) == pytest.approx(figures[name], abs=1e-9)
    assert np.mean(list(made.curves.values())) == pytest.approx(figures["AP"], abs=1e-3)
    assert list(made.curves) == [f"{iou:.2f}" for iou in np.arange(0.5, 1, 0.05)]
    objects = sum(each["iscrowd"] == 0 for each in annotations)
    assert sum(each["objects"] for each in made.classes.values()) == objects
    assert sum(map(sum, made.confusion.counts[:-1])) == objects
    assert made.confusion.names == ["3", "7", "20", "nothing"]
    assert json.loads(json.dumps(made.plain()))["errors"]["missed"]["count"] > 0


def test_the_log_has_the_words_of_pycocotools(tmp_path, capsys):
    annotations, found = random_case(0)
    path, results = write(tmp_path / "a.json", annotations, range(1, 13)), results_of(found, "mask")
    figures = rater(path).rate(results, "mask")
    rated = judged(path, results, "segm")
    capsys.readouterr()
    rated.summarize()
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 12 and summary(figures, "mask") == ["segm:", *printed]
    assert summary(figures | {"APl": float("nan")}, "box")[6].endswith(" = -1.000")


@pytest.mark.parametrize("shape", ["box", "mask"])
@pytest.mark.parametrize("limits", [(100, 300, 1000), (2, 100, 110)])
def test_other_limits_are_pycocotools_max_dets(tmp_path, capsys, limits, shape):
    """The best 105 of each class are nowhere, so that what is rated with more than 100 finds more."""
    annotations, found = random_case(1)
    for image, each in found.items():
        nowhere = np.repeat(np.arange(3), 105)
        count = len(nowhere)
        found[image] = Instances(
            SIZE,
            np.concatenate([np.tile(np.float32([0, 0, 2, 2]), (count, 1)), each.boxes]),
            np.concatenate([np.full(count, 0.95, np.float32), each.scores]),
            np.concatenate([nowhere, each.labels]),
            np.concatenate([np.tile(box_mask(0, 0, 2, 2), (count, 1, 1)), each.masks]),
        )
    path, results = write(tmp_path / "a.json", annotations, range(1, 13)), results_of(found, shape)
    figures = rater(path, limits=limits).rate(results, shape)
    own = judged(path, results, COCO_NAMES[shape], limits)
    capsys.readouterr()
    own.summarize()
    printed = capsys.readouterr().out.splitlines()
    assert summary(figures, shape)[1:] == printed
    assert list(figures.values()) == (100 * own.stats).tolist()
    assert rater(path, by_pycocotools=True, limits=limits).rate(results, shape) == figures
    assert list(figures)[6:9] == [f"AR{limit}" for limit in limits]
    named = [f"{limit} detections" for limit in (100, *[limits[2]] * 5, *limits, *[limits[2]] * 3)]
    assert all(name in line for name, line in zip(named, lines(figures, shape), strict=True))
    usual = rater(path).rate(results, shape)
    assert figures["AP"] == pytest.approx(usual["AP"], abs=1e-9)
    assert usual["AP50"] == 0 < figures["AP50"]


def test_figures_of_a_case_worked_by_hand(tmp_path):
    """Two objects; the better detection overlaps one by 0.8, the other detection hits nothing.

    Up to IoU 0.80 the precision is 1 up to recall 0.5: 51 of 101 recall points. Above, nothing is found.
    """
    path = write(
        tmp_path / "a.json", [annotation(1, 1, 3, (0, 0, 100, 100)), annotation(2, 1, 3, (150, 100, 250, 200))]
    )
    found = Instances(
        SIZE,
        np.float32([[0, 0, 100, 80], [10, 150, 60, 220]]),
        np.float32([0.9, 0.8]),
        np.array([0, 0]),
        np.stack([box_mask(0, 0, 100, 80), box_mask(10, 150, 60, 220)]),
    )
    for shape in ("box", "mask"):
        for by_pycocotools in (False, True):
            figures = rater(path, by_pycocotools).rate(coco_entries(1, found, CATEGORY_IDS, shape), shape)
            assert figures["AP50"] == pytest.approx(100 * 51 / 101)
            assert figures["AP"] == pytest.approx(100 * 51 / 101 * 7 / 10)  # 0.50, 0.55 ... 0.80
            assert figures["AR1"] == pytest.approx(50 * 7 / 10)
            assert np.isnan(figures["APs"])


def test_masks_are_rated_by_their_own_scores_and_boxes_by_theirs(tmp_path):
    found = Instances(
        SIZE,
        np.float32([[0, 0, 10, 10]]),
        np.float32([0.9]),
        np.array([1]),
        box_mask(0, 0, 10, 10)[None],
        mask_scores=np.float32([0.25]),
    )
    (box,) = coco_entries(5, found, CATEGORY_IDS, "box")
    (mask,) = coco_entries(5, found, CATEGORY_IDS, "mask")
    assert box == {"image_id": 5, "category_id": 7, "bbox": [0, 0, 10, 10], "score": pytest.approx(0.9)}
    assert mask["score"] == 0.25
    assert "bbox" not in mask


def test_every_line_names_its_metric(tmp_path):
    path = write(tmp_path / "a.json", [annotation(1, 1, 3, (0, 0, 100, 100))])
    printed = lines(rater(path).rate([], "mask"), "mask")
    assert printed[0] == "mask AP (COCO segm, IoU 0.50:0.95, area all, 100 detections) 0.0"
    assert printed[3] == "mask AP (COCO segm, IoU 0.50:0.95, area small, 100 detections) no objects of this kind"
    assert printed[6] == "mask AR (COCO segm, IoU 0.50:0.95, area all, 1 detections) 0.0"
    assert len(printed) == len(set(printed)) == 12
    assert full_name("box", "AP75") == "box AP (COCO bbox, IoU 0.75, area all, 100 detections)"


@pytest.mark.parametrize("by_pycocotools", [False, True])
def test_nothing_found_is_zero(tmp_path, by_pycocotools):
    path = write(tmp_path / "a.json", [annotation(1, 1, 3, (0, 0, 100, 100))])
    for shape in ("box", "mask"):
        figures = rater(path, by_pycocotools).rate([], shape)
        assert figures["AP"] == 0
        made = rater(path, by_pycocotools).analyse([], shape)
        assert made.ap50 == 0 and made.errors["missed"].cost == 100 and made.classes["3"]["found"] == 0
        assert np.isnan(made.classes["7"]["AP"]) and made.plain()["classes"]["7"]["AP"] is None


@pytest.mark.parametrize("by_pycocotools", [False, True])
def test_incomplete_annotations_count_as_objects_not_found(tmp_path, by_pycocotools):
    whole = annotation(1, 1, 3, (0, 0, 100, 100))
    bare = {"id": 2, "image_id": 1, "category_id": 3, "bbox": [150, 50, 40, 40], "segmentation": [[1, 2, 3, 4]]}
    path = write(tmp_path / "a.json", [whole, bare])
    found = Instances(
        SIZE, np.float32([[0, 0, 100, 100]]), np.float32([1]), np.array([0]), box_mask(0, 0, 100, 100)[None]
    )
    figures = rater(path, by_pycocotools).rate(coco_entries(1, found, CATEGORY_IDS, "mask"), "mask")
    assert figures["AP"] == pytest.approx(100 * 51 / 101)


def test_unusable_files_are_refused_by_name(tmp_path):
    path = write(tmp_path / "image_info_test.json", [])
    with pytest.raises(UserError, match=r"image_info_test\.json: there are no annotations"):
        rater(path)
    with pytest.raises(UserError, match=r"annotation file not found: .*absent\.json"):
        rater(tmp_path / "absent.json")
    (tmp_path / "cut.json").write_text('{"images": [')
    with pytest.raises(UserError, match=r"cut\.json: not valid JSON"):
        rater(tmp_path / "cut.json")
    with pytest.raises(
        UserError,
        match=r"b\.json \(1 annotations of an image that is not listed, left out \(1\)\): there are no annotations",
    ):
        rater(write(tmp_path / "b.json", [annotation(1, 2, 3, (0, 0, 9, 9))]))
    path = write(tmp_path / "c.json", [annotation(1, 1, 3, (0, 0, 9, 9))])
    with pytest.raises(UserError, match="no image 8"):
        rater(path).rate([{"image_id": 8, "category_id": 3, "bbox": [0, 0, 1, 1], "score": 1.0}], "box")


@pytest.mark.parametrize("by_pycocotools", [False, True])
@pytest.mark.parametrize("shape", ["box", "mask"])
def test_ids_may_be_any(tmp_path, shape, by_pycocotools):
    """As of the case worked by hand; pycocotools itself takes an annotation of id 0 for not found."""
    ids = (2**40, -3)
    boxes = [(0, 0, 100, 100), (150, 100, 250, 200)]
    annotations = [annotation(n * 2**50, ids[n], 20, box) for n, box in enumerate(boxes)]
    path = write(tmp_path / "a.json", annotations, ids)
    found = Instances(
        SIZE, np.float32([[0, 0, 100, 80]]), np.float32([0.9]), np.array([2]), box_mask(0, 0, 100, 80)[None]
    )
    figures = rater(path, by_pycocotools).rate(coco_entries(ids[0], found, CATEGORY_IDS, shape), shape)
    assert figures["AP50"] == pytest.approx(100 * 51 / 101)
    other = coco_entries(ids[1], found, [3, 7, 999], shape)  # of no category of the file: not counted
    assert rater(path, by_pycocotools).rate(other, shape)["AP50"] == 0


def boundary(mask: np.ndarray) -> np.ndarray:
    """The pixels of a mask (H, W) that are at most a fiftieth of the diagonal from outside, in steps of a king."""
    width = max(1, round(0.02 * np.hypot(*mask.shape)))
    distance = ndimage.distance_transform_cdt(np.pad(mask, 1), metric="chessboard")[1:-1, 1:-1]
    return mask & (distance <= width)


class ByDistance(COCOeval):
    """pycocotools' evaluation with the smaller one of two IoUs, but for crowds."""

    def computeIoU(self, imgId, catId):
        whole = super().computeIoU(imgId, catId)
        truth, found = (each[imgId, catId] for each in (self._gts, self._dts))
        if not len(truth) or not len(found):
            return whole
        found = sorted(found, key=lambda each: -each["score"])[: self.params.maxDets[-1]]
        strips = [[strip_by_distance(each["segmentation"]) for each in side] for side in (found, truth)]
        crowds = [each["iscrowd"] for each in truth]
        return np.where(np.array(crowds, bool), whole, np.minimum(whole, rle.iou(*strips, crowds)))


def strip_by_distance(packed: dict) -> dict:
    return rle.encode(np.asfortranarray(boundary(rle.decode(packed).astype(bool)).astype(np.uint8)))


def test_boundaries_are_rated_as_an_own_evaluation_does(tmp_path):
    annotations, found = random_case(5)
    path = write(tmp_path / "truth.json", annotations, images=range(1, 13))
    results = [
        entry for image, instances in found.items() for entry in coco_entries(image, instances, CATEGORY_IDS, "mask")
    ]
    figures = rater(path).rate(results, "boundary")
    own = judged(path, results, "segm", evaluate=ByDistance)
    own.summarize()
    expected = [np.nan if value < 0 else 100 * value for value in own.stats]
    assert list(figures.values()) == expected
    assert rater(path, by_pycocotools=True).rate(results, "boundary") == figures
    whole = rater(path).rate(results, "mask")
    assert 0 < figures["AP"] < whole["AP"] - 1


def test_a_strip_is_as_wide_as_a_fiftieth_of_the_diagonal():
    """240x320 has a diagonal of 400: strips of 8 pixels, along the image's edge, too, and none of nothing."""
    mask = box_mask(0, 100, 60, 160)
    expected = mask & ~box_mask(8, 108, 52, 152)
    (packed,) = encode_masks(mask[None])
    assert np.array_equal(rle.decode(strip_of(packed)).astype(bool), expected)
    (empty,) = encode_masks(np.zeros((1, *SIZE), bool))
    assert rle.area(strip_of(empty)) == 0
