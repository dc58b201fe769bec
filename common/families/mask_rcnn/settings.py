"""The settings of Mask R-CNN."""

from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, PositiveInt, model_validator

from common.config import BackboneSettings, FreeSizePreprocessing, FrozenNorm, Schedule, Section, Settings
from common.config.sections import flattened
from common.families.mask_rcnn.conventions import CONVENTIONS, AnchorsUsed, Convention, ConventionName

# How probable something is; true stands for half of the time.
Probability = Annotated[float, Field(ge=0, le=1), BeforeValidator(lambda value: 0.5 if value is True else value)]


class RcnnCrop(Section):
    """A part of an image, which takes its place before it is resized; see `crop`."""

    probability: Probability = 0.5
    short_sides: tuple[PositiveInt, ...] = Field(min_length=1)  # to one of these an image is resized before it is cut
    sides: tuple[PositiveInt, PositiveInt]  # between which a part's height and width lie

    @model_validator(mode="after")
    def _sides_ascend(self) -> Self:
        if self.sides[0] > self.sides[1]:
            raise ValueError("sides: the shortest comes first")
        return self


class RcnnJitter(Section):
    """A square with an image of random scale; see `jitter`. The numbers are those of the paper, Ghiasi et al., 2021."""

    smallest: float = Field(0.1, gt=0)  # the image's long side, as a multiple of the square's
    largest: float = 2.0
    size: PositiveInt = 1024  # of the square's sides

    @model_validator(mode="after")
    def _scales_ascend(self) -> Self:
        if self.smallest > self.largest:
            raise ValueError("smallest: it is more than largest")
        return self


class RcnnAugmentation(Section):
    """The changes that training makes to an image, in this order, and the choice of images."""

    # Colours first: how far from 1 a factor may be drawn, and of hue how much of its circle it may be moved.
    brightness: float = Field(0.0, ge=0)
    contrast: float = Field(0.0, ge=0)
    saturation: float = Field(0.0, ge=0)
    hue: float = Field(0.0, ge=0, le=0.5)
    # Then half of the images are put on a black ground, up to so many times as high and as wide; 1: none.
    expansion: float = Field(1.0, ge=1)
    flip: Probability = 0.5  # that left and right change places
    vertical_flip: Probability = 0.0  # the same of top and bottom
    short_sides: tuple[PositiveInt, ...] = ()  # of these one is drawn for each image; none: preprocessing.short_side
    long_side: int | None = None  # in training, where it is not preprocessing.long_side
    crop: RcnnCrop | None = None  # images are mirrored, then cut, then resized
    # In place of crop and short_sides. ModelScope's Swin-B trains with jitter and copy_paste, by unpublished numbers.
    jitter: RcnnJitter | None = None
    copy_paste: Probability = 0.0  # that objects of another jittered image are pasted on a jittered one
    empty_images: bool = True  # images without objects train, too; the originals leave them out


class ProposalLimits(Section):
    """How many of the anchors' boxes become proposals."""

    before_nms: int  # the best of each level
    after_nms: int | None = None  # of each level; none: all that suppression leaves
    total: int  # of all levels together, an image
    over_batch: bool = False  # the images of a training batch share that many times their number


class RpnSettings(Section):
    anchor_sizes: tuple[tuple[float, ...], ...] = ((32,), (64,), (128,), (256,), (512,))  # one tuple a level
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)  # height over width
    inference: ProposalLimits
    training: ProposalLimits
    nms_threshold: float = 0.7
    smallest_side: float = 0.0
    score_threshold: float = 0.0  # counts where the convention has a `proposal_threshold`


class MaskRcnnNetwork(Section):
    backbone: BackboneSettings
    fpn: bool = True  # without: C4, one map of stride 16, and a ResNet's last stage is the box head
    channels: PositiveInt = 256  # of the feature pyramid and the mask head
    box_channels: PositiveInt = 1024  # of the two layers of a pyramid's box head
    box_size: PositiveInt = 7  # cells of a pooled region, a side
    mask_size: PositiveInt = 14  # the same for the mask head; C4's takes what comes out of the box head
    sampling_ratio: int = Field(2, ge=0)
    aligned: bool = False  # RoIAlign with the half-pixel shift
    # How the pyramid's coarser maps are enlarged; corners: bilinear, between the cells' upper left corners.
    top_down: Literal["nearest", "corners"] = "nearest"
    background: Literal["first", "last"] = "first"  # last: it has no box offsets and no mask
    frozen_stages: int = Field(2, ge=0, le=4)  # of the stem, layer1, ...: so many stand still, with their norms
    frozen_norm: FrozenNorm = True
    # How probably an image leaves out a branch of a Swin's last block in training; blocks before it less so.
    drop_path: float = Field(0.0, ge=0, lt=1)

    def freezes_norm(self, images_per_device: int) -> FrozenNorm:
        """How much of batch norm stands still in training."""
        return self.frozen_norm


class RcnnLosses(Section):
    rpn_positive_iou: float = 0.7
    rpn_negative_iou: float = 0.3
    anchors_per_image: int = 256
    positive_anchors: float = 0.5  # share, at most
    positive_iou: float = 0.5
    regions_per_image: int = 512
    positive_regions: float = 0.25  # share, at most
    rpn_beta: float = 1 / 9  # of smooth L1; 0 is L1
    box_beta: float = 1.0
    # In these two mmdetection's models differ among themselves; none: as the convention has it.
    anchors_used: AnchorsUsed | None = None
    low_quality_regions: bool | None = None
    masks_on_found_boxes: bool = False  # masks train on the boxes that the box head makes of the sampled regions


