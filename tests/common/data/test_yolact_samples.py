"""YOLACT's samples from data on disk: the same with any number of workers, and named where they fail."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from common.data.coco import resolve
from common.data.loader import Loader, ordered
from common.data.shapes import write_shapes
from common.errors import UserError
from common.families.yolact.geometry import make_priors
from common.families.yolact.samples import Inference, Training, augment, prepare
from common.models import load_settings
from common.training.randomness import stream
from tests.common.data.coco_files import annotation, image, write

STEPS = ("photometric", "expand", "sample_crop", "mirror")
SETTINGS = load_settings("yolact_tiny", [f"augmentation.{step}=true" for step in STEPS])
PLAIN = [f"augmentation.{step}=false" for step in STEPS]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_shapes(tmp_path_factory.mktemp("data") / "shapes", images=40, seed=2)


def batches(root: Path, workers: int, count: int = 4) -> list[dict[str, np.ndarray]]:
    made = Training(resolve(root, "train"), SETTINGS)
    with Loader(made, made.collate, len(made), 4, 9, workers) as loader:
        return [batch for _, batch in islice(loader, count)]


def test_batches_are_equal_with_any_number_of_workers(root):
    expected = batches(root, 0)
    for workers in (1, 2):
        for one, other in zip(batches(root, workers), expected, strict=True):
            assert one.keys() == other.keys()
            for name in one:
                np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_a_sample_is_the_augmented_image_with_its_targets(root):
    dataset = resolve(root, "train")
    made = Training(dataset, SETTINGS)
    sample = made(3, stream(0, 3, "augmentation"))
    # The same by hand; without objects in the end another image would have come.
    rng = stream(0, 3, "augmentation")
    augmented = augment(dataset.load(int(made.positions[3])), SETTINGS, rng)
    assert sample["image_id"] == augmented.image_id == dataset.image_ids[made.positions[3]]
    mean, deviation = np.array(SETTINGS.preprocessing.mean), np.array(SETTINGS.preprocessing.deviation)
    np.testing.assert_allclose(sample["image"], ((augmented.image - mean) / deviation).transpose(2, 0, 1), atol=1e-5)
    assert sample["image"].shape == (3, 128, 128) and sample["image"].dtype == np.float32
    present = set(augmented.labels[~augmented.crowd].tolist())
    assert set(sample["class_targets"].tolist()) - {-1, 0} <= {label + 1 for label in present}
    assert {label for label in range(4) if sample["semantic"][label].any()} <= present
    objects = ~augmented.crowd
    assert len(sample["object_masks"]) == objects.sum()
    owned = augmented.boxes[objects][sample["positive_object"]] / 128
    np.testing.assert_allclose(sample["positive_box"], owned, rtol=1e-6)
    assert len(owned) >= objects.sum()  # every object has its prior


def test_images_without_objects_are_not_trained_on(root):
    dataset = resolve(root, "train")
    empty = [position for position in range(len(dataset)) if dataset.load(position).crowd.all()]
    made = Training(dataset, SETTINGS)
    assert not set(made.positions) & set(empty) and len(made) + len(empty) == len(dataset)


def test_an_image_that_loses_its_objects_gives_way_to_another(tmp_path):
    settings = load_settings("yolact_tiny", ["num_classes=2", *PLAIN])
    # The first has an object that is a thousandth of a pixel wide.
    thin = annotation(1, 1, bbox=[5, 5, 0.001, 20], segmentation=[[5, 5, 6, 5, 6, 25]])
    root = write(tmp_path, [image(1), image(2)], [thin, annotation(2, 2)])
    made = Training(resolve(root, "train"), settings)
    assert len(made) == 2
    assert {int(made(0, stream(0, step, "x"))["image_id"]) for step in range(20)} == {2}
    only = Training(resolve(root, "train"), settings, positions=np.array([0]))
    with pytest.raises(UserError, match="no object was left to train on"):
        only(0, stream(0, 0, "x"))


def test_crowds_are_neutral_and_never_positive(tmp_path):
    settings = load_settings("yolact_tiny", ["num_classes=2", *PLAIN])
    crowd = annotation(2, 1, iscrowd=1, category_id=7, bbox=[18, 2, 20, 26], segmentation=[[18, 2, 38, 2, 38, 28]])
    root = write(tmp_path, [image(1)], [annotation(1, 1), crowd])
    sample = Training(resolve(root, "train"), settings)(0, stream(0, 0, "x"))
    assert set(sample["class_targets"].tolist()) == {-1, 0, 1}
    assert len(sample["object_masks"]) == 1 and not sample["semantic"][1].any()
    centres = make_priors(settings)[:, :2]
    within = (np.abs(centres - [28 / 40, 0.5]) < 0.05).all(axis=1) & (make_priors(settings)[:, 2:] < 0.2).all(axis=1)
    assert within.any() and (sample["class_targets"][within] == -1).all()


def test_another_number_of_classes_is_refused(root):
    with pytest.raises(UserError, match="has 4 classes, yolact_base is set for 80; num_classes=4 makes it fit"):
        Training(resolve(root, "train"), load_settings("yolact_base"))


def test_data_without_objects_are_refused(tmp_path):
    root = write(tmp_path, [image(1)], [])
    with pytest.raises(UserError, match="no image with an object to train on"):
        Training(resolve(root, "train"), load_settings("yolact_tiny", ["num_classes=2"]))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_image_is_named_from_within_a_worker(tmp_path, workers):
    root = write(tmp_path, [image(1), image(52)], [annotation(1, 1), annotation(2, 52)])
    (root / "images/52.png").write_bytes(b"broken")
    made = Training(resolve(root, "train"), load_settings("yolact_tiny", ["num_classes=2"]))
    with Loader(made, made.collate, len(made), 2, 0, workers) as loader, pytest.raises(UserError) as error:
        next(loader)
    assert str(error.value).startswith("image 52 (") and str(error.value).count("52") == 2


def test_inference_goes_through_all_images_in_order(root):
    dataset = resolve(root, "val")
    made = Inference(dataset, SETTINGS)
    found = list(ordered(made, made.collate, len(made), 3, workers=2))
    assert np.concatenate([batch["image_id"] for batch in found]).tolist() == dataset.image_ids.tolist()
    assert all(size == (128, 160) for batch in found for size in map(tuple, batch["original_size"]))
    np.testing.assert_array_equal(found[1]["image"][0], prepare(dataset.image(3), SETTINGS)["image"])


def test_an_object_whose_mask_has_no_pixel_is_trained_on(tmp_path):
    settings = load_settings("yolact_tiny", ["num_classes=2", *PLAIN])
    point = annotation(1, 1, segmentation=[[7, 7, 7, 7, 7, 7]])
    made = Training(resolve(write(tmp_path, [image(1)], [point]), "train"), settings)
    sample = made(0, stream(0, 0, "x"))
    assert (sample["class_targets"] > 0).any() and sample["object_masks"].shape[0] == 1
    assert not sample["object_masks"].any() and np.isfinite(sample["positive_weight"]).all()
