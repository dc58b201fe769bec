"""What a predictor opens, by the words it is given; what it then does is each wing's."""

from types import SimpleNamespace

import pytest

from common import predictor
from common.errors import UserError
from common.models import load_settings
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
