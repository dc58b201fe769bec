"""Typed settings: one YAML file a model variant, the same for the three frameworks.

A file may name another as its `base` and give only what differs. Overrides from the command line are `key.path=value`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from common.boxes import Family
from common.errors import UserError

CONFIG_FOLDER = Path(__file__).parent / "configs"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Preprocessing(_Section):
    """How an image's bytes become the network's input; travels in a checkpoint's card."""

    size: int  # YOLACT: both sides
    mean: tuple[float, float, float]  # in `channel_order`, on 0..255
    deviation: tuple[float, float, float]
    channel_order: Literal["rgb", "bgr"] = "rgb"


class YolactAugmentation(_Section):
    """The original's training transforms, in their order; each can be left out."""

    photometric: bool = True
    expand: bool = True
    sample_crop: bool = True
    mirror: bool = True
    # Objects under this share of a side after resizing are dropped (the original: 4 pixels of 550).
    smallest_side: float = 4 / 550


class Schedule(_Section):
    """The optimizer and its rates as functions of the step."""

    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    batch_size: int  # over all ranks
    iterations: int
    learning_rate: float
    momentum: float = 0.9
    weight_decay: float = 0.0
    decay: Literal["steps", "cosine"] = "steps"
    steps: tuple[int, ...] = ()
    gamma: float = 0.1
    warmup_iterations: int = 0
    warmup_start: float = 0.0  # the rate at step 0, as a share of learning_rate
    clip_norm: float | None = None  # of the whole gradient
    # Another batch size b scales the rate by b / batch_size and the iterations and steps by batch_size / b.
    autoscale: bool = False
    evaluate_every: int = 0  # 0: at the end only
    checkpoint_every: int = 10000
    log_every: int = 10


class ResNetSettings(_Section):
    kind: Literal["resnet"] = "resnet"
    depths: tuple[int, int, int, int]
    width: int = 64  # channels of the stem; a block puts out 4, 8, 16, 32 times as many
    stride_in: Literal["1x1", "3x3"] = "3x3"  # which convolution of a bottleneck carries the stride
    groups: int = 1  # ResNeXt
    width_per_group: int = 64
    norm_eps: float = 1e-5
    # How many blocks at the end of each stage are deformable, and that only every n-th of a stage is.
    deformable: tuple[int, int, int, int] = (0, 0, 0, 0)
    deformable_interval: int = 1


class DarknetSettings(_Section):
    kind: Literal["darknet"] = "darknet"
    depths: tuple[int, int, int, int, int] = (1, 2, 8, 8, 4)


class YolactNetwork(_Section):
    backbone: ResNetSettings | DarknetSettings = Field(discriminator="kind")
    # Batch norm keeps its statistics, scale and shift when a device sees fewer images than this.
    freeze_norm_below: int = 6
    channels: int = 256  # of the feature pyramid, the prototype network and the head
    prototypes: int = 32
    prior_scales: tuple[tuple[float, ...], ...]  # one tuple a level, P3..P7, in pixels of `size`
    prior_ratios: tuple[float, ...] = (1.0, 0.5, 2.0)
    square_priors: bool = True  # the published v1 weights copy each prior's width into its height
    mask_iou: bool = False  # YOLACT++: rescoring by predicted mask IoU

    def freezes_norm(self, images_per_device: int) -> bool:
        """Whether batch norm stands still in training."""
        return images_per_device < self.freeze_norm_below


class YolactLosses(_Section):
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


class YolactDetection(_Section):
    score_threshold: float = 0.05  # before NMS
    iou_threshold: float = 0.5
    top_k: int = 200  # a class
    max_detections: int = 100  # an image
    nms: Literal["fast", "cross_class", "exact"] = "fast"


# Five 3x3 convolutions of stride 2 without padding need prototypes of 63 x 63, at a quarter of the image's size.
SMALLEST_FOR_MASK_IOU = 249


class YolactSettings(_Section):
    family: Literal["yolact"]
    aliases: tuple[str, ...] = ()
    num_classes: int  # without the background
    preprocessing: Preprocessing
    network: YolactNetwork
    losses: YolactLosses = YolactLosses()
    augmentation: YolactAugmentation = YolactAugmentation()
    schedule: Schedule
    detection: YolactDetection = YolactDetection()
    model: str = ""  # the file's name; set on loading

    @model_validator(mode="after")
    def _mask_iou_has_room(self) -> Self:
        if self.network.mask_iou and self.preprocessing.size < SMALLEST_FOR_MASK_IOU:
            raise ValueError(f"preprocessing.size: mask IoU needs images of {SMALLEST_FOR_MASK_IOU} pixels at least")
        return self


class RcnnPreprocessing(_Section):
    """As `Preprocessing`, for models that take images of any size."""

    short_side: int = 800
    long_side: int = 1333  # at most; then the short side gets smaller
    pad_multiple: int = 32  # sides are filled up to a multiple of this
    mean: tuple[float, float, float]  # in `channel_order`, on 0..255
    deviation: tuple[float, float, float]
    channel_order: Literal["rgb", "bgr"]


class ProposalLimits(_Section):
    """How many of the anchors' boxes become proposals."""

    before_nms: int  # the best of each level
    after_nms: int | None = None  # of each level; maskrcnn-benchmark alone
    total: int  # of all levels together
    over_batch: bool = False  # `total` counts over the images of a batch, and not for each


