"""What a predictor opens, by the words it is given; what it then does is each wing's."""

from types import SimpleNamespace

import numpy as np
import pytest

from common import predictor
from common.errors import UserError
from common.models import load_settings
from common.results import Instances, Panoptic
from tests.common.commands.still_learner import wing_with


@pytest.fixture
def opened(monkeypatch):
    """What was asked for, call by call."""
    calls = []

    def open_model(wing, model, weights, overrides, device):
        calls.append((wing.framework, model, str(weights), list(overrides), device))
        return None, load_settings(model, overrides), SimpleNamespace(classes=("a", "b"))

    monkeypatch.setattr(predictor, "open_model", open_model)
    return calls


class Predictor(predictor.Predictor):
    wing = wing_with(lambda: None)


def test_a_name_with_overrides_and_a_short_side(opened):
    found = Predictor("mask_rcnn_tiny", "w.pth", short_side=96, overrides=["detection.iou_threshold=0.3"], device="cpu")
    overrides = ["detection.iou_threshold=0.3", "preprocessing.short_side=96"]
    assert opened == [("fake", "mask_rcnn_tiny", "w.pth", overrides, "cpu")]
    assert found.classes == ("a", "b")


def test_a_file_of_ones_own(opened, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("base: mask_rcnn_tiny\nnum_classes: 2\n")
    assert Predictor(path, "w.pth").settings.num_classes == 2


def test_a_file_of_maskrcnn_benchmark(opened, tmp_path):
    path = tmp_path / "e2e.yaml"
    path.write_text("MODEL:\n  MASK_ON: True\n  WEIGHT: there.pth\n  ROI_HEADS:\n    DETECTIONS_PER_IMG: 7\n")
    found = Predictor(path)
    assert (found.settings.model, found.settings.detection.max_detections) == ("mask_rcnn_r50_c4", 7)
    Predictor(path, "mine.pth")
    assert [weights for _, _, weights, _, _ in opened] == ["there.pth", "mine.pth"]
    path.write_text('MODEL:\n  MASK_ON: True\n  WEIGHT: "catalog://ImageNetPretrained/MSRA/R-50"\n')
    with pytest.raises(UserError, match=r"MODEL\.WEIGHT: no trained model is given"):
        Predictor(path)


def test_modelscope_s_form_is_one_of_panoptic_results(monkeypatch):
    size = (24, 32)
    nothing = Instances(size, *(np.zeros(shape, np.float32) for shape in ((0, 4), (0,), (0,), (0, *size))))
    learner = SimpleNamespace(predict=lambda inputs, threshold: [nothing])
    opened = (learner, load_settings("mask_rcnn_tiny"), SimpleNamespace(classes=("a", "b")))
    monkeypatch.setattr(predictor, "open_model", lambda *_: opened)
    found = Predictor("mask_rcnn_tiny", "w.pth")
    with pytest.raises(UserError, match="mask_rcnn_tiny finds no panoptic segments"):
        found.run_as_modelscope(np.zeros((*size, 3), np.uint8))
    learner.predict = lambda inputs, threshold: [
        Panoptic(size, *_two_segments(size), nothing, np.zeros(size, np.int32))
    ]
    answer = found.run_as_modelscope(np.zeros((*size, 3), np.uint8))
    assert answer["labels"] == ["a", "b"] and [mask.sum() for mask in answer["masks"]] == [32, 64]


def _two_segments(size):
    segment_map = np.zeros(size, np.int32)
    segment_map[:2], segment_map[2] = 1, 2
    return segment_map, np.int32([1, 2]), np.array([1, 0]), np.float32([0.9, 0.9]), np.array([False, True])
