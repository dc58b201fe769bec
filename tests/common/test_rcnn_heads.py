"""The two steps of a two-stage network on regions, and a family that hands over steps of its own, in NumPy."""

import numpy as np
import pytest

from common.families.mask_rcnn.geometry import map_names
from common.families.mask_rcnn.heads import RegionMasks, find_boxes, run_boxes, run_masks
from common.families.mask_rcnn.prediction import find_instances
from common.families.mask_rcnn.stages import run_heads, run_stages
from common.families.mask_rcnn.training import compute_losses, train_boxes
from common.models import load_settings
from tests.common.test_rcnn_training import INPUTS, Parts, settings_of
from tests.wings.rcnn_batch import SIZES, training_batch

ROIS = np.float32([[0, 4, 4, 40, 30], [1, 8, 2, 60, 50]])


class Heads:
    """A network of heads alone, which count how often they run."""

    def __init__(self, model):
        self.settings = load_settings(model)
        self.runs = []

    def box_head(self, pooled):
        self.runs.append("boxes")
        return 2 * pooled, np.zeros((len(pooled), 81), np.float32), np.zeros((len(pooled), 324), np.float32)

    def mask_head(self, features):
        self.runs.append("masks")
        return features, np.zeros((len(features), 81, 28, 28), np.float32)


def test_a_pyramids_regions_are_pooled_for_each_head():
    network = Heads("mask_rcnn_r50_fpn")
    maps = [np.full((2, 3, 64 // 2**k, 96 // 2**k), 1, np.float32) for k in range(5)]
    stages = run_heads(network, maps, ROIS)
    assert network.runs == ["boxes", "masks"]
    assert stages["box_pooled"].shape == (2, 3, 7, 7) and stages["mask_pooled"].shape == (2, 3, 14, 14)


def test_c4s_mask_head_takes_the_box_heads_features():
    """Features of the same rows are reused where the box head has run on them; else it runs on these regions."""
    network, maps = Heads("mask_rcnn_r50_c4"), [np.ones((2, 3, 6, 8), np.float32)]
    features = run_boxes(network, maps, ROIS)["box_features"]
    network.runs.clear()
    given = run_masks(network, maps, ROIS[1:], features[1:])
    assert network.runs == ["masks"] and "mask_pooled" not in given
    network.runs.clear()
    again = run_masks(network, maps, ROIS[1:])
    assert network.runs == ["boxes", "masks"]
    np.testing.assert_array_equal(given["mask_features"], again["mask_features"])


class Traced(Parts):
    """Heads made by hand, with the named outputs of a network."""

    def __call__(self, image):
        maps = self.features(image)
        outputs = dict(zip(map_names(self.settings), maps, strict=True))
        for kind, values in zip(("logits", "deltas"), self.rpn(maps), strict=True):
            outputs |= {f"rpn_{kind}_{name}": x for name, x in zip(map_names(self.settings), values, strict=True)}
        return outputs


@pytest.fixture
def network():
    """It finds something in every image."""
    return Traced(settings_of("mask_rcnn_r50_fpn", "rpn.inference.total=30"), class_logits=[0, 3, 1, 0, 0])


def find_own_masks(network, maps, found):
    """Masks of another size, from the maps themselves."""
    assert maps[0].shape[2:] == (24, 32)
    return [RegionMasks(np.ones((len(each.boxes), 56, 56), np.float32)) for each in found]


def test_a_family_trains_steps_of_its_own(network):
    """Boxes twice over, as a cascade does, and masks that see the maps."""

    def train_twice(network, maps, proposals, batch, share):
        first, _, _ = train_boxes(network, maps, proposals, batch, share)
        second, sampled, features = train_boxes(network, maps, proposals, batch, share)
        return (
            {f"{name}_{k}": x for k, terms in enumerate((first, second)) for name, x in terms.items()},
            sampled,
            features,
        )

    def train_points(network, maps, sampled, box_features, batch, share):
        assert len(sampled) == 3 and len(box_features) == 48
        return {"points": maps[0][0, 0, 0, 0]}

    batch = training_batch(network.settings)
    plain = compute_losses(network, batch)
    own = compute_losses(network, batch, train_boxes=train_twice, train_masks=train_points)
    assert own.keys() == {"objectness", "rpn_boxes", "classes_0", "boxes_0", "classes_1", "boxes_1", "points"}
    assert own["classes_1"] == plain["classes"] and own["points"] == 1


def test_a_family_finds_by_steps_of_its_own(network):
    def find_one(network, maps, proposals, image_sizes):
        return [each.select(slice(1)) for each in find_boxes(network, maps, proposals, image_sizes)]

    inputs = INPUTS | {"original_size": SIZES[:2]}
    found = find_instances(network, INPUTS["image"], inputs, find_boxes=find_one, find_masks=find_own_masks)
    assert [len(each) for each in found] == [1, 1]
    assert all(each.probabilities.shape == (1, 56, 56) and each.masks.any() for each in found)
    inputs = INPUTS | {"rois": ROIS}
    stages = run_stages(network, INPUTS["image"], inputs, run_boxes, find_one, find_own_masks)
    assert stages["det_boxes"].shape == (2, 4) and stages["det_masks"].shape == (2, 56, 56)
    assert stages["class_logits"].shape == (2, 5) and "mask_logits" not in stages
