"""The weights that Mask2Former starts from."""

def initial_weight(name, shapes, settings, seed):
    raise NotImplementedError
