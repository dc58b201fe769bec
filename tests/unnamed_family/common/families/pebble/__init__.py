"""Pebble: a small one-stage model, in which the cell that holds an object's centre answers for the object.

A cell's answers are (..., h, w) in the network and rows (N, h * w, ...) here, row after row of the grid:

    classes (N, C, h, w)    logits, one a class; no background
    boxes (N, 4, h, w)      centre from the cell's centre, and logarithms of width and height, in cells
    masks (N, m * m, h, w)  logits of a mask that is stretched over the box
"""
