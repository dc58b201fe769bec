"""Pose2Seg's samples: which persons, in which order, aligned how; and what is refused."""

import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from common.data.coco import resolve
from common.data.figures import KEYPOINT_NAMES
from common.data.loader import Loader, ordered
from common.data.shapes import write_shapes
from common.errors import UserError
from common.families.pose2seg.affine import centred_resize
from common.families.pose2seg.keypoint_results import KeypointResults
from common.families.pose2seg.persons import arrange
from common.families.pose2seg.samples import Inference, Training, join, make_prompt, prepare
from common.families.pose2seg.templates import load_templates
from common.models import load_settings
from tests.common.data.coco_files import annotation, image, write

SETTINGS = load_settings("pose2seg_tiny")
SIDE = SETTINGS.network.align_size
SHARED = Path(__file__).parents[4] / "shared" / "data"
PERSON = [{"id": 1, "name": "person", "keypoints": list(KEYPOINT_NAMES)}]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_shapes(tmp_path_factory.mktemp("data") / "shapes", images=60, seed=2)


def points(*labelled: tuple[int, float, float, int]) -> list[float]:
    """51 numbers, all zero but for those of (key point, x, y, visibility)."""
    whole = np.zeros((17, 3))
    for point, *values in labelled:
        whole[point] = values
    return whole.ravel().tolist()


ARM = points((5, 8, 8, 2), (7, 12, 9, 1), (9, 13.7, 13, 2))


def person(identity: int, image_id: int, **changes) -> dict:
    return annotation(identity, image_id, **{"category_id": 1, "keypoints": ARM} | changes)


def inferred(root: Path, settings=SETTINGS, keypoints=None) -> dict[str, np.ndarray]:
    dataset = resolve(root, "val", "person_keypoints")
    samples = Inference(dataset, settings, keypoints)
    (batch,) = ordered(samples, samples.collate, len(samples), 100, 0)
    return batch


def batches(root: Path, workers: int, count: int = 3, settings=SETTINGS, **kwargs) -> list[dict[str, np.ndarray]]:
    made = Training(resolve(root, "train", "person_keypoints"), settings)
    with Loader(made, made.collate, len(made), settings.schedule.batch_size, 9, workers, **kwargs) as loader:
        return [batch for _, batch in islice(loader, count)]


