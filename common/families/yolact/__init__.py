"""YOLACT and YOLACT++ (Bolya et al., 2019, 2020): everything of the model that is not network.

Priors and training targets depend on the inputs alone and are made in NumPy, in the loader's workers. Losses and
detection work on the array contract with the network's outputs; detection turns to NumPy once it has chosen its
candidates. The outputs for B images, P priors, C classes and K prototypes are:

    loc (B, P, 4)       offsets of the boxes from the priors
    conf (B, P, C + 1)  logits of the classes, the background first
    mask (B, P, K)      coefficients of the prototypes
    proto (B, h, w, K)  prototypes
    segm (B, C, h, w)   logits of the semantic branch, on P3's grid

Boxes are xyxy and priors are centre x, centre y, width, height, all as shares of the image's sides.
"""
