"""Cascade Mask R-CNN (Cai and Vasconcelos, 2018): Mask R-CNN with a box head and a mask head for each of its stages.

How the stages follow each other is in `common/families/cascade_mask_rcnn`.
"""

from torch import Tensor, nn

from common.config import FrozenNorm
from common.families.cascade_mask_rcnn.settings import CascadeNetwork, CascadeSettings
from torch_impl._in_place import relu
from torch_impl.layers import Conv, Linear, SyncBatchNorm, conv_norm, norm_class
from torch_impl.mask_rcnn import MaskHead, ProposalNetwork


class CascadeBoxHead(nn.Module):
    """Convolutions with norms on a pooled region, linear layers, and then a layer for classes and one for offsets."""

    def __init__(self, settings: CascadeNetwork, class_outputs: int, box_outputs: int, frozen_norm: FrozenNorm):
        super().__init__()
        self.convolutions, self.layers = settings.box_convolutions, settings.box_layers
        norm = norm_class(frozen_norm, SyncBatchNorm)
        for number in range(1, self.convolutions + 1):
            setattr(self, f"conv{number}", Conv(settings.channels, settings.channels, 3, bias=False))
            setattr(self, f"bn{number}", norm(settings.channels))
        width = settings.box_channels
        for number in range(1, self.layers + 1):
            inputs = settings.channels * settings.box_size**2 if number == 1 else width
            setattr(self, f"fc{number}", Linear(inputs, width))
        self.classes = Linear(width, class_outputs)
        self.deltas = Linear(width, box_outputs)

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(K, C, s, s) -> features (K, width), class logits (K, class outputs), offsets (K, box outputs)"""
        x = pooled
        for number in range(1, self.convolutions + 1):
            x = relu(conv_norm(getattr(self, f"conv{number}"), getattr(self, f"bn{number}"), x))
        x = x.flatten(1)
        for number in range(1, self.layers + 1):
            x = relu(getattr(self, f"fc{number}")(x))
        return x, self.classes(x), self.deltas(x)


class CascadeMaskRcnn(ProposalNetwork):
    """The whole network; its parts `features`, `rpn`, `box_heads` and `mask_heads` can be called by themselves."""

    def __init__(self, settings: CascadeSettings, frozen_norm: FrozenNorm):
        super().__init__(settings, frozen_norm)
        network, classes = settings.network, settings.num_classes
        box_outputs = 4 if network.class_agnostic_boxes else 4 * classes
        channels = network.channels
        self.box_heads = nn.ModuleList(
            CascadeBoxHead(network, classes + 1, box_outputs, frozen_norm) for _ in settings.stages
        )
        self.mask_heads = nn.ModuleList(MaskHead(channels, channels, 4, classes) for _ in settings.stages)
