"""Two-stage models where the network proposes nothing, and where what it is given is odd or does not fit."""

import numpy as np
import pytest

from common.errors import UserError
from common.families.mask_rcnn import samples
from common.models import initial_weights, load_settings
from tests.goldens import golden
from tests.wings.golden_learner import golden_learner

C4 = ["num_classes=4", "network.backbone.depths=[1,1,1,1]", "network.backbone.width=16", "rpn.inference.before_nms=200"]
VARIANTS = {"pyramid": ("mask_rcnn_tiny", []), "c4": ("mask_rcnn_r50_c4", C4)}
IMAGES = golden.image(1, (2, 3, 64, 96))
SIZES = np.array([[64, 96], [50, 70]])


def learner(wing, variant, *overrides):
    model, own = VARIANTS[variant]
    return golden_learner(wing, model, [*own, *overrides])


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_proposal_gives_no_detection(variant, wing):
    network = learner(wing, variant, "rpn.smallest_side=1000000")
    found = network.trace({"image": IMAGES, "image_size": SIZES, "rois": np.array([[1, 4, 4, 40, 30.0]])})
    assert found["proposals"].shape == found["det_boxes"].shape == (0, 4)
    assert found["proposal_scores"].shape == found["det_scores"].shape == found["det_labels"].shape == (0,)
    # As large as the masks of regions that there are.
    assert found["det_masks"].shape == (0, *found["mask_logits"].shape[2:])


def test_boxes_stay_in_the_image_without_its_padding(wing):
    network = learner(wing, "pyramid", "detection.score_threshold=0.01")
    found = network.trace({"image": IMAGES[1:], "image_size": SIZES[1]})
    height, width = SIZES[1]
    for name in ("proposals", "det_boxes"):
        assert len(found[name]) and (found[name] >= 0).all()
        assert (found[name] <= [width - 1, height - 1, width - 1, height - 1]).all()


def test_a_cascade_takes_images_of_any_shape(wing):
    """Down to a pixel a side, and smaller than a Swin's windows; in one batch, where each is padded to the largest."""
    settings = load_settings("cascade_mask_rcnn_tiny", ["preprocessing.short_side=20", "preprocessing.long_side=70"])
    network = wing("learner").Learner(settings, "cpu")
    network.load_weights(initial_weights(network.shapes(), settings, 0))
    sizes = [(1, 1), (1, 90), (90, 1), (5, 3), (7, 60), (64, 96)]
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
    batch = samples.join([samples.prepare(image, settings) for image in images], settings)
    for found, (height, width) in zip(network.predict(batch), sizes, strict=True):
        assert found.image_size == (height, width) and found.masks.shape == (len(found), height, width)
        assert np.isfinite(found.scores).all() and (found.boxes >= 0).all()
        assert (found.boxes <= [width, height, width, height]).all()


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"rois": np.zeros((3, 4))}, r"rois has the shape \(3, 4\), not \(K, 5\)"),
        ({"rois": np.full((3, 5), 2.0)}, "index, from 0 to 1"),
        ({"rois": np.full((3, 5), np.nan)}, "index, from 0 to 1"),
        ({"image_size": SIZES[0]}, r"image_size has the shape \(2,\), not \(2, 2\)"),
    ],
)
def test_inputs_that_do_not_fit_are_named(given, line, wing):
    with pytest.raises(UserError, match=line):
        learner(wing, "pyramid").trace({"image": IMAGES, **given})
