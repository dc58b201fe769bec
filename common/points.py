"""Reads masks at points, which are (x, y) in 0..1 of the mask.

The cell in row i and column j of a mask (h, w) has its centre at ((j + 0.5) / w, (i + 0.5) / h).
"""

from common.array import Array, namespace


def read_masks(masks: Array, points: Array) -> Array:
    """Reads masks (K, C, h, w) at points (K, P, 2), bilinearly and with zeros outside -> (K, C, P)."""
    xp = namespace(masks)
    return xp.grid_sample(masks, 2.0 * points[:, :, None] - 1.0)[..., 0]
