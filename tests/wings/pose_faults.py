"""Faults as ports of Pose2Seg have them, each planted in this process's wing alone."""

import numpy as np

import common.families.pose2seg
import common.families.pose2seg.persons
import common.families.pose2seg.prediction
from common.training.schedules import rate_and_decay
from tests.wings.parity_faults import (
    SCALED,
    Fault,
    larger_gradient,
    no_biases,
    smaller_biases,
    smaller_folded_shifts,
    wrap,
)


def other_corners(wing, patch, framework):
    right = wing("ops").grid_sample
    patch.setattr(wing("ops"), "grid_sample", lambda x, grid, align_corners: right(x, grid, align_corners=False))


def other_corners_behind_the_blocks(wing, patch, framework):
    right = wing("ops").resize
    patch.setattr(wing("ops"), "resize", lambda x, size, mode="bilinear", align_corners=False: right(x, size, mode))


def no_skeletons(wing, patch, framework):
    right = common.families.pose2seg.persons.draw_skeletons
    patch.setattr(common.families.pose2seg.persons, "draw_skeletons", lambda *given: np.zeros_like(right(*given)))


def mean_over_both_classes(wing, patch, framework):
    right = common.families.pose2seg.prediction.compute_mask_loss
    patch.setattr(common.families.pose2seg.prediction, "compute_mask_loss", lambda *given: 0.5 * right(*given))


def decay_as_in_the_others(wing, patch, framework):
    module = wing("learner" if framework == "torch" else "_optimizers")
    right = module.rate_and_decay
    patch.setattr(module, "rate_and_decay", lambda schedule, name: (right(schedule, name)[0], 1.0))


def epsilon_in_the_root(wing, patch, framework):
    """Adam divides by sqrt(square + eps) in place of sqrt(square) + eps."""

    def step(learner, batch, rate, original, **options):
        before = learner.weights()
        losses = original(learner, batch, rate, **options)
        memory, weights = learner.optimizer_state(), learner.weights()
        for name in learner.trainable():
            count = int(memory[f"step/{name}"])
            mean = memory[f"exp_avg/{name}"] / (1 - 0.9**count)
            root = np.sqrt(memory[f"exp_avg_sq/{name}"] / (1 - 0.999**count) + 1e-8)
            factor, _ = rate_and_decay(learner.settings.schedule, name)
            weights[name] = np.float32(before[name] - rate * factor * mean / root)
        learner.load_weights(weights)
        return losses

    wrap(patch, wing("learner").Learner, "train_step", step)


def masks_a_pixel_off(wing, patch, framework):
    right = common.families.pose2seg.prediction.paste
    patch.setattr(common.families.pose2seg.prediction, "paste", lambda *given: np.roll(right(*given), 1, axis=2))


FAULTS = {
    "align_corners of the persons' grids": Fault(other_corners, 1, "input of segnet", ("noise", "border")),
    "align_corners in the segmentation": Fault(
        other_corners_behind_the_blocks, 1, "input of segnet.decoder1", ("noise", "border")
    ),
    "skeletons left out": Fault(no_skeletons, 1, "input of segnet", ("noise", "scale by channel")),
    "a mean over both classes": Fault(mean_over_both_classes, 2, "loss.mask", ("scale",)),
    "biases 1 % too small": Fault(smaller_biases, 1, "fpn.lateral.0", ("shift by channel",)),
    "no biases": Fault(no_biases, 1, "fpn.lateral.0", ("shift by channel",)),
    "folded shifts 1 % too small": Fault(smaller_folded_shifts, 1, "as used: p1", ("noise", "shift by channel")),
    "a gradient of the grids' sampling 2 % too large": Fault(
        larger_gradient("grid_sample"), 3, "fpn.lateral.0.*", ("scale", "noise")
    ),
    # It shows in whichever parameter has the smallest gradients, which is rounding's to say.
    "Adam's epsilon in the root": Fault(epsilon_in_the_root, 4, "update of *", ("noise",)),
    "decay where there is none": Fault(decay_as_in_the_others, 4, "exp_avg/backbone.conv1.weight", ("noise", *SCALED)),
    "persons' masks a pixel off": Fault(masks_a_pixel_off, 1, "masks.0", ("noise", "channels permuted")),
}
