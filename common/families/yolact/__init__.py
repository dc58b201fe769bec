"""YOLACT and YOLACT++ (Bolya et al., 2019, 2020): everything of the model that is not network.

Priors and training targets depend on the inputs alone and are made in NumPy, in the loader's workers. Losses and
detection take the network's outputs, on the array contract; what detection leaves of them it finishes in NumPy:

    loc (B, P, 4)       offsets of the boxes from the priors
    conf (B, P, C + 1)  logits, the background first
    mask (B, P, K)      coefficients
    proto (B, h, w, K)  prototypes
    segm (B, C, h, w)   logits of the semantic branch, on P3's grid

Boxes are relative to the image, xyxy; priors are relative centre x, centre y, width, height.
"""
