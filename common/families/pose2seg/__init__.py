"""Pose2Seg (Zhang et al., 2019): everything of the model that is not network.

Alignment, skeletons, targets and masks in the image depend on no network: they are NumPy, for many persons at once.
"""