class RpnSettings(_Section):
    anchor_sizes: tuple[tuple[float, ...], ...] = ((32,), (64,), (128,), (256,), (512,))  # one tuple a level
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)  # height over width
    inference: ProposalLimits
    training: ProposalLimits
    nms_threshold: float = 0.7
    smallest_side: float = 0.0
    score_threshold: float = 0.0  # torchvision's alone


class MaskRcnnNetwork(_Section):
    backbone: ResNetSettings
    fpn: bool = True  # without: C4, one map of stride 16, and the backbone's last stage is the box head
    channels: int = 256  # of the feature pyramid and the mask head
    box_channels: int = 1024  # of the two layers of a pyramid's box head
    box_size: int = 7  # cells of a pooled region, a side
    mask_size: int = 14  # the same for the mask head; C4's takes what comes out of the box head
    sampling_ratio: int = 2
    aligned: bool = False  # RoIAlign with the half-pixel shift
    background: Literal["first", "last"] = "first"  # last: it has no box offsets and no mask
    frozen_stages: int = 2  # the stem, layer1, ...
    frozen_norm: bool = True

    def freezes_norm(self, images_per_device: int) -> bool:
        """Whether batch norm stands still in training."""
        return self.frozen_norm


class RcnnLosses(_Section):
    rpn_positive_iou: float = 0.7
    rpn_negative_iou: float = 0.3
    anchors_per_image: int = 256
    positive_anchors: float = 0.5  # share, at most
    positive_iou: float = 0.5
    regions_per_image: int = 512
    positive_regions: float = 0.25  # share, at most
    rpn_beta: float = 1 / 9  # of smooth L1; 0 is L1
    box_beta: float = 1.0


class RcnnDetection(_Section):
    score_threshold: float = 0.05
    iou_threshold: float = 0.5
    max_detections: int = 100  # an image


class MaskRcnnSettings(_Section):
    family: Literal["mask_rcnn"]
    aliases: tuple[str, ...] = ()
    # Whose rules hold for anchors, box sides, offsets, a region's level, clipping and the order of detections.
    convention: Family
    num_classes: int  # without the background
    preprocessing: RcnnPreprocessing
    network: MaskRcnnNetwork
    rpn: RpnSettings
    losses: RcnnLosses = RcnnLosses()
    schedule: Schedule
    detection: RcnnDetection = RcnnDetection()
    model: str = ""  # the file's name; set on loading


Settings = YolactSettings | MaskRcnnSettings
_FAMILIES: dict[str, type[Settings]] = {"yolact": YolactSettings, "mask_rcnn": MaskRcnnSettings}


def model_names() -> list[str]:
    """Every variant that stands in the folder of configurations."""
    return sorted(path.stem for path in CONFIG_FOLDER.glob("*.yaml"))


def load_settings(model: str, overrides: Sequence[str] = ()) -> Settings:
    """The settings of a variant: its name, an original's name for it, or a path to a YAML file."""
    path = _find(model)
    values = _with_bases(path, ())
    for override in overrides:
        _apply(values, override)
    return settings_from(values | {"model": path.stem}, str(path))


def settings_from(values: dict[str, Any], origin: str) -> Settings:
    """Checks a plain dictionary; `origin` says in an error where it came from."""
    family = _FAMILIES.get(values.get("family"))
    if family is None:
        raise UserError(f"{origin}: family: {values.get('family')!r} is none of {', '.join(_FAMILIES)}")
    try:
        return family.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if not key:  # of the settings as a whole
            raise UserError(f"{origin}: {first['ctx']['error']}") from None
        if first["type"] == "extra_forbidden":
            raise UserError(f"{origin}: unknown key {key}") from None
        raise UserError(f"{origin}: {key}: {first['msg']} (got {first.get('input')!r})") from None


def _find(model: str) -> Path:
    if model.endswith((".yaml", ".yml")):
        path = Path(model)
        if not path.is_file():
            raise UserError(f"settings file not found: {model}")
        return path
    path = CONFIG_FOLDER / f"{model}.yaml"
    if path.is_file():
        return path
    for path in sorted(CONFIG_FOLDER.glob("*.yaml")):
        if model in _read(path).get("aliases", ()):
            return path
    raise UserError(f"unknown model {model}; there are {', '.join(model_names())}")


def _read(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(values, dict):
        raise UserError(f"{path}: the file holds no settings")
    return values


def _with_bases(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    if path in seen:
        raise UserError(f"{path}: its base leads back to itself")
    values = _read(path)
    base = values.pop("base", None)
    if base is None:
        return values
    base_path = path.parent / f"{base}.yaml"
    inherited = _with_bases(base_path if base_path.is_file() else _find(base), (*seen, path))
    inherited.pop("aliases", None)
    return _merged(inherited, values)


def _merged(inherited: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """`values` over `inherited`, section by section; a section that names another `kind` starts afresh."""
    if "kind" in values and values["kind"] != inherited.get("kind"):
        return values
    merged = dict(inherited)
    for key, value in values.items():
        both = isinstance(value, dict) and isinstance(inherited.get(key), dict)
        merged[key] = _merged(inherited[key], value) if both else value
    return merged


def _apply(values: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals:
        raise UserError(f"override {override!r} is not of the form key.path=value")
    *sections, key = path.split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise UserError(f"override {override!r}: {section} is not a section")
    values[key] = yaml.safe_load(text)
