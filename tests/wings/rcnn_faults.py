"""Faults as ports of Mask R-CNN have them, each planted in this process's wing alone."""

import numpy as np

import common.families.mask_rcnn.anchors
import common.families.mask_rcnn.prediction
import common.families.mask_rcnn.sampling
from common.box_coder import decode
from common.families.mask_rcnn.conventions import Convention
from tests.wings.parity_faults import (
    SCALED,
    Fault,
    larger_gradient,
    no_biases,
    smaller_biases,
    smaller_folded_shifts,
)


class _FlooringNumPy:
    round = staticmethod(np.floor)

    def __getattr__(self, name):
        return getattr(np, name)


def floored_anchors(wing, patch, framework):
    patch.setattr(common.families.mask_rcnn.anchors, "np", _FlooringNumPy())


def other_alignment(wing, patch, framework):
    right = wing("ops").roi_align
    patch.setattr(wing("ops"), "roi_align", lambda *given: right(*given[:-1], not given[-1]))


def no_last_pixel(wing, patch, framework):
    """Decodes with sides of x2 - x1, where the anchors' are x2 - x1 + 1."""

    def decode_wrongly(rules, deltas, anchors):
        return decode(deltas, anchors, rules.anchor_weights, 0.0, rules.largest_log_ratio)

    patch.setattr(Convention, "decode_anchors", decode_wrongly)


def other_coder_weights(wing, patch, framework):
    """Encodes anchors' targets with the regions' weights."""
    right = common.families.mask_rcnn.sampling.encode

    def encode(boxes, anchors, weights, offset):
        return right(boxes, anchors, (10.0, 10.0, 5.0, 5.0), offset)

    patch.setattr(common.families.mask_rcnn.sampling, "encode", encode)


def background_last(wing, patch, framework):
    right = common.families.mask_rcnn.sampling.label_regions

    def label_regions(regions, boxes, box_labels, settings):
        labels, matched = right(regions, boxes, box_labels, settings)
        return np.where(matched >= 0, labels - 1, settings.num_classes).astype(np.int32), matched

    patch.setattr(common.families.mask_rcnn.sampling, "label_regions", label_regions)


def biases_at_the_common_rate(wing, patch, framework):
    module = wing("learner" if framework == "torch" else "_optimizers")
    right = module.rate_and_decay
    patch.setattr(module, "rate_and_decay", lambda schedule, name: (1.0, right(schedule, name)[1]))


def masks_a_pixel_off(wing, patch, framework):
    right = common.families.mask_rcnn.prediction.paste_binary
    patch.setattr(
        common.families.mask_rcnn.prediction, "paste_binary", lambda *given: np.roll(right(*given), 1, axis=2)
    )


FAULTS = {
    "floor in anchors": Fault(floored_anchors, 1, "anchors_p2", ("noise", "shift", "shift by channel")),
    "RoIAlign's half pixel": Fault(other_alignment, 1, "input of box_head", ("noise", "border")),
    "the last pixel in the coder": Fault(no_last_pixel, 2, "proposals.boxes", ("noise", "shift by channel")),
    "the coder's weights": Fault(other_coder_weights, 2, "loss.rpn_boxes", ("scale",)),
    "the background's place": Fault(background_last, 2, "loss.classes", ("scale",)),
    "biases 1 % too small": Fault(smaller_biases, 1, "fpn.lateral.0", ("shift by channel",)),
    "no biases": Fault(no_biases, 1, "fpn.lateral.0", ("shift by channel",)),
    "folded shifts 1 % too small": Fault(smaller_folded_shifts, 1, "as used: c2", ("noise", "shift by channel")),
    "a gradient of RoIAlign 2 % too large": Fault(larger_gradient("roi_align"), 3, "backbone.conv1.weight", ("noise",)),
    "the biases' rate": Fault(biases_at_the_common_rate, 4, "update of fpn.lateral.0.bias", SCALED),
    "masks a pixel off": Fault(masks_a_pixel_off, 5, "mask IoU", ("noise", *SCALED)),
}
