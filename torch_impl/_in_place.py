"""Operations that change a layer's output in its place, without a copy."""

from torch import Tensor
from torch.nn import functional as F

from torch_impl import layers


def relu(x: Tensor) -> Tensor:
    """The ReLU of an output that nothing else reads; it is copied where layers run unfolded, to be observed."""
    return F.relu(x, inplace=layers._folding)
