"""Mask R-CNN (He et al., 2017): everything of the two-stage models that is not network.

It stands on the array contract and in NumPy. A map is named after the level it comes from, p2 to p6 in a pyramid and c4
without one; its stride is 2 ** level. A label is the place among the network's class logits: where the background
comes first the classes count from 1, else from 0.
"""
