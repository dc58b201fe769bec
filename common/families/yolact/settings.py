"""The settings of a YOLACT or YOLACT++ model."""

from typing import ClassVar, Literal, Self

from pydantic import model_validator

from common.config import ConvNetSettings, Preprocessing, Section, Settings


class YolactAugmentation(Section):
    """The original's training transforms in the order in which they are applied; each can be left out."""

    photometric: bool = True
    expand: bool = True
    sample_crop: bool = True
    mirror: bool = True
    # Objects with a side of at most so many pixels after resizing are dropped. The original's 4 / 550 looks like a
    # share of the image's side, but is compared with pixels, so that almost nothing is dropped.
    smallest_side: float = 4 / 550


class YolactNetwork(Section):
    """The network's layers and priors."""

    backbone: ConvNetSettings
    # Batch norm keeps its statistics, scale and shift when a device sees fewer images than this.
    freeze_norm_below: int = 6
    channels: int = 256  # in the feature pyramid, the prototype network and the head
    prototypes: int = 32
    prior_scales: tuple[tuple[float, ...], ...]  # one tuple a level, P3..P7, in pixels of `size`
    prior_ratios: tuple[float, ...] = (1.0, 0.5, 2.0)
    square_priors: bool = True  # the published v1 weights copy each prior's width into its height
    mask_iou: bool = False  # YOLACT++: rescoring by predicted mask IoU

    def freezes_norm(self, images_per_device: int) -> bool:
        """Tells whether training leaves batch norm as it is."""
        return images_per_device < self.freeze_norm_below


class YolactLosses(Section):
    """The rules for matching priors with objects, and the weights of the losses."""

    box_weight: float = 1.5
    class_weight: float = 1.0
    mask_weight: float = 6.125
    semantic_weight: float = 1.0
    mask_iou_weight: float = 25.0
    positive_iou: float = 0.5
    negative_iou: float = 0.4
    crowd_ioa: float = 0.7
    negatives_per_positive: int = 3
    masks_per_image: int = 100
    smallest_mask_area: int = 25  # in prototype pixels; smaller ones do not train the mask IoU


class YolactDetection(Section):
    """The rules that turn the network's outputs into instances."""

    score_threshold: float = 0.05  # before NMS
    iou_threshold: float = 0.5
    top_k: int = 200  # candidates for NMS, for each class
    max_detections: int = 100  # for each image
    nms: Literal["fast", "cross_class", "exact"] = "fast"
    crop: bool = True  # masks end a little outside of their boxes
    empty_images: bool = False  # rate on images without annotations, too, which the original leaves out


# Five 3x3 convolutions of stride 2 without padding need prototypes of 63 x 63, at a quarter of the image's size.
SMALLEST_FOR_MASK_IOU = 249


class YolactSettings(Settings):
    training_keys: ClassVar[tuple[str, ...]] = ("freeze_norm_below",)

    family: Literal["yolact"]
    preprocessing: Preprocessing
    network: YolactNetwork
    losses: YolactLosses = YolactLosses()
    augmentation: YolactAugmentation = YolactAugmentation()
    detection: YolactDetection = YolactDetection()

    @property
    def rates_empty_images(self) -> bool:
        """Tells whether images without annotations take part in evaluation."""
        return self.detection.empty_images

    @model_validator(mode="after")
    def _mask_iou_has_room(self) -> Self:
        if self.network.mask_iou and self.preprocessing.size < SMALLEST_FOR_MASK_IOU:
            raise ValueError(f"preprocessing.size: mask IoU needs images of {SMALLEST_FOR_MASK_IOU} pixels at least")
        return self

    def loss_terms(self) -> dict[str, tuple[str, float]]:
        """Returns the losses by their names, each with a description in words and its weight."""
        losses = self.losses
        terms = {
            "B": ("boxes", losses.box_weight),
            "C": ("classes", losses.class_weight),
            "M": ("masks", losses.mask_weight),
            "S": ("semantic segmentation", losses.semantic_weight),
        }
        return terms | ({"I": ("mask IoU", losses.mask_iou_weight)} if self.network.mask_iou else {})
