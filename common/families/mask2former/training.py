"""A training step of Mask2Former."""

def compute_losses(network, batch, choose, sum_over_ranks):
    raise NotImplementedError
