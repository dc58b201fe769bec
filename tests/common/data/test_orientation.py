"""EXIF's orientation: maskrcnn-benchmark and torchvision read an image as it is stored, the others turn it upright."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from common.commands.media import Images
from common.config import Settings
from common.data.coco import resolve
from common.families import family_of
from common.models import load_settings
from common.training.randomness import stream
from tests.common.data.coco_files import HEIGHT, WIDTH, annotation, image, jpeg_to_be_turned, write

TURNED = {
    "mask_rcnn_r50_fpn": False,
    "mask_rcnn_r50_c4": False,
    "mask_rcnn_r50_fpn_torchvision": False,
    "mask_rcnn_r50_fpn_detectron2": True,
    "yolact_tiny": True,
    "pose2seg": True,
}
PLAIN = {
    "yolact": [f"augmentation.{step}=false" for step in ("photometric", "expand", "sample_crop", "mirror")],
    "mask_rcnn": ["augmentation.flip=false", "augmentation.short_sides=[]"],
    "pose2seg": [],
}


@pytest.fixture
def root(tmp_path) -> Path:
    """An image, stored upside down, that is dark in its upper half when it is shown as its Exif block says."""
    stored = np.full((HEIGHT, WIDTH, 3), 250, np.uint8)
    stored[HEIGHT // 2 :] = 5
    write(tmp_path, [image(1, file_name="1.jpg")], [annotation(1, 1)], draw=False)
    (tmp_path / "images" / "1.jpg").write_bytes(jpeg_to_be_turned(stored, 3))
    return tmp_path


def settings_of(model: str) -> Settings:
    family = load_settings(model).family
    return load_settings(model, [*PLAIN[family], *(["num_classes=2"] if family != "pose2seg" else [])])


def is_dark_above(planes: np.ndarray) -> bool:
    """Of (3, H, W) or (H, W, 3), whatever its scale."""
    image_ = planes if planes.shape[-1] == 3 else planes.transpose(1, 2, 0)
    rows = image_[:, image_.shape[1] // 2].mean(axis=1)
    return bool(rows[len(rows) // 4 + 1] < rows[-len(rows) // 4 - 1])


@pytest.mark.parametrize("model", [name for name in TURNED if name != "pose2seg"])
def test_training_and_evaluation_read_as_the_original(root, model):
    settings, dataset = settings_of(model), resolve(root, "train")
    samples = family_of(settings).samples
    for made in (samples.Training(dataset, settings), samples.Inference(dataset, settings)):
        assert is_dark_above(made(0, stream(0, 0, "x"))["image"]) == TURNED[model]


@pytest.mark.parametrize("model", TURNED)
def test_prediction_reads_as_the_original(root, model):
    settings = load_settings(model)
    ((name, pixels),) = Images(root / "images", settings.reads_upright)
    assert name == "1.jpg" and pixels.shape == (HEIGHT, WIDTH, 3) and is_dark_above(pixels) == TURNED[model]


def test_opencv_turns_it_and_can_be_told_not_to(root):
    path = str(root / "images" / "1.jpg")
    assert is_dark_above(cv2.imread(path))
    assert not is_dark_above(cv2.imread(path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION))
