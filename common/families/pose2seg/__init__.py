"""Pose2Seg (Zhang et al., 2019): everything of the model that is not network.

What depends on the key points alone is NumPy, many persons at once: alignment, skeletons, targets, masks in the image.
"""
