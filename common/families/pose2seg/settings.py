"""The settings of Pose2Seg."""

from typing import ClassVar, Literal, Self

from pydantic import model_validator

from common.config import AnnotationFile, DataKind, Preprocessing, ResNetSettings, Section, Settings

# Of the features that persons are read from: the finest level of the pyramid.
FEATURE_STRIDE = 4
# A heat map for each of 17 key points, and the direction (x, y) of each of 19 limbs.
SKELETON_CHANNELS = 17 + 2 * 19

# The files of the data sets that the original is trained and rated on.
COCO_PERSONS = AnnotationFile(
    "annotations/person_keypoints_{split}2017_pose2seg.json", ("{split}2017", "images/{split}2017", "images")
)
OCHUMAN = AnnotationFile("annotations/ochuman_coco_format_{split}_range_0.00_1.00.json", ("images",))


class Pose2SegNetwork(Section):
    backbone: ResNetSettings
    channels: int = 256  # of the feature pyramid
    # The pyramid's last convolutions start from the original's numbers times this. With 1 the features are a hundred
    # times as large as the skeletons beside them, and a network that starts from nothing long sees nothing else.
    pyramid_gain: float = 1.0
    align_size: int = 64  # a side of a person's features and of the mask, in cells
    skeletons: bool = True  # the key points, drawn, stand beside a person's features
    skeleton_sigma: float = 3.0  # of a key point's bell, in cells
    limb_distance: float = 1.0  # how far from a limb's middle its cells lie, in cells
    segnet_width: int = 256  # of the segmentation network; its blocks put out four times as many channels
    segnet_blocks: int = 10
    frozen_norm: bool = False

    def freezes_norm(self, images_per_device: int) -> bool:
        """Whether batch norm stands still in training."""
        return self.frozen_norm


class PoseAlignment(Section):
    # A JSON file of pose templates, as `make_templates` beside this file makes them; without one, COCO's.
    templates: str | None = None
    confidence: float = 0.3  # a point of a results file counts as seen where its own is higher


class PoseAugmentation(Section):
    """What training does to each person's alignment, and how many persons of a batch it takes."""

    persons: int = 8  # of a batch, at most
    rotation: float = 30.0  # degrees, either way
    scale: tuple[float, float] = (0.8, 1.2)
    shift: float = 0.1  # of a side, either way


class Pose2SegDetection(Section):
    mask_threshold: float = 0.5


class Pose2SegSettings(Settings):
    data_kind: ClassVar[DataKind] = "person_keypoints"
    data_files: ClassVar[tuple[AnnotationFile, ...]] = (COCO_PERSONS, OCHUMAN)
    result_kinds: ClassVar[tuple[str, ...]] = ("mask",)
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
        """A side of the features that persons are read from, in cells."""
        return self.preprocessing.size // FEATURE_STRIDE

    @property
    def person_channels(self) -> int:
        """What the segmentation network is given of a person."""
        return self.network.channels + (SKELETON_CHANNELS if self.network.skeletons else 0)

    def loss_terms(self) -> dict[str, tuple[str, float]]:
        """The losses by their names: in words, and with which weight."""
        return {"mask": ("of the persons' cells", 1.0)}

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        if self.preprocessing.size % FEATURE_STRIDE:
            raise ValueError(f"preprocessing.size: {self.preprocessing.size} is no multiple of {FEATURE_STRIDE}")
        if self.network.align_size % 2:
            raise ValueError(f"network.align_size: {self.network.align_size} is odd; the network halves and doubles it")
        return self
