"""The sections of settings that families of models share."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt, model_validator

# How much of batch norms stands still in training: all, their statistics alone, or nothing.
FrozenNorm = bool | Literal["statistics"]

# The annotation files of a data set that a family reads, in COCO's words.
DataKind = Literal["instances", "person_keypoints", "panoptic"]


@dataclass(frozen=True)
class AnnotationFile:
    """The annotation file and the image folders of a published data set.

    path: the annotation file in the data set's folder, with `{split}` in place of train, val or test.
    folders: folders that may hold the images, written likewise; the first one that exists counts.
    """

    path: str
    folders: tuple[str, ...]


class Section(BaseModel):
    """A part of the settings: it refuses keys that it does not have, and does not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Preprocessing(Section):
    """How an image becomes the input of a network that takes one size; a checkpoint's card carries it."""

    size: int  # of both sides, in pixels
    mean: tuple[float, float, float]  # in `channel_order`, on 0..255
    deviation: tuple[float, float, float]
    channel_order: Literal["rgb", "bgr"] = "rgb"


class FreeSizePreprocessing(Section):
    """How an image becomes the input of a network that takes any size; a checkpoint's card carries it."""

    short_side: PositiveInt = 800
    long_side: PositiveInt = 1333  # at most; an image that would be longer gets a smaller short side
    pad_multiple: PositiveInt = 32  # both sides are padded to a multiple of this
    mean: tuple[float, float, float]  # in `channel_order`, on 0..255
    deviation: tuple[float, float, float]
    channel_order: Literal["rgb", "bgr"]

    @property
    def canvas(self) -> tuple[int, int]:
        """The (height, width) of the ground that lying images just fit on, for conventions that put images on one."""
        return self.short_side, self.long_side


class Schedule(Section):
    """The optimizer and its rates as functions of the step."""

    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    batch_size: int = Field(ge=1)  # over all ranks
    iterations: int
    learning_rate: float
    momentum: float = 0.9
    weight_decay: float = 0.0
    bias_rate: float = 1.0  # the biases' rate, as a multiple of the others'
    backbone_rate: float = 1.0  # the backbone's rate, likewise
    bias_decay: bool = True  # whether weight_decay takes hold of biases, too
    norm_decay: bool = True  # whether it takes hold of the scale and shift of norms
    undecayed: tuple[str, ...] = ()  # it takes no hold of parameters whose names have any of these in them
    decay: Literal["steps", "cosine"] = "steps"
    steps: tuple[int, ...] = ()
    cosine_start: int = Field(0, ge=0)  # the step from which the cosine falls
    cosine_iterations: int | None = None  # in how many steps it would reach 0; None: in `iterations`
    gamma: float = 0.1
    warmup: Literal["linear", "constant"] = "linear"  # constant: the rate of step 0 holds until the warm-up ends
    warmup_iterations: int = 0
    warmup_start: float = 0.0  # the rate at step 0, as a share of learning_rate
    warmup_rate: float | None = None  # the rate at step 0 itself, in place of a share
    first_step: Literal[0, 1] = 0  # the number of the first update's step, which the rate is a function of
    clip_norm: float | None = None  # the largest norm of the gradient; None: any
    clip: Literal["whole", "each"] = "whole"  # each: the norm of each parameter's gradient by itself
    # Another batch size b scales the rate by b / batch_size and the iterations and steps by batch_size / b.
    autoscale: bool = False
    # The run stops when so many updates in a row have a loss that is not finite; fewer are skipped.
    nonfinite_losses: int = Field(1, ge=1)
    evaluate_every: int = Field(0, ge=0)  # steps; 0: as evaluate_epochs says
    evaluate_epochs: int = Field(0, ge=0)  # where evaluate_every is 0; 0: at the end only
    checkpoint_every: int = Field(10000, ge=1)
    checkpoints_kept: int = Field(3, ge=0)  # how many of the latest stay; 0: all
    keep_every: int = Field(0, ge=0)  # checkpoints of steps that are a multiple of this stay, too; 0: none
    log_every: int = 10


class ResNetSettings(Section):
    """A ResNet or ResNeXt of bottleneck blocks, with deformable convolutions where they are asked for."""

    kind: Literal["resnet"] = "resnet"
    depths: tuple[int, int, int, int]
    width: int = 64  # channels of the stem; the four stages have 4, 8, 16 and 32 times as many
    stride_in: Literal["1x1", "3x3"] = "3x3"  # which convolution of a bottleneck carries the stride
    groups: int = 1  # ResNeXt
    width_per_group: int = 64
    norm_eps: float = 1e-5
    # Of the stem's max pool: around its map or, for maps of even sides, below and to the right alone.
    pool_padding: Literal["around", "end"] = "around"
    # Of each stage these many blocks at its end are deformable, if their number in the stage, from 0, is a multiple of
    # the interval.
    deformable: tuple[int, int, int, int] = (0, 0, 0, 0)
    deformable_interval: int = 1