def test_batches_are_equal_with_any_number_of_workers(root):
    for one, other in zip(batches(root, 1), batches(root, 0), strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_a_batch_takes_at_most_eight_persons_in_the_order_of_its_images(root):
    for batch in batches(root, 0):
        count = len(batch["person_image"])
        assert 0 < count <= 8 and batch["normaliser.persons"] == count
        assert (np.diff(batch["person_image"]) >= 0).all() and batch["person_image"].dtype == np.int32
        assert batch["skeletons"].shape == (count, 55, SIDE, SIDE) and batch["grid"].shape == (count, SIDE, SIDE, 2)
        assert batch["masks"].shape == (count, SIDE, SIDE) and set(np.unique(batch["masks"])) <= {0, 1}
        assert batch["masks"].any(axis=(1, 2)).mean() > 0.9
    few = load_settings("pose2seg_tiny", ["augmentation.persons=3"])
    assert [len(batch["person_image"]) for batch in batches(root, 0, settings=few)] == [3, 3, 3]
    halves = [batches(root, 0, count=1, rank=rank, world=2)[0] for rank in (0, 1)]
    images = SETTINGS.schedule.batch_size // 2
    assert all(len(half["person_image"]) <= 4 and len(half["image"]) == images for half in halves)


def test_targets_are_the_masks_in_the_aligned_squares(tmp_path):
    jitter = ["augmentation.rotation=30", "augmentation.scale=[0.8,1.2]", "augmentation.shift=0.1"]
    settings = load_settings("pose2seg_tiny", ["schedule.batch_size=1", *jitter])
    write(tmp_path, [image(1)], [person(1, 1)], PERSON)
    samples = Training(resolve(tmp_path, "train", "person_keypoints"), settings)
    sample = samples(0, np.random.default_rng(0))
    batch = samples.collate([sample])
    # Three points of an arm fit a template, whose map is jittered then.
    side = settings.preprocessing.size
    resize = centred_resize((30, 40), (side, side))
    jitter = samples._make_jitter(sample["jitter"])
    drawn = sample["jitter"][0]
    np.testing.assert_allclose(np.hypot(*jitter[0, 0, :2]), 0.8 + 0.4 * drawn[1])
    np.testing.assert_allclose(np.degrees(np.arctan2(jitter[0, 1, 0], jitter[0, 0, 0])), 60 * drawn[0] - 30)
    middle = SIDE / 2
    np.testing.assert_allclose(jitter[0] @ (middle, middle, 1), middle + SIDE * 0.1 * (2 * drawn[2:] - 1))
    whole = np.trunc(np.array(ARM, np.float32).reshape(1, 17, 3))
    persons = arrange(whole, resize[None], settings, load_templates(), jitter)
    np.testing.assert_array_equal(batch["skeletons"], persons.skeletons)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    back = np.linalg.inv(np.vstack([persons.mask_matrices[0], [0, 0, 1]]))
    x, y, _ = np.einsum("ij,jrc->irc", back, np.stack([columns, rows, np.ones((SIDE, SIDE))]))
    inside = np.minimum(np.minimum(x - 4.5, 14.5 - x), np.minimum(y - 4.5, 14.5 - y))
    clear = np.abs(inside) > 0.3
    np.testing.assert_array_equal(batch["masks"][0][clear], (inside > 0)[clear])


def test_persons_are_chosen_as_the_original_does(tmp_path):
    annotations = [
        person(1, 1),
        person(2, 1, iscrowd=1, segmentation={"size": [30, 40], "counts": [0, 1200]}),
        person(3, 1, ignore=1),
        person(4, 1, area=0),
        person(5, 1, bbox=[5, 5, 1, 10]),  # one column: its last pixel is its first
        person(6, 1, bbox=[39, 5, 10, 10]),
        person(7, 1, bbox=[5, 5, 2, 2], keypoints=points((0, 6, 6, 2))),
        person(8, 1, segmentation=[], keypoints=points()),
    ]
    write(tmp_path, [image(1), image(2)], annotations, PERSON)
    batch = inferred(tmp_path)
    assert batch["person_image"].tolist() == [0, 0, 0] and batch["image_id"].tolist() == [1, 2]
    drawn = batch["skeletons"].any(axis=(1, 2, 3)).tolist()
    assert drawn == [True, True, False], "1, 7 and 8, in the file's order"
    assert batch["person_score"].tolist() == [1, 1, 1]
    samples = Training(resolve(tmp_path, "train", "person_keypoints"), SETTINGS)
    assert len(samples(0, np.random.default_rng(0))["rles"]) == 2, "without a mask nobody trains"


def test_an_image_without_persons_gives_way_in_training_and_stays_in_inference(tmp_path):
    write(
        tmp_path,
        [image(3), image(1), image(2)],
        [person(1, 1, keypoints=points()), person(2, 2), person(3, 3, area=0)],
        PERSON,
    )
    samples = Training(resolve(tmp_path, "train", "person_keypoints"), SETTINGS)
    assert [samples(index, np.random.default_rng(0))["image_id"] for index in range(3)] == [2, 2, 2]
    nobody = join([prepare(np.zeros((30, 40, 3), np.uint8), SETTINGS) | make_prompt(np.zeros((0, 17, 3)))], SETTINGS)
    assert nobody["person_image"].shape == (0,) and nobody["mask_matrices"].shape == (0, 2, 3)
    assert nobody["skeletons"].shape == (0, 55, SIDE, SIDE) and nobody["grid"].shape == (0, SIDE, SIDE, 2)
    write(tmp_path, [image(1)], [person(1, 1, keypoints=points())], PERSON)
    with pytest.raises(UserError, match="no person with a key point and a mask"):
        Training(resolve(tmp_path, "train", "person_keypoints"), SETTINGS)(0, np.random.default_rng(0))


def test_key_points_of_a_results_file_take_the_place_of_the_annotated(tmp_path):
    write(tmp_path, [image(1), image(2)], [person(1, 1), person(2, 2)], PERSON)
    results = [
        {"image_id": 2, "category_id": 1, "keypoints": ARM, "score": 0.5},
        {"image_id": 2, "category_id": 1, "keypoints": points((5, 20, 8, 2)), "score": 0.9},
        {"image_id": 77, "category_id": 1, "keypoints": ARM, "score": 0.9},
    ]
    path = tmp_path / "results.json"
    path.write_text(json.dumps(results))
    batch = inferred(tmp_path, keypoints=KeypointResults(path))
    assert batch["person_image"].tolist() == [1, 1]
    np.testing.assert_allclose(batch["person_score"], [0.5, 0.9])
    annotated = inferred(tmp_path)["skeletons"][1]
    assert np.abs(batch["skeletons"][0] - annotated).max() > 0, "here the fraction counts"
    assert (batch["skeletons"][0, 7] <= 0).all() and batch["skeletons"][0, 7].min() < -0.5


def test_confidences_say_which_points_are_seen(tmp_path):
    path = tmp_path / "results.json"
    entry = points((0, 1, 1, 0.9), (1, 2, 2, 0.2), (2, 3, 3, 1.0))
    path.write_text(json.dumps([{"image_id": 1, "keypoints": entry}]))
    keypoints, scores = KeypointResults(path, confidence=0.3).of_image(1)
    assert keypoints[0, :4, 2].tolist() == [2, 0, 2, 0] and scores.tolist() == [1]
    assert len(KeypointResults(path).of_image(5)[0]) == 0


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[", "not valid JSON"),
        ("{}", "not a file of key points"),
        ("[]", "holds no key points"),
        ('[{"image_id": 1, "keypoints": [1, 2]}]', r"entry 1 \(image 1\) has 2 key-point numbers, not 51"),
        (json.dumps([{"image_id": 1, "keypoints": points((0, 1e12, 0, 2))}]), "out of all bounds"),
        (
            json.dumps([{"image_id": 77, "keypoints": ARM}]),
            r"none of its 1 image ids \(77, ...\) is in .*annotations.json",
        ),
    ],
)
def test_a_results_file_that_does_not_serve_is_refused_in_one_line(content: str, words: str, tmp_path):
    write(tmp_path, [image(1)], [person(1, 1)], PERSON)
    path = tmp_path / "results.json"
    path.write_text(content)
    with pytest.raises(UserError, match=words) as refusal:
        inferred(tmp_path, keypoints=KeypointResults(path))
    assert str(path) in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_data_set_without_key_points_is_refused(tmp_path):
    write(tmp_path, [image(1)], [annotation(1, 1)])
    for samples in (Training, Inference):
        with pytest.raises(UserError, match="needs persons with COCO's 17 key points, its categories have none"):
            samples(resolve(tmp_path, "val", "person_keypoints"), SETTINGS)


