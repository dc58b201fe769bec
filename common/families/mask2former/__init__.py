"""Mask2Former (Cheng et al., 2022): queries that attend where their own masks lie, for panoptic, instance and semantic

segmentation. The figures and rules are those of facebookresearch/Mask2Former.
"""