class DarknetSettings(Section):
    """A Darknet; by default Darknet-53."""

    kind: Literal["darknet"] = "darknet"
    depths: tuple[int, int, int, int, int] = (1, 2, 8, 8, 4)
    norm_eps: ClassVar[float] = 1e-5


class SwinSettings(Section):
    """A Swin Transformer, whose four stages have 1, 2, 4 and 8 times `width` channels."""

    kind: Literal["swin"]
    width: PositiveInt
    depths: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt]
    heads: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt]
    window: PositiveInt = 7  # tokens along a side of the windows in which attention is computed
    norm_eps: ClassVar[float] = 1e-5

    @property
    def blocks(self) -> int:
        """The number of blocks in all stages."""
        return sum(self.depths)

    @model_validator(mode="after")
    def _heads_share_the_channels(self) -> Self:
        for stage, heads in enumerate(self.heads):
            if self.width * 2**stage % heads:
                raise ValueError(f"heads: {heads} heads cannot share {self.width * 2**stage} channels equally")
        return self


def _with_kind(values: Any) -> Any:
    return {"kind": "resnet"} | values if isinstance(values, dict) else values


# A backbone of convolutions, told by its `kind`; one that tells none is a ResNet.
ConvNetSettings = Annotated[ResNetSettings | DarknetSettings, Field(discriminator="kind"), BeforeValidator(_with_kind)]
# The same, or a Swin Transformer.
BackboneSettings = Annotated[
    ResNetSettings | DarknetSettings | SwinSettings, Field(discriminator="kind"), BeforeValidator(_with_kind)
]


class Settings(Section):
    """The settings that every family has; a family's own class adds its sections and its own answers."""

    # The kinds of annotations that the family's models read, the usual one first, and of each kind the files that are
    # looked for before those that are called as COCO's.
    data_kinds: ClassVar[dict[DataKind, tuple[AnnotationFile, ...]]] = {"instances": ()}
    # The keys of the network's section that training alone reads.
    training_keys: ClassVar[tuple[str, ...]] = ("frozen_norm",)

    family: str
    aliases: tuple[str, ...] = ()  # the names that the originals' users know the variant by
    model: str = ""  # the file's name; set on loading
    num_classes: int  # without the background
    schedule: Schedule  # some families narrow it to a section of their own
    # Every family narrows these two to its own sections.
    preprocessing: Any
    network: Any

    @property
    def data_kind(self) -> DataKind:
        """The kind of annotations that this model reads."""
        return next(iter(self.data_kinds))

    @property
    def data_files(self) -> tuple[AnnotationFile, ...]:
        """Files of this kind that are looked for before those that are called as COCO's."""
        return self.data_kinds[self.data_kind]

    @property
    def is_thing(self) -> tuple[bool, ...]:
        """Whether each class is a thing, whose objects are told apart."""
        return (True,) * self.num_classes

    def with_classes(self, classes: int, things: int | None = None) -> Self:
        """The same settings for another number of classes, of which so many are things where that is known."""
        return self.model_copy(update={"num_classes": classes})

    @property
    def trains_on_empty_images(self) -> bool:
        """Whether images without an object are trained on."""
        return False

    @property
    def smallest_trained_side(self) -> int:
        """How many pixels high and wide an image has to be to be trained on, by what the annotations tell."""
        return 0

    @property
    def rates_empty_images(self) -> bool:
        """Whether images without annotations are evaluated on."""
        return True

    @property
    def reads_upright(self) -> bool:
        """Whether images are turned as their EXIF data says; else they are taken as they are stored."""
        return True

    def loss_terms(self) -> dict[str, tuple[str, float]]:
        """Returns the losses by their names, each with a description in words and its weight."""
        raise NotImplementedError

    def numerics(self) -> dict[str, Any]:
        """Gives the settings that change a model's numbers but no weight's shape, by dotted keys, as JSON has them.

        Weights are right under these alone: the network's section without the keys that only training reads.
        Preprocessing is not among them: a card holds it by itself, and it can be overridden.
        """
        network = self.network.model_dump(mode="json")
        return flattened("network", {key: value for key, value in network.items() if key not in self.training_keys})


def flattened(path: str, values: dict[str, Any]) -> dict[str, Any]:
    """Gives the values of nested sections under `path` by their dotted keys."""
    found = {}
    for key, value in values.items():
        found |= flattened(f"{path}.{key}", value) if isinstance(value, dict) else {f"{path}.{key}": value}
    return found