@pytest.mark.parametrize(
    ("annotations", "split", "folder"),
    [
        ("annotations/person_keypoints_train2017_pose2seg.json", "train", "train2017"),
        ("annotations/person_keypoints_val2017_pose2seg.json", "val", "val2017"),
        ("annotations/ochuman_coco_format_val_range_0.00_1.00.json", "val", "images"),
        ("annotations/ochuman_coco_format_test_range_0.00_1.00.json", "test", "images"),
    ],
)
def test_the_layouts_of_the_originals_data_are_found(annotations: str, split: str, folder: str, tmp_path):
    write(tmp_path, [image(1)], [person(1, 1)], PERSON)
    (tmp_path / folder).mkdir(exist_ok=True)
    (tmp_path / "annotations").mkdir()
    (tmp_path / annotations).write_bytes((tmp_path / "annotations.json").read_bytes())
    (tmp_path / "annotations" / "person_keypoints_train2017.json").write_text("not this one")
    (tmp_path / "annotations" / "person_keypoints_val2017.json").write_text("not this one")
    dataset = resolve(tmp_path, split, SETTINGS.data_kind, SETTINGS.data_files)
    assert dataset.annotations == tmp_path / annotations and dataset.images == tmp_path / folder


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the shared sample data")
@pytest.mark.parametrize(("name", "persons", "labelled"), [("coco_persons", 14, 12), ("ochuman", 5, 5)])
def test_real_persons_are_aligned_upright_and_trained_on(name: str, persons: int, labelled: int):
    batch = inferred(SHARED / name)
    assert len(batch["person_image"]) == persons
    assert batch["skeletons"].any(axis=(1, 2, 3)).sum() == labelled
    # What is seen of the key points, in the aligned squares: most of it must lie inside.
    inside = batch["skeletons"][:, :17].any(axis=(2, 3)).sum(axis=1)
    assert inside[batch["skeletons"].any(axis=(1, 2, 3))].mean() > 10
    dataset = resolve(SHARED / name, "train", "person_keypoints")
    samples = Training(dataset, SETTINGS)
    with Loader(samples, samples.collate, len(samples), 2, 0, 0) as loader:
        for _, batch in islice(loader, 4):
            assert (batch["masks"].mean(axis=(1, 2)) > 0.01).all()
    dataset_points = np.concatenate([dataset.objects(i, masks=False).keypoints for i in range(len(dataset))])
    assert (dataset_points % 1 != 0).any() == (name == "ochuman")
