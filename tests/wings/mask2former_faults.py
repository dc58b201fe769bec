"""Faults as ports of Mask2Former have them, each planted in this process's wing alone."""

import common.families.mask2former.matching
import common.families.mask2former.training
from common.array import namespace
from tests.wings.parity_faults import CALL, SCALED, Fault, wrap
from tests.wings.point_rend_faults import unsure_before_reading

NOISY = ("noise", *SCALED)
training = common.families.mask2former.training
matching = common.families.mask2former.matching


def x_before_y(wing, patch, framework):
    """Half of a position's channels tell the column, and the other half the row."""
    right = wing("mask2former")._positions

    def positions(*given):
        found = right(*given)
        half = found.shape[1] // 2
        return namespace(found).concatenate([found[:, half:], found[:, :half]], axis=1)

    patch.setattr(wing("mask2former"), "_positions", positions)


def swapped_sides(wing, patch, framework):
    """An offset along x counts in a map's heights, and one along y in its widths."""
    right = wing("mask2former")._cells

    def cells(*given):
        found = right(*given)
        return namespace(found).concatenate([found[..., 1:], found[..., :1]], axis=found.ndim - 1)

    patch.setattr(wing("mask2former"), "_cells", cells)


def fine_before_coarse(wing, patch, framework):
    """The queries look at the map of stride 8 first."""

    def decode(self, levels, features, *others, original, **options):
        return original(self, levels[::-1], features, *others, **options)

    wrap(patch, wing("mask2former").TransformerDecoder, CALL[framework], decode)


def norm_before_attention(wing, patch, framework):
    def layer(self, queries, positions, keys, values, hidden):
        xp, placed = namespace(queries), self.cross_norm(queries) + positions
        crossed = queries + self.cross_attn(placed, keys, values, hidden)
        normed = self.self_norm(crossed)
        mixed = crossed + self.self_attn(normed + positions, normed + positions, normed)
        return crossed, mixed, mixed + self.linear2(xp.maximum(self.linear1(self.ffn_norm(mixed)), 0.0))

    patch.setattr(wing("mask2former").DecoderLayer, CALL[framework], layer)


def everything_is_seen(wing, patch, framework):
    """No query is kept from looking beyond its mask."""

    def layer(self, queries, positions, keys, values, hidden, original):
        return original(
            self, queries, positions, keys, values, namespace(queries).logical_and(hidden, hidden != hidden)
        )

    wrap(patch, wing("mask2former").DecoderLayer, CALL[framework], layer)


def corners_for_points(wing, patch, framework):
    """Reads masks with the corners of the grid at the centres of the border cells."""
    right = wing("ops").grid_sample
    patch.setattr(wing("ops"), "grid_sample", lambda x, grid: right(x, grid, True))


def pairs_by_classes_alone(wing, patch, framework):
    right = matching.compute_mask_costs
    patch.setattr(matching, "compute_mask_costs", lambda *given: tuple(0.0 * cost for cost in right(*given)))


def segments_in_another_order(wing, patch, framework):
    """Compares each query's mask with the segment of another pair."""
    right = training.read_pairs

    def read(*given):
        points, logits, truth = right(*given)
        return points, logits, namespace(truth).concatenate([truth[1:], truth[:1]])

    patch.setattr(training, "read_pairs", read)


def smaller_segments(wing, patch, framework):
    """Brings the segments to the size of the masks that are compared with them before it reads them."""
    right = training.gather_segments

    def gather(batch, like):
        found = right(batch, like)
        size = [side // 4 for side in found.masks.shape[2:]]
        return type(found)(namespace(like).resize(found.masks, size), found.labels, found.counts)

    patch.setattr(training, "gather_segments", gather)


def equal_weights_of_classes(wing, patch, framework):
    """A query without an object counts as much as one that has one."""
    right = training.sum_class_losses
    patch.setattr(training, "sum_class_losses", lambda logits, labels, weight: right(logits, labels, 1.0))


def dice_without_one(wing, patch, framework):
    """Leaves out the 1 that is added above and below the line of dice."""
    right = training.sum_mask_losses

    def losses(logits, truth):
        xp = namespace(logits)
        shares = xp.sigmoid(logits)
        dice = 2.0 * xp.sum(shares * truth, 1) / (xp.sum(shares, 1) + xp.sum(truth, 1))
        return right(logits, truth)[0], xp.sum(1.0 - dice)

    patch.setattr(training, "sum_mask_losses", losses)


def decayed_embeddings(wing, patch, framework):
    _other_schedule(wing, patch, framework, undecayed=())


def slow_backbone(wing, patch, framework):
    _other_schedule(wing, patch, framework, backbone_rate=0.1)


def _other_schedule(wing, patch, framework, **changed):
    module = wing("learner" if framework == "torch" else "_optimizers")
    right = module.rate_and_decay
    patch.setattr(module, "rate_and_decay", lambda schedule, name: right(schedule.model_copy(update=changed), name))


FAULTS = {
    "x before y in positions": Fault(x_before_y, 1, "input of pixel_decoder.layers.0.self_attn.*", NOISY),
    "offsets in heights": Fault(swapped_sides, 1, "input of pixel_decoder.layers.0.self_attn.output_proj", NOISY),
    "fine before coarse": Fault(fine_before_coarse, 1, "input of transformer_decoder.layers.0.*", NOISY),
    "norms before attention": Fault(norm_before_attention, 1, "input of transformer_decoder.layers.0.*", NOISY),
    "nothing hidden from a query": Fault(everything_is_seen, 1, "input of transformer_decoder.layers.0.*", NOISY),
    "align_corners of points": Fault(corners_for_points, 2, "number of equal p*", NOISY),
    "pairs by classes alone": Fault(pairs_by_classes_alone, 2, "number of equal pairs", NOISY),
    "unsure before reading": Fault(unsure_before_reading, 2, "number of equal points*", NOISY),
    "segments in another order": Fault(segments_in_another_order, 2, "loss.masks*", NOISY),
    "segments made smaller": Fault(smaller_segments, 2, "loss.*", NOISY),
    "no object with weight 1": Fault(equal_weights_of_classes, 2, "loss.classes*", NOISY),
    "dice without 1": Fault(dice_without_one, 2, "loss.dice*", NOISY),
    "decay of embeddings": Fault(decayed_embeddings, 4, "update of *", (*NOISY, "shift")),
    "the backbone at a tenth of the rate": Fault(slow_backbone, 4, "update of backbone.*", NOISY),
}
