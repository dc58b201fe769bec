"""Mask R-CNN (He et al., 2017): everything of the two-stage models that is not network.

It stands on the array contract and in NumPy. A map is named after the level it comes from, p2 to p6 in a pyramid and c4
without one; its stride is 2 ** level. Labels are the network's own columns: where the background comes first objects
count from 1, else from 0.
"""
