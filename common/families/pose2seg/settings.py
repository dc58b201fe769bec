"""The settings of a Pose2Seg model."""

from typing import ClassVar, Literal, Self

from pydantic import model_validator

from common.config import AnnotationFile, ConvNetSettings, DataKind, Preprocessing, Section, Settings

# Persons are read from the pyramid's finest level, which has this stride.
FEATURE_STRIDE = 4
# There is a heat map for each of 17 key points, and one of x and one of y for the direction of each of 19 limbs.
SKELETON_CHANNELS = 17 + 2 * 19

# The annotation files of the data sets that the original is trained and rated on.
COCO_PERSONS = AnnotationFile(
    "annotations/person_keypoints_{split}2017_pose2seg.json", ("{split}2017", "images/{split}2017", "images")
)
OCHUMAN = AnnotationFile("annotations/ochuman_coco_format_{split}_range_0.00_1.00.json", ("images",))


class Pose2SegNetwork(Section):
    """The network's layers, and the persons' arrays that it takes."""

    backbone: ConvNetSettings
    channels: int = 256  # in the feature pyramid
    # The initial weights of the pyramid's last convolutions are the original's times this. With 1 the features are a
    # hundred times as large as the skeletons beside them, and a new network does not see the skeletons for long.
    pyramid_gain: float = 1.0
    align_size: int = 64  # a side of a person's features and of the mask, in cells
    skeletons: bool = True  # whether maps of the key points are added to a person's features
    skeleton_sigma: float = 3.0  # the deviation of a key point's bell, in cells
    limb_distance: float = 1.0  # how far from a limb's line its cells may lie, in cells
    segnet_width: int = 256  # the segmentation network's channels; its blocks put out four times as many
    segnet_blocks: int = 10
    frozen_norm: bool = False

    def freezes_norm(self, images_per_device: int) -> bool:
        """Tells whether training leaves batch norm as it is."""
        return self.frozen_norm


class PoseAlignment(Section):
    """The rules for aligning persons by their key points."""

    # A JSON file of pose templates, as `make_templates` beside this file makes them; without one, COCO's.
    templates: str | None = None
    confidence: float = 0.3  # a key point in a results file counts as seen if its confidence is higher


class PoseAugmentation(Section):
    """The random changes of persons' alignments in training, and the number of persons that it takes of a batch."""

    persons: int = 8  # at most, of a batch
    rotation: float = 30.0  # at most, in degrees, in either direction
    scale: tuple[float, float] = (0.8, 1.2)  # the lowest and the highest factor
    shift: float = 0.1  # at most, as a share of a side, in either direction


class Pose2SegDetection(Section):
    """The rules that turn the network's output into masks."""

    mask_threshold: float = 0.5  # a pixel belongs to a person if its probability is higher


class Pose2SegSettings(Settings):
    data_kinds: ClassVar[dict[DataKind, tuple[AnnotationFile, ...]]] = {"person_keypoints": (COCO_PERSONS, OCHUMAN)}
    training_keys: ClassVar[tuple[str, ...]] = ("frozen_norm", "pyramid_gain")
    family: Literal["pose2seg"]
    num_classes: Literal[1] = 1  # persons
    preprocessing: Preprocessing
    network: Pose2SegNetwork
    alignment: PoseAlignment = PoseAlignment()
    augmentation: PoseAugmentation = PoseAugmentation()
    detection: Pose2SegDetection = Pose2SegDetection()

    @property
    def feature_size(self) -> int:
        """The side of the feature map that persons are read from, in cells."""
        return self.preprocessing.size // FEATURE_STRIDE

    @property
    def person_channels(self) -> int:
        """The number of channels of a person's input to the segmentation network."""
        return self.network.channels + (SKELETON_CHANNELS if self.network.skeletons else 0)

    def loss_terms(self) -> dict[str, tuple[str, float]]:
        """Returns the losses by their names, each with a description in words and its weight."""
        return {"mask": ("of the persons' cells", 1.0)}

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        if self.preprocessing.size % FEATURE_STRIDE:
            raise ValueError(f"preprocessing.size: {self.preprocessing.size} is no multiple of {FEATURE_STRIDE}")
        if self.network.align_size % 2:
            raise ValueError(f"network.align_size: {self.network.align_size} is odd; the network halves and doubles it")
        return self
