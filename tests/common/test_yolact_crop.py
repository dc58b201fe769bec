"""Masks cut to their boxes and whole, against what the original's `postprocess` gave for the same numbers."""

import numpy as np
import pytest

from common.families.yolact.detection import Detections, postprocess
from common.models import load_settings

HEIGHT, WIDTH = 9, 12
# Pixel by pixel, of the two detections.
EXPECTED = {
    True: (
        "000000000000000000000000111000100000111000000000111011100000110011100000111000000000000000000000000000000000",
        "000000000111000000001011000001001011000001100001000000000100000000000110000001100111000001110111000001110111",
    ),
    False: (
        "011111011000011001111000111000110100111000011111111011111001110011111001111000011000111100001000111110001000",
        "100000000111100110001011000111001011000111100001000110000100000100000110000111100111000011110111000001110111",
    ),
}


@pytest.mark.parametrize("crop", EXPECTED)
def test_masks_end_with_their_boxes_or_go_on(crop):
    rng = np.random.default_rng(2)
    prototypes = rng.normal(size=(6, 8, 3)).astype(np.float32)
    coefficients = rng.normal(size=(2, 3)).astype(np.float32)
    boxes = np.float32([[0.1, 0.2, 0.5, 0.6], [0.4, 0.1, 0.9, 0.8]])
    found = Detections(boxes, np.float32([0.9, 0.8]), np.array([0, 1]), coefficients)
    masks = postprocess(found, prototypes, (HEIGHT, WIDTH), crop=crop).masks
    assert tuple("".join(map(str, mask.astype(int).reshape(-1))) for mask in masks) == EXPECTED[crop]


def test_the_setting_is_what_predict_goes_by(monkeypatch):
    asked = []
    monkeypatch.setattr("common.families.yolact.detection.detect", lambda outputs, settings: [None])
    monkeypatch.setattr("common.families.yolact.detection.postprocess", lambda *arguments: asked.append(arguments[-1]))
    from common.families.yolact.detection import find_instances

    for chosen in (True, False):
        settings = load_settings("yolact_tiny", [f"detection.crop={str(chosen).lower()}"])
        find_instances({"proto": [None]}, [(HEIGHT, WIDTH)], settings)
    assert asked == [True, False]
