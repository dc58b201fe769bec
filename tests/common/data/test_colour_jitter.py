"""The changes of colours against the numbers that torchvision 0.20's own functions gave for the same image."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.families.mask_rcnn import colour_jitter
from common.families.mask_rcnn.settings import RcnnAugmentation
from common.training.randomness import stream

# Of each change and factor the image of `picture`, row by row.
EXPECTED = json.loads(Path(__file__).with_name("colour_jitter.json").read_text())
FUNCTIONS = {
    "brightness": "change_brightness",
    "contrast": "change_contrast",
    "saturation": "change_saturation",
    "hue": "shift_hue",
}


def picture() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (3, 4, 3), dtype=np.uint8)


@pytest.mark.parametrize("case", EXPECTED)
def test_each_change_is_torchvisions(case):
    name, factor = case.split()
    changed = getattr(colour_jitter, FUNCTIONS[name])(Image.fromarray(picture()), float(factor))
    assert np.asarray(changed).reshape(-1).tolist() == EXPECTED[case]


def recorded(monkeypatch, **chosen):
    """The changes that 200 images got, each as its name and factor, in their order."""
    calls = []
    for name, function in FUNCTIONS.items():

        def change(image, factor, name=name):
            calls.append((name, factor))
            return image

        monkeypatch.setattr(colour_jitter, function, change)
    images = []
    for index in range(200):
        calls.clear()
        colour_jitter.jitter_colours(picture(), RcnnAugmentation(**chosen), stream(0, index, "augmentation"))
        images.append(list(calls))
    return images


def test_factors_are_drawn_in_torchvisions_ranges_and_in_any_order(monkeypatch):
    images = recorded(monkeypatch, brightness=0.4, contrast=1.5, saturation=0.2, hue=0.1)
    ranges = {"brightness": (0.6, 1.4), "contrast": (0, 2.5), "saturation": (0.8, 1.2), "hue": (-0.1, 0.1)}
    assert all({name for name, _ in calls} == set(ranges) for calls in images)
    for name, (low, high) in ranges.items():
        factors = [factor for calls in images for found, factor in calls if found == name]
        assert low <= min(factors) < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < max(factors) <= high
    assert len({tuple(name for name, _ in calls) for calls in images}) == 24


def test_what_is_off_draws_nothing(monkeypatch):
    assert recorded(monkeypatch) == [[]] * 200
    assert {name for calls in recorded(monkeypatch, hue=0.3) for name, _ in calls} == {"hue"}
    before, after = stream(0, 0, "augmentation"), stream(0, 0, "augmentation")
    unchanged = colour_jitter.jitter_colours(picture(), RcnnAugmentation(), after)
    assert np.array_equal(unchanged, picture()) and after.random() == before.random()
