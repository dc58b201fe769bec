"""Tables that are made in NumPy once and kept on a device."""

import numpy as np
import torch
from torch import Tensor


def keep_table(table: np.ndarray, device: torch.device) -> Tensor:
    """The table on the device; what is made in a prediction would not be good for training, so it is made outside."""
    with torch.inference_mode(False):
        return torch.from_numpy(table).to(device)
