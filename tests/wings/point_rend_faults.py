"""Faults as ports of PointRend have them, each planted in this process's wing alone."""

import common.families.point_rend.heads
import common.families.point_rend.training
import common.points
from common.array import namespace
from tests.wings.parity_faults import Fault

NOISY = ("noise", "border", "scale", "shift by channel", "scale by channel", "smoothing")


def corners_for_points(wing, patch, framework):
    """Reads maps with the corners of the grid at the centres of the border cells."""
    right = wing("ops").grid_sample
    patch.setattr(wing("ops"), "grid_sample", lambda x, grid: right(x, grid, True))


def unsure_before_reading(wing, patch, framework):
    """Reads |logit| at the candidates, and not the absolute value of what is read there."""
    right = common.points.read_masks
    patch.setattr(common.points, "read_masks", lambda masks, at: right(namespace(masks).abs(masks), at))


def labels_in_another_order(wing, patch, framework):
    right = common.families.point_rend.training.read_outlines
    patch.setattr(common.families.point_rend.training, "read_outlines", lambda *given: right(*given)[:, ::-1].copy())


def coarse_features_of_the_fine_mask(wing, patch, framework):
    """The point head reads the refined logits of the class where it should read the coarse ones."""
    right = common.families.point_rend.heads.subdivide

    def subdivide(network, maps, boxes, counts, coarse, labels):
        xp, side = namespace(boxes), coarse.shape[2]
        *_, last = right(network, maps, boxes, counts, coarse, labels)
        own = labels[:, None] == xp.arange(coarse.shape[1], like=coarse)[None]
        refined = xp.resize(last.logits[:, None], (side, side))
        mixed = xp.where(own[:, :, None, None], refined, coarse)
        return right(network, maps, boxes, counts, mixed, labels)

    patch.setattr(common.families.point_rend.heads, "subdivide", subdivide)


FAULTS = {
    "align_corners of points": Fault(corners_for_points, 1, "input of coarse_head", NOISY),
    "unsure before reading": Fault(unsure_before_reading, 2, "number of equal points", NOISY),
    "labels of points in another order": Fault(labels_in_another_order, 2, "loss.points", NOISY),
    "coarse features of the fine mask": Fault(coarse_features_of_the_fine_mask, 5, "mask IoU", NOISY),
}
