"""The settings of Mask2Former."""

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from common.config import (
    AnnotationFile,
    BackboneSettings,
    DataKind,
    FreeSizePreprocessing,
    Section,
    Settings,
)

# The sample that COCO's panoptic tools come with.
PANOPTIC_EXAMPLES = AnnotationFile("panoptic_examples.json", ("images",))

_GROUPS = 32  # of channels, in a group norm


class Mask2FormerNetwork(Section):
    backbone: BackboneSettings
    channels: PositiveInt = 256  # of the pixel decoder, the queries and the masks' features
    heads: PositiveInt = 8  # of every attention
    encoder_layers: PositiveInt = 6  # of deformable attention in the pixel decoder
    encoder_width: PositiveInt = 1024  # between the two linear layers of each
    points: PositiveInt = 4  # that a token reads of each map, a head
    queries: PositiveInt = 100
    decoder_layers: PositiveInt = 9  # of masked attention; predictions are made before them and after each
    decoder_width: PositiveInt = 2048  # between the two linear layers of each
    frozen_norm: bool = True  # of the backbone, where it is a ResNet
    # How probably an image leaves out a branch of a Swin's last block in training; blocks before it less so.
    drop_path: float = Field(0.0, ge=0, lt=1)

    def freezes_norm(self, images_per_device: int) -> bool:
        """Whether batch norm stands still in training."""
        return self.frozen_norm

    @model_validator(mode="after")
    def _groups_and_heads_share_the_channels(self) -> Self:
        if self.channels % _GROUPS:
            raise ValueError(f"channels: {self.channels} is no multiple of the {_GROUPS} groups of the norms")
        if self.channels % self.heads:
            raise ValueError(f"heads: {self.heads} heads cannot share {self.channels} channels equally")
        return self


class Mask2FormerLosses(Section):
    points: PositiveInt = 12544  # at which a mask is compared
    oversampling: float = Field(3.0, ge=1)  # of so many times as many random points the unsurest are taken
    importance: float = Field(0.75, ge=0, le=1)  # the share of the points that are the unsurest; the rest is random
    class_weight: float = Field(2.0, ge=0)
    mask_weight: float = Field(5.0, ge=0)
    dice_weight: float = Field(5.0, ge=0)
    no_object_weight: float = Field(0.1, ge=0)  # of a query without an object in the classes' term

    @property
    def candidates(self) -> int:
        """How many points of a mask are drawn, of which the unsurest are taken."""
        return int(self.points * self.oversampling)

    @property
    def unsure(self) -> int:
        """How many of the candidates are taken; the other points are drawn without a choice."""
        return int(self.points * self.importance)


class Mask2FormerAugmentation(Section):
    """Large-scale jitter: a square cut from an image of random scale."""

    flip: float = Field(0.5, ge=0, le=1)  # the probability that left and right change places
    smallest: PositiveFloat = 0.1  # the scale, as a multiple of the one at which the image just fits the square
    largest: PositiveFloat = 2.0
    size: PositiveInt = 1024  # of the square's sides


class Mask2FormerDetection(Section):
    object_threshold: float = 0.8  # of a query's score, to take part in a panoptic result
    overlap_threshold: float = 0.8  # the share of its own pixels that a segment has to keep there
    max_detections: int = 100  # instances an image


class Mask2FormerSettings(Settings):
    data_kinds: ClassVar[dict[DataKind, tuple[AnnotationFile, ...]]] = {
        "panoptic": (PANOPTIC_EXAMPLES,),
        "instances": (),
    }
    training_keys: ClassVar[tuple[str, ...]] = ("frozen_norm", "drop_path")

    family: Literal["mask2former"]
    # What it is trained for: panoptic also gives instances and the class of every pixel.
    task: Literal["panoptic", "instances"] = "panoptic"
    things: PositiveInt  # the first so many classes are things, the others stuff
    preprocessing: FreeSizePreprocessing
    network: Mask2FormerNetwork
    losses: Mask2FormerLosses = Mask2FormerLosses()
    augmentation: Mask2FormerAugmentation = Mask2FormerAugmentation()
    detection: Mask2FormerDetection = Mask2FormerDetection()

    @property
    def data_kind(self) -> DataKind:
        return self.task

    @property
    def is_thing(self) -> tuple[bool, ...]:
        return (True,) * self.things + (False,) * (self.num_classes - self.things)

    @property
    def trains_on_empty_images(self) -> bool:
        """An image whose segments are known to be none teaches as much; detectron2 filters instances alone."""
        return self.task == "panoptic"

    def with_classes(self, classes: int, things: int | None = None) -> Self:
        """The same settings for another number of classes, the first so many of which are things where that is known.

        A model of instances knows things alone.
        """
        things = classes if self.task == "instances" else self.things if things is None else things
        return super().with_classes(classes).model_copy(update={"things": things})

    def loss_terms(self) -> dict[str, tuple[str, float]]:
        """Returns the losses by their names, each with a description in words and its weight.

        Each prediction has three: those of the last layer have the plain names, and those before it, from the bare
        queries on, end with their number.
        """
        weights = self.losses
        terms = {"classes": weights.class_weight, "masks": weights.mask_weight, "dice": weights.dice_weight}
        numbers = ["", *(f"_{number}" for number in range(self.network.decoder_layers))]
        return {
            f"{name}{number}": (f"of queries{f' after {number[1:]} layers' if number else ''}", weight)
            for number in numbers
            for name, weight in terms.items()
        }

    def numerics(self) -> dict[str, Any]:
        """The settings that every family's numbers depend on, and what the model is for."""
        return super().numerics() | {"task": self.task, "things": self.things}

    @model_validator(mode="after")
    def _square_needs_no_padding(self) -> Self:
        if self.augmentation.size % self.preprocessing.pad_multiple:
            raise ValueError(
                f"augmentation.size: {self.augmentation.size} is no multiple of {self.preprocessing.pad_multiple}"
            )
        return self

    @model_validator(mode="after")
    def _things_are_classes(self) -> Self:
        if self.things > self.num_classes:
            raise ValueError(f"things: {self.things} of {self.num_classes} classes")
        if self.task == "instances" and self.things != self.num_classes:
            raise ValueError("things: a model of instances knows things alone")
        return self
