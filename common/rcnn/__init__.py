"""The half of the two-stage models that is not network, on the array contract and in NumPy.

A map is named after the level it comes from, p2 to p6 in a pyramid and c4 without one; its stride is 2 ** level.
Labels are the network's own columns: where the background comes first objects count from 1, else from 0.
"""

from common.rcnn.geometry import HeadOutputs, anchors, head_outputs, map_names, strides
from common.rcnn.pooling import pool, pool_pyramid, pyramid_levels
from common.rcnn.stages import stages

__all__ = [
    "HeadOutputs",
    "anchors",
    "head_outputs",
    "map_names",
    "pool",
    "pool_pyramid",
    "pyramid_levels",
    "stages",
    "strides",
]