class RcnnSchedule(Schedule):
    # Each term is the mean over the ranks of what it is for their images alone, as in the originals. Else it is that of
    # all images, so that several processes train as one.
    rank_means: bool = False


class RcnnDetection(Section):
    score_threshold: float = 0.05
    iou_threshold: float = 0.5
    max_detections: int = 100  # an image


class MaskRcnnSettings(Settings):
    training_keys: ClassVar[tuple[str, ...]] = ("frozen_stages", "frozen_norm", "drop_path")

    family: Literal["mask_rcnn"]
    convention: ConventionName  # whose `rules` hold
    preprocessing: FreeSizePreprocessing
    schedule: RcnnSchedule
    network: MaskRcnnNetwork
    rpn: RpnSettings
    losses: RcnnLosses = RcnnLosses()
    augmentation: RcnnAugmentation = RcnnAugmentation()
    detection: RcnnDetection = RcnnDetection()

    @property
    def rules(self) -> Convention:
        """How the original does what the originals do differently, as far as the settings do not say."""
        own = {name: getattr(self.losses, name) for name in ("anchors_used", "low_quality_regions")}
        return replace(CONVENTIONS[self.convention], **{name: each for name, each in own.items() if each is not None})

    @property
    def first_label(self) -> int:
        """The label of the first class: 1 behind a background that comes first, else 0."""
        return 1 if self.network.background == "first" else 0

    @property
    def background_label(self) -> int:
        """The label of the background."""
        return 0 if self.network.background == "first" else self.num_classes

    @property
    def trains_on_empty_images(self) -> bool:
        """Whether images without an object are trained on."""
        return self.augmentation.empty_images

    @property
    def smallest_trained_side(self) -> int:
        """How many pixels high and wide an image has to be to be trained on, by what the annotations tell."""
        return self.rules.smallest_image_side or 0

    @property
    def reads_upright(self) -> bool:
        """Whether images are turned as their EXIF data says; else they are taken as they are stored."""
        return self.rules.reads_upright

    def loss_terms(self) -> dict[str, tuple[str, float]]:
        """Returns the losses by their names, each with a description in words and its weight."""
        of_each = {"objectness": "anchors", "rpn_boxes": "anchors", "classes": "regions", "boxes": "regions"}
        return {name: (f"of {what}", 1.0) for name, what in (of_each | {"masks": "objects"}).items()}

    def numerics(self) -> dict[str, Any]:
        """The settings that every family's numbers depend on, the convention, and the anchors."""
        rpn = self.rpn.model_dump(mode="json", include={"anchor_sizes", "anchor_ratios"})
        return super().numerics() | {"convention": self.convention} | flattened("rpn", rpn)

    @model_validator(mode="after")
    def _images_are_found_alone(self) -> Self:
        if self.rpn.inference.over_batch:
            raise ValueError("rpn.inference.over_batch: what is found in an image would depend on the batch it is in")
        return self

    @model_validator(mode="after")
    def _maps_have_even_sides(self) -> Self:
        network, preprocessing = self.network, self.preprocessing
        on_canvas = self.rules.size_rule == "canvas"
        halves = network.top_down == "corners" or getattr(network.backbone, "pool_padding", "around") == "end"
        sides = preprocessing.canvas if on_canvas else (preprocessing.pad_multiple,)
        if (on_canvas or halves) and any(side % 32 for side in sides):
            which = "short_side and long_side" if on_canvas else "pad_multiple"
            raise ValueError(
                f"preprocessing: {which} have to be multiples of 32 for maps that are halves of each other"
            )
        return self

    @model_validator(mode="after")
    def _cut_images_are_mirrored_first(self) -> Self:
        cuts = [name for name in ("crop", "jitter") if getattr(self.augmentation, name) is not None]
        if cuts and self.rules.mirrors != "first":
            raise ValueError(f"augmentation.{cuts[0]}: it is for conventions that change images step by step")
        return self

    @model_validator(mode="after")
    def _pasted_images_are_of_one_size(self) -> Self:
        if self.augmentation.copy_paste and self.augmentation.jitter is None:
            raise ValueError("augmentation.copy_paste: it needs images of one size, which augmentation.jitter makes")
        return self

    @model_validator(mode="after")
    def _c4_has_a_last_stage(self) -> Self:
        kind = self.network.backbone.kind
        if not self.network.fpn and kind != "resnet":
            raise ValueError(f"network.fpn: false takes a ResNet's last stage for the box head; {kind} has none")
        return self

    @model_validator(mode="after")
    def _a_swin_leaves_branches_out(self) -> Self:
        kind = self.network.backbone.kind
        if self.network.drop_path and kind != "swin":
            raise ValueError(f"network.drop_path: it is for the branches of a swin; the backbone is a {kind}")
        return self

    @model_validator(mode="after")
    def _norms_can_learn(self) -> Self:
        if not self.network.frozen_norm and self.network.backbone.norm_eps == 0:
            raise ValueError("network.backbone.norm_eps: 0 is for norms that stand still (network.frozen_norm)")
        return self
