"""What PyTorch can do to a layer's answer without a copy of it."""

from torch import Tensor
from torch.nn import functional as F

from torch_impl import layers


def relu(x: Tensor) -> Tensor:
    """Of an answer that nothing else reads; where layers run as themselves, to be observed, it is left as it was."""
    return F.relu(x, inplace=layers._folding)
