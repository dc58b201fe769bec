"""PointRend (Kirillov et al., 2020): Mask R-CNN whose masks are computed point by point, finely where they are unsure.

`heads.py` has the two heads that stand in for the mask head, and the subdivision; all else is Mask R-CNN's.
"""
